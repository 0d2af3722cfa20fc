"""Rankings and pairs against values worked out by hand."""

from itertools import combinations, permutations
from math import log

import pytest

from rlhf_core.preferences.bradley_terry import PRIOR_PRECISION
from rlhf_core.preferences.ranking import count_lacking, pairs_of, rank, rankings_and_pairs
from rlhf_core.preferences.votes import Combination, Votes
from rlhf_core.records import Judgement, Outcome, PairOutcome, Presented
from tests.facts import candidate, prompt

A, B, C = (candidate(text, index) for index, text in enumerate("abc"))
SOLE = Combination({"judge": 1.0}, tie_margin=0.1)


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
    # σ(0.7 / 0.1) = 0.99908895.
    assert pair.margin == pytest.approx(2 * 0.99908895 - 1)
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


def test_contradictory_verdicts_are_each_a_label_and_no_order():
    """A beats B, B beats C and C beats A equally often: equal strengths, and a trace in each."""
    circle = [
        judgement
        for one, other in ((A, B), (B, C), (C, A))
        for judgement in both_orders(one, other, 0.9, 0.1)
    ]
    ranking, pairs = outcomes(circle)
    assert ranking.utilities == pytest.approx((0.0, 0.0, 0.0))
    assert [pair.chosen_id for pair in pairs.values()] == [A.id, C.id, B.id]
    assert [pair.margin for pair in pairs.values()] == pytest.approx([0.8] * 3)
    assert [pair.model_margin for pair in pairs.values()] == pytest.approx([0.0] * 3)
    assert all(pair.is_intransitive for pair in pairs.values())


def test_judges_count_by_their_weight():
    """Each judge's probability counts by its weight, whatever the units of its scores.

    σ(0.4 / 0.1) = 0.98201379 counts three times, σ(−0.8 / 0.2) = 0.01798621 once.
    """
    votes = Combination({"one": 3.0, "other": 1.0}, 0.1, scales={"other": 0.2})
    judgements = [
        score(A, 0.7, "one"),
        score(B, 0.3, "one"),
        score(A, 0.1, "other"),
        score(B, 0.9, "other"),
    ]
    _, pairs = outcomes(judgements, votes, candidates=(A, B))
    pair = pairs[A.id, B.id]
    assert pair.chosen_id == A.id
    assert pair.margin == pytest.approx(2 * (0.75 * 0.98201379 + 0.25 * 0.01798621) - 1)
    assert pair.agreement == pytest.approx(0.75)


@pytest.mark.parametrize("candidates", range(2, 10))
def test_a_label_does_not_depend_on_how_many_candidates_there_are(candidates: int):
    """A judge that is certain, then one that says 0.95, of every two: so does the label."""
    answers = [candidate(f"answer {place}", place) for place in range(candidates)]
    for probability in (1.0, 0.95):
        said = [
            judgement
            for better, worse in combinations(answers, 2)
            for judgement in both_orders(better, worse, probability, 1 - probability)
        ]
        ranking, pairs = outcomes(said, candidates=answers)
        assert ranking.candidate_ids == tuple(answer.id for answer in answers)
        for pair in pairs.values():
            assert pair.margin == pytest.approx(2 * probability - 1)
            assert pair.chosen_id == pair.left_id
            assert not pair.is_intransitive


def test_two_answers_that_nobody_compared_have_no_label():
    """Only A–C and B–D were readable: nothing joins the two parts, and no order runs across."""
    d = candidate("d", 3)
    said = both_orders(A, C, 0.99, 0.01) + both_orders(B, d, 0.01, 0.99)
    ranking, pairs = outcomes(said, candidates=(A, B, C, d))
    labels = {two: pair.chosen_id for two, pair in pairs.items()}
    assert {two: chosen for two, chosen in labels.items() if chosen} == {
        (A.id, C.id): A.id,
        (B.id, d.id): d.id,
    }
    unscored = [pair for pair in pairs.values() if pair.outcome is PairOutcome.UNSCORED]
    assert len(unscored) == 4
    assert {pair.model_margin for pair in unscored} == {None}
    assert ranking.parts is not None
    assert dict(zip(ranking.candidate_ids, ranking.parts, strict=True)) == {
        A.id: 1,
        C.id: 1,
        B.id: 2,
        d.id: 2,
    }


