"""Which prompts a model does not know the answer to, and which of them are taught so.

What is drawn follows from each prompt's id, so that it is the same whatever else is there.
"""

from collections.abc import Collection, Mapping, Sequence

from rlhf_core.identity import content_id, unit_interval


def is_unknown(scores: Sequence[float | None], threshold: float) -> bool:
    """Whether every answer to a prompt is wrong.

    An answer without a score may be right, so a prompt that has one is not unknown.

    Args:
        scores: Of each answer, 0 to 1; None where the judge had no opinion. At least one.
        threshold: From this score on, an answer is right.
    """
    return bool(scores) and all(score is not None and score < threshold for score in scores)


def taught(unknown: Collection[str], shown: Mapping[str, int], max_share: float) -> list[str]:
    """Those of the unknown prompts whose demonstrations one abstention replaces.

    Args:
        unknown: Their ids.
        shown: How many demonstrations each prompt has, by the id of every prompt.
        max_share: Abstentions among all demonstrations there are then, at most.
    """
    chosen: list[str] = []
    total = sum(shown.values())
    for name in sorted(unknown, key=lambda name: content_id("abstention", name)):
        total += 1 - shown[name]
        if len(chosen) + 1 > max_share * total:
            break
        chosen.append(name)
    return chosen


def wording_of(prompt_id: str, wordings: Sequence[str]) -> str:
    """The wording that a prompt draws."""
    return wordings[int(unit_interval("wording", prompt_id) * len(wordings))]
