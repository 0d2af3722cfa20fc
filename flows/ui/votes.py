"""The votes on a pair: the judge, the order of the answers, the verdict and the reason."""

from collections.abc import Mapping
from typing import Any

from flows.ui.parts import box, words
from rlhf_core.store.audit.stories import Story

MOST_VOTES = 100


def side_names(pair: Story) -> dict[str, str]:
    """Return the names of the pair's two candidates by id, the one shown first in front."""
    if pair["chosen_id"]:
        return {pair["chosen_id"]: "chosen", pair["rejected_id"]: "rejected"}
    return {pair["left_id"]: "left", pair["right_id"]: "right"}


def draw_votes(pair: Story) -> None:
    votes, names = pair["votes"], side_names(pair)
    if not votes:
        words("p", "No judge was asked.", "soft")
    with box("div", "votes"):
        for vote in votes[:MOST_VOTES]:
            _draw_vote(vote, names)
    if len(votes) > MOST_VOTES:
        words("p", f"{len(votes) - MOST_VOTES} more are not shown; ask for them in SQL.", "soft")


def _draw_vote(vote: Story, names: Mapping[str, str]) -> None:
    with box("article", "vote retracted" if vote["is_retracted"] else "vote"):
        with box("div", "facts"):
            words("b", vote["judge"])
            words("span", vote["judge_version"], "soft")
            words("span", order_shown(vote, names))
            words("span", verdict(vote, names), f"outcome {vote['outcome']}")
            for name in ("score", "probability"):
                if vote[name] is not None:
                    words("span", f"{name} {vote[name]:.3g}")
            words("span", "counted" if vote["is_counted"] else "not counted", "soft")
            if vote["is_retracted"]:
                words("span", "retracted", "badge bad")
            if vote["cost_usd"]:
                words("span", f"{vote['cost_usd']:.4g} USD", "soft")
        if vote["reason"]:
            words("pre", vote["reason"], "text rationale")
        for text in _outputs(vote):
            with box("details"):
                words("summary", "what it wrote")
                words("pre", text, "text")


def order_shown(vote: Mapping[str, Any], names: Mapping[str, str]) -> str:
    first = names.get(vote["candidate_id"], "?")
    if vote["opponent_id"] is None:
        return f"shown {first} alone"
    return f"shown {first} first, then {names.get(vote['opponent_id'], '?')}"


def verdict(vote: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return a verdict with this pair's names in place of `first` and `second`."""
    if vote["outcome"] == "first":
        return f"prefers {names.get(vote['candidate_id'], '?')}"
    if vote["outcome"] == "second":
        return f"prefers {names.get(vote['opponent_id'], '?')}"
    return str(vote["outcome"])


def _outputs(vote: Story) -> list[str]:
    written = vote["said"] or ([vote["raw_output"]] if vote["raw_output"] else [])
    return [text for text in written if text != vote["reason"]]
