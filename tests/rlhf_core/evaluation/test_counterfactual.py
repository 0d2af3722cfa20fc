"""What becomes of a pair under another panel."""

import pytest

from rlhf_core.evaluation.counterfactual import Change, PairChange, Tally, pair_changes
from rlhf_core.preferences.ranking import Preference
from rlhf_core.records import PairOutcome


def pair(
    outcome: PairOutcome, chosen: str | None = None, margin: float | None = None
) -> Preference:
    rejected = {"l": "r", "r": "l", None: None}[chosen]
    return Preference("l", "r", outcome, chosen, rejected, margin)


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
def test_every_transition_has_one_name(
    before: Preference | None, after: Preference | None, kind: Change
):
    assert PairChange(before, after).kind is kind


def test_where_nothing_could_be_ranked_a_side_is_missing():
    assert list(pair_changes([LEFT, TIE], [RIGHT, TIE])) == [(LEFT, RIGHT), (TIE, TIE)]
    assert list(pair_changes([LEFT, TIE], [])) == [(LEFT, None), (TIE, None)]
    assert list(pair_changes([], [LEFT])) == [(None, LEFT)]
    assert list(pair_changes([], [])) == []


def test_what_is_counted():
    """Preferred before: 0.5, 0.5, 0.5; after: 0.5, 0.3, 0.3. One of two chosen alike."""
    tallies = Tally(), Tally()
    changes = ((LEFT, LEFT), (LEFT, RIGHT), (LEFT, TIE), (None, RIGHT), (TIE, UNSCORED))
    for number, change in enumerate(changes):
        tallies[number % 2].add(PairChange(*change), "p")
    found = (tallies[0] + tallies[1]).comparison()
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
