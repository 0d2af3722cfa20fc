"""Rankings and pairs against values worked out by hand."""

from itertools import combinations, permutations

import pytest

from rlhf_core.preferences import Combination, Votes, pairs_of, rank
from rlhf_core.records import Judgement, Outcome, PairOutcome, Presented
from tests.facts import candidate, prompt

A, B, C = (candidate(text, index) for index, text in enumerate("abc"))
SOLE = Combination({"judge": 1.0}, tie_margin=0.02)


def score(of, value: float | None, version: str = "judge", outcome: Outcome = Outcome.SCORED):
    return Judgement(
        prompt_id=prompt().id,
        judge=version,
        judge_version=version,
        candidate_id=of.id,
        outcome=outcome,
        score=value,
    )


def contest(first, second, probability: float | None, version: str = "judge") -> Judgement:
    outcome = Outcome.UNPARSED
    if probability is not None:
        outcome = Outcome.FIRST if probability > 0.5 else Outcome.SECOND
    return Judgement(
        prompt_id=prompt().id,
        judge=version,
        judge_version=version,
        candidate_id=first.id,
        opponent_id=second.id,
        presented=Presented.FORWARD,
        outcome=outcome,
        probability=probability,
    )


def both_orders(one, other, first_order: float | None, second_order: float | None):
    """P(the first shown wins) with `one` first, then with `other` first."""
    return [contest(one, other, first_order), contest(other, one, second_order)]


def outcomes(judgements, combination: Combination = SOLE, candidates=(A, B, C)):
    ranking = rank(candidates, judgements, combination)
    assert ranking is not None
    pairs = pairs_of(ranking, candidates, judgements, combination, "config")
    return ranking, {(p.left_id, p.right_id): p for p in pairs}


def test_scores_rank_as_they_are():
    judgements = [score(A, 0.2), score(B, 0.9), score(C, 0.5)]
    ranking, pairs = outcomes(judgements)
    assert ranking.candidate_ids == (B.id, C.id, A.id)
    pair = pairs[A.id, B.id]
    assert (pair.chosen_id, pair.rejected_id) == (B.id, A.id)
    assert pair.margin == pytest.approx(0.7)
    assert pair.agreement == 1.0
    assert set(pair.judgement_ids) == {judgements[0].id, judgements[1].id}
    assert pair.config_hash == "config"


@pytest.mark.parametrize(("other", "is_tie"), [(0.5, True), (0.515, True), (0.53, False)])
def test_scores_within_the_tie_margin_are_tied(other: float, is_tie: bool):
    _, pairs = outcomes([score(A, 0.5), score(B, other), score(C, 0.9)])
    pair = pairs[A.id, B.id]
    assert (pair.outcome is PairOutcome.TIE) == is_tie
    assert (pair.chosen_id is None) == is_tie


def test_place_preference_cancels_out():
    """A judge that says "first" nine times in ten, whoever stands there, prefers nobody."""
    _, pairs = outcomes(both_orders(A, B, 0.9, 0.9), candidates=(A, B))
    assert pairs[A.id, B.id].outcome is PairOutcome.TIE


def test_margin_of_a_pairwise_judge_is_the_mean_of_both_orders():
    """A wins with 0.8 when first and with 1 − 0.4 when second: 2 × 0.7 − 1."""
    votes = Votes(both_orders(A, B, 0.8, 0.4))
    assert votes.margin("judge", A.id, B.id) == pytest.approx(0.4)
    assert votes.margin("judge", B.id, A.id) == pytest.approx(-0.4)


@pytest.mark.parametrize(
    "judgements",
    [
        both_orders(A, B, 0.9, None),
        both_orders(A, B, None, None),
        [contest(A, B, 0.9)],
        [],
    ],
)
def test_a_verdict_that_is_missing_in_one_order_is_no_vote(judgements):
    """Counting the readable order alone would count the judge's preference for a place."""
    assert Votes(judgements).margin("judge", A.id, B.id) is None
    assert rank((A, B), judgements, SOLE) is None


