"""Every vote on a pair: who judged, in which order, what came of it, and why."""

from typing import Any

from flows.ui.parts import box, words
from rlhf_core.store.page_details import PairDetail

MOST_VOTES = 100


def draw_votes(found: PairDetail) -> None:
    if not found.votes:
        words("p", "no judge was asked", "soft")
    names = _names(found)
    with box("div", "votes"):
        for vote in found.votes[:MOST_VOTES]:
            _draw_vote(vote, names, found.responses)
    if len(found.votes) > MOST_VOTES:
        words(
            "p", f"{len(found.votes) - MOST_VOTES} more are not shown; ask for them in SQL", "soft"
        )


def _names(found: PairDetail) -> dict[str, str]:
    """What each candidate is called here."""
    pair = found.pair
    if pair["chosen_id"]:
        return {pair["chosen_id"]: "chosen", pair["rejected_id"]: "rejected"}
    return {pair["left_id"]: "left", pair["right_id"]: "right"}


def _draw_vote(vote: dict[str, Any], names: dict[str, str], said: dict[str, str]) -> None:
    with box("article", "vote"):
        with box("div", "facts"):
            words("b", vote["judge"])
            words("span", vote["judge_version"], "soft")
            words("span", order_shown(vote, names))
            words("span", verdict(vote, names), f"outcome {vote['outcome']}")
            for name in ("score", "probability"):
                if vote[name] is not None:
                    words("span", f"{name} {vote[name]:.3g}")
            words("span", "counted" if vote["counted"] else "not counted", "soft")
            if vote["cost_usd"]:
                words("span", f"{vote['cost_usd']:.4g} USD", "soft")
        if vote["reason"]:
            words("pre", vote["reason"], "text rationale")
        for text in _outputs(vote, said):
            with box("details"):
                words("summary", "what it wrote")
                words("pre", text, "text")


def order_shown(vote: dict[str, Any], names: dict[str, str]) -> str:
    first = names.get(vote["candidate_id"], "?")
    if vote["opponent_id"] is None:
        return f"shown {first} alone"
    return f"shown {first} first, then {names.get(vote['opponent_id'], '?')}"


def verdict(vote: dict[str, Any], names: dict[str, str]) -> str:
    """What the judge said, in this pair's words: `first` and `second` are only places."""
    if vote["outcome"] == "first":
        return f"prefers {names.get(vote['candidate_id'], '?')}"
    if vote["outcome"] == "second":
        return f"prefers {names.get(vote['opponent_id'], '?')}"
    return str(vote["outcome"])


def _outputs(vote: dict[str, Any], said: dict[str, str]) -> list[str]:
    responses = [said[name] for name in vote["response_ids"] or [] if name in said]
    return responses or ([vote["raw_output"]] if vote["raw_output"] else [])