def test_what_follows_from_other_pairs_is_shown_and_is_no_label():
    """A beats B and B beats C by 3 to 1, which makes 9 to 1 of A and C: log 3, 0 and −log 3.

    The vote is that much higher than 3/4 as the prior pulls at log 3.
    """
    chance = 0.75 + PRIOR_PRECISION * log(3)
    said = both_orders(A, B, chance, 1 - chance) + both_orders(B, C, chance, 1 - chance)
    ranking, pairs = outcomes(said)
    pair = pairs[A.id, C.id]
    assert (pair.outcome, pair.margin, pair.chosen_id) == (PairOutcome.UNSCORED, None, None)
    assert ranking.parts is None
    assert pair.model_margin == pytest.approx(2 * 0.9 - 1)


def test_a_vote_on_two_answers_is_their_label_whatever_the_others_say():
    """A beats B by 95 to 5 in both orders; every other vote says the opposite of it."""
    d = candidate("d", 3)
    votes = {(A, B): 0.95, (A, C): 0.05, (A, d): 0.05, (B, C): 0.95, (B, d): 0.95, (C, d): 0.6}
    said = [j for two, p in votes.items() for j in both_orders(*two, p, 1 - p)]
    ranking, pairs = outcomes(said, candidates=(A, B, C, d))
    pair = pairs[A.id, B.id]
    assert (pair.chosen_id, pair.margin) == (A.id, pytest.approx(0.9))
    assert ranking.candidate_ids.index(B.id) < ranking.candidate_ids.index(A.id)
    assert pair.model_margin is not None
    assert pair.model_margin < 0
    assert [two for two, found in pairs.items() if found.is_intransitive] == [(A.id, B.id)]


def test_the_same_words_are_tied_and_stand_together():
    """The judge scores one text 0.5 and 0.66, as batches in bf16 do, and the other between them."""
    copy = candidate("a", 3)
    said = [score(A, 0.5), score(copy, 0.66), score(B, 0.55)]
    ranking, pairs = outcomes(said, candidates=(A, B, copy))
    pair = pairs[A.id, copy.id]
    assert (pair.outcome, pair.margin, pair.model_margin) == (PairOutcome.TIE, 0.0, 0.0)
    places = {id: place for place, id in enumerate(ranking.candidate_ids)}
    assert abs(places[A.id] - places[copy.id]) == 1
    assert pairs[A.id, B.id].chosen_id == B.id
    assert pairs[B.id, copy.id].chosen_id == copy.id


def test_the_same_words_cut_off_are_another_answer():
    cut = candidate("a", 3, finish_reason="length")
    _, pairs = outcomes([score(A, 0.9), score(cut, 0.2)], candidates=(A, cut))
    assert pairs[A.id, cut.id].chosen_id == A.id


def test_a_copy_that_was_not_read_is_tied_with_the_one_that_was():
    copy = candidate("a", 3)
    _, pairs = outcomes([score(A, 0.5), score(B, 0.9)], candidates=(A, B, copy))
    assert pairs[A.id, copy.id].outcome is PairOutcome.TIE
    assert pairs[B.id, copy.id].outcome is PairOutcome.UNSCORED


def test_scores_rank_as_their_differences_over_the_scale():
    """Strengths are scores over the scale but for the prior: 0.2, 0.1 and 0 over 0.1."""
    ranking, pairs = outcomes([score(A, 0.7), score(B, 0.6), score(C, 0.5)])
    strengths = [log((1 + u) / (1 - u)) for u in ranking.utilities]
    assert strengths == pytest.approx([1.0, 0.0, -1.0], abs=0.03)
    assert pairs[A.id, C.id].model_margin == pytest.approx(pairs[A.id, C.id].margin, abs=0.03)