@pytest.mark.parametrize("outcome", [Outcome.UNPARSED, Outcome.UNAVAILABLE, Outcome.ABSTAINS])
def test_what_is_no_opinion_leaves_its_candidate_unscored(outcome: Outcome):
    judgements = [score(A, 0.1), score(B, 0.9), score(C, None, outcome=outcome)]
    ranking, pairs = outcomes(judgements)
    assert ranking.candidate_ids == (B.id, A.id)
    assert pairs[A.id, B.id].outcome is PairOutcome.PREFERRED
    assert pairs[A.id, C.id].outcome is PairOutcome.UNSCORED
    assert pairs[B.id, C.id].chosen_id is None


def test_contradictory_verdicts_average_out():
    """A beats B, B beats C and C beats A equally often: Borda gives them equal utilities."""
    circle = [
        judgement
        for one, other in ((A, B), (B, C), (C, A))
        for judgement in both_orders(one, other, 0.9, 0.1)
    ]
    ranking, pairs = outcomes(circle)
    assert ranking.utilities == pytest.approx((0.0, 0.0, 0.0))
    assert {pair.outcome for pair in pairs.values()} == {PairOutcome.TIE}


def test_judges_count_by_their_weight():
    """0.75 × 0.4 against 0.25 × 0.8: the first judge prevails with 0.1, by three quarters."""
    votes = Combination({"one": 3.0, "other": 1.0}, tie_margin=0.02)
    judgements = [
        score(A, 0.7, "one"),
        score(B, 0.3, "one"),
        score(A, 0.1, "other"),
        score(B, 0.9, "other"),
    ]
    _, pairs = outcomes(judgements, votes, candidates=(A, B))
    pair = pairs[A.id, B.id]
    assert pair.chosen_id == A.id
    assert pair.margin == pytest.approx(0.75 * 0.4 - 0.25 * 0.8)
    assert pair.agreement == pytest.approx(0.75)


@pytest.mark.parametrize(("others", "widest"), [(0, 1.0), (1, 4 / 3), (2, 1.5), (8, 1.8)])
def test_one_wins_and_one_loses_against_all_by_two_minus_two_k_ths(others: int, widest: float):
    """Utilities of K certain contests are (K − 1) / K and its opposite, of two ½ and −½."""
    answers = [candidate(f"answer {place}", place) for place in range(others + 2)]
    best, *middle, worst = answers
    certain = [
        judgement
        for one, other in [
            (best, worst),
            *((best, m) for m in middle),
            *((m, worst) for m in middle),
        ]
        for judgement in both_orders(one, other, 1.0, 0.0)
    ]
    ties = [j for two in combinations(middle, 2) for j in both_orders(*two, 0.5, 0.5)]
    _, pairs = outcomes([*certain, *ties], candidates=answers)
    assert max(pair.margin for pair in pairs.values()) == pytest.approx(widest)


def test_scores_of_all_never_differ_by_more_than_one():
    _, pairs = outcomes([score(A, 1.0), score(B, 0.0), score(C, 0.0)])
    assert max(pair.margin for pair in pairs.values()) == pytest.approx(1.0)


def test_a_ranking_rests_on_each_judgement_of_two_that_were_compared():
    """The other judge scored only B: no vote, but it was looked at."""
    judgements = [score(A, 0.2), score(B, 0.9), score(B, 0.5, "other")]
    ranking = rank((A, B), judgements, Combination({"judge": 1.0, "other": 1.0}, 0.02))
    assert ranking is not None
    assert ranking.judgement_ids == tuple(sorted(judgement.id for judgement in judgements))


def test_a_judge_without_weight_decides_nothing():
    judgements = [score(A, 0.2), score(B, 0.8), score(A, 1.0, "free"), score(B, 0.0, "free")]
    _, pairs = outcomes(judgements, candidates=(A, B))
    assert pairs[A.id, B.id].chosen_id == B.id
    assert pairs[A.id, B.id].judge_versions == ("judge",)


def test_order_of_candidates_and_judgements_does_not_matter():
    judgements = [score(A, 0.2), score(B, 0.9), score(C, 0.5)]
    rankings = {
        rank(candidates, order, SOLE).model_dump_json()
        for candidates in permutations((A, B, C))
        for order in permutations(judgements)
    }
    assert len(rankings) == 1


def test_another_combination_makes_another_ranking():
    judgements = [score(A, 0.2), score(B, 0.9)]
    wider = Combination({"judge": 1.0}, tie_margin=0.5)
    assert rank((A, B), judgements, SOLE).id != rank((A, B), judgements, wider).id
