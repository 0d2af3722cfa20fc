"""Selection of prompts whose answer a model does not know, to teach it to abstain.

Draws depend on each prompt's id alone, so other prompts have no influence on them.
"""

from collections.abc import Collection, Mapping, Sequence

from rlhf_core.identity import content_id, unit_interval


def is_unknown(scores: Sequence[float | None], threshold: float) -> bool:
    """Return True if every answer to a prompt is wrong.

    An answer without a score may be right, so a prompt with one is not unknown.

    Args:
        scores: Score of each answer, 0 to 1; None if the judge had no opinion. At least one.
        threshold: Lowest score of a right answer.
    """
    return bool(scores) and all(score is not None and score < threshold for score in scores)


def choose_abstentions(
    unknown: Collection[str], shown: Mapping[str, int], max_share: float
) -> list[str]:
    """Choose the unknown prompts whose demonstrations are replaced by one abstention each.

    Args:
        unknown: Ids of the unknown prompts.
        shown: Number of demonstrations of every prompt, by its id.
        max_share: Limit of the share of abstentions among all resulting demonstrations, 0 to 1.

    Returns:
        Ids of the chosen prompts, in the order that their hashes draw.
    """
    chosen: list[str] = []
    total = sum(shown.values())
    for name in sorted(unknown, key=lambda name: content_id("abstention", name)):
        total += 1 - shown[name]
        if len(chosen) + 1 > max_share * total:
            break
        chosen.append(name)
    return chosen


def draw_wording(prompt_id: str, wordings: Sequence[str]) -> str:
    """Return the wording that the prompt's hash draws."""
    return wordings[int(unit_interval("wording", prompt_id) * len(wordings))]