def test_a_ranking_is_the_same_alone_and_among_others():
    others = [[candidate(f"{n} {k}", k, prompt_id=f"p{n}") for k in range(3)] for n in range(20)]
    said = [score(A, 0.2), score(B, 0.9), score(C, 0.5)]
    noise = [
        score(answer, (7 * n + 3 * k) % 10 / 10).model_copy(update={"prompt_id": f"p{n}"})
        for n, group in enumerate(others)
        for k, answer in enumerate(group)
    ]
    rankings, pairs = rankings_and_pairs([*others, [A, B, C]], [*noise, *said], SOLE, "config")
    alone = rank((A, B, C), said, SOLE)
    assert alone is not None
    assert rankings[-1].model_dump_json() == alone.model_dump_json()
    assert pairs[-3:] == pairs_of(alone, (A, B, C), said, SOLE, "config")


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


def test_another_scale_makes_another_ranking():
    wider = Combination({"judge": 1.0}, 0.1, scales={"judge": 0.5})
    assert wider.recipe != SOLE.recipe
    assert Combination({"judge": 1.0}, 0.1, scales={"judge": 0.1}).recipe == SOLE.recipe


TWO = {"judge": 1.0, "strong": 3.0}


def test_no_judge_takes_over_the_weight_of_one_that_owes_its_verdict():
    """The judge of weight 3 did not answer about C: A and B are compared, the others are not."""
    judgements = [score(one, value) for one, value in ((A, 0.2), (B, 0.9), (C, 0.5))]
    judgements += [score(A, 0.9, "strong"), score(B, 0.2, "strong")]
    judgements.append(score(C, None, "strong", Outcome.UNAVAILABLE))
    _, pairs = outcomes(judgements, Combination(TWO, 0.1))
    assert pairs[A.id, B.id].chosen_id == A.id
    assert pairs[A.id, C.id].outcome is pairs[B.id, C.id].outcome is PairOutcome.UNSCORED
    assert count_lacking([[A, B, C]], judgements, Combination(TWO, 0.1)) == 2
    _, pairs = outcomes(judgements, Combination(TWO, 0.1, missing="reweigh"))
    assert pairs[A.id, C.id].chosen_id == C.id  # by the judge of weight 1 alone


def test_a_contest_of_which_one_order_was_not_read_lacks_a_verdict():
    judgements = [score(A, 0.2), score(B, 0.9), *both_orders(A, B, 0.9, None)]
    judgements[2:] = [j.model_copy(update={"judge_version": "strong"}) for j in judgements[2:]]
    combined = Combination(TWO, 0.1)
    assert rank([A, B], judgements, combined) is None
    assert count_lacking([[A, B]], judgements, combined) == 1


def test_a_judge_that_abstains_or_was_asked_again_owes_nothing():
    judgements = [score(A, 0.2), score(B, 0.9)]
    judgements += [score(one, None, "strong", Outcome.ABSTAINS) for one in (A, B)]
    _, pairs = outcomes(judgements, Combination(TWO, 0.1), (A, B))
    assert pairs[A.id, B.id].chosen_id == B.id
    again = [score(A, None, "strong", Outcome.UNAVAILABLE), score(A, 0.9, "strong")]
    judgements = [*judgements[:2], *again, score(B, 0.2, "strong")]
    _, pairs = outcomes(judgements, Combination(TWO, 0.1), (A, B))
    assert pairs[A.id, B.id].chosen_id == A.id
    assert count_lacking([[A, B]], judgements, Combination(TWO, 0.1)) == 0


def test_what_becomes_of_missing_verdicts_is_part_of_the_recipe():
    recipes = {Combination(TWO, 0.1, missing=how).recipe for how in ("unscored", "reweigh")}
    assert len(recipes) == 2
