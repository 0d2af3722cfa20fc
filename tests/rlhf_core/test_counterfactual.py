"""What becomes of a pair under another panel."""

import pytest

from rlhf_core.counterfactual import Change, PairChange, Tally, pair_changes
from rlhf_core.records import Pair, PairOutcome


def pair(outcome: PairOutcome, chosen: str | None = None, margin: float | None = None) -> Pair:
    rejected = {"l": "r", "r": "l", None: None}[chosen]
    return Pair(
        prompt_id="p",
        ranking_id="ranking",
        left_id="l",
        right_id="r",
        outcome=outcome,
        chosen_id=chosen,
        rejected_id=rejected,
        margin=margin,
        judgement_ids=(),
        judge_versions=(),
        config_hash="hash",
    )


LEFT = pair(PairOutcome.PREFERRED, "l", 0.5)
RIGHT = pair(PairOutcome.PREFERRED, "r", 0.3)
TIE = pair(PairOutcome.TIE, margin=0.0)
UNSCORED = pair(PairOutcome.UNSCORED)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (LEFT, LEFT, Change.NONE),
        (LEFT, RIGHT, Change.FLIPPED),
        (LEFT, TIE, Change.BECAME_TIE),
        (LEFT, UNSCORED, Change.BECAME_UNSCORED),
        (LEFT, None, Change.BECAME_UNSCORED),
        (TIE, RIGHT, Change.APPEARED),
        (UNSCORED, RIGHT, Change.APPEARED),
        (None, RIGHT, Change.APPEARED),
        (TIE, UNSCORED, Change.NONE),
        (None, TIE, Change.NONE),
    ],
)
def test_every_transition_has_one_name(before: Pair | None, after: Pair | None, kind: Change):
    assert PairChange(before, after).kind is kind


def test_pairs_are_matched_by_their_candidates_not_by_their_ranking():
    """The other panel's ranking has another id, and so its pairs have."""
    moved = RIGHT.model_copy(update={"ranking_id": "another"})
    alone = LEFT.model_copy(update={"right_id": "x"})
    assert pair_changes([LEFT], [moved]) == [PairChange(LEFT, moved)]
    assert pair_changes([LEFT], [alone]) == [PairChange(LEFT, None), PairChange(None, alone)]


def test_what_is_counted():
    """Preferred before: 0.5, 0.5, 0.5; after: 0.5, 0.3, 0.3. One of two chosen alike."""
    tally = Tally()
    for change in ((LEFT, LEFT), (LEFT, RIGHT), (LEFT, TIE), (None, RIGHT), (TIE, UNSCORED)):
        tally.add(PairChange(*change))
    found = tally.comparison()
    assert (found.pairs, found.preferred_before, found.preferred_after) == (5, 3, 3)
    assert (found.changed, found.flipped, found.became_tie, found.appeared) == (3, 1, 1, 1)
    assert found.became_unscored == 0
    assert found.mean_margin_before == pytest.approx(0.5)
    assert found.mean_margin_after == pytest.approx(1.1 / 3)
    assert found.agreement is not None
    assert (found.agreement.value, found.agreement.n) == (0.5, 2)


def test_of_nothing_there_is_no_mean_and_no_agreement():
    found = Tally().comparison()
    assert (found.pairs, found.mean_margin_before, found.agreement) == (0, None, None)
