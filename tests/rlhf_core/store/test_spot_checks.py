"""Spot checks in the store: what is still to be asked, what is kept, what the views make of it."""

import pytest

from rlhf_core.preferences.ranking import pairs_of, rank
from rlhf_core.preferences.spot_checks import PairToCheck, choose
from rlhf_core.preferences.votes import Combination
from rlhf_core.records import (
    ConfigVersion,
    HumanVerdict,
    Judgement,
    Outcome,
    Pair,
    Presented,
    Ranking,
    Split,
    SpotCheck,
    Strategy,
)
from rlhf_core.store import Store
from rlhf_core.store.audit.spot_checks import checkable, record
from tests.facts import candidate, prompt

ASKED = prompt("Why?")
WORDS = ("best", "good", "poor", "good")
ANSWERS = [candidate(text, n, prompt_id=ASKED.id) for n, text in enumerate(WORDS)]
SCORES = {"one": (0.9, 0.6, 0.1, 0.6), "other": (0.8, 0.9, 0.1, 0.9)}
VERDICT = HumanVerdict


def judgement(judge: str, of, score: float | None = None, **fields: object) -> Judgement:
    defaults = {"prompt_id": ASKED.id, "judge": judge, "judge_version": f"{judge}-1"}
    outcome = {"candidate_id": of.id, "outcome": Outcome.SCORED, "score": score}
    return Judgement.model_validate({**defaults, **outcome, **fields})


JUDGEMENTS = [
    judgement(name, answer, score)
    for name, scores in SCORES.items()
    for answer, score in zip(ANSWERS, scores, strict=True)
]


@pytest.fixture
def filled(store: Store) -> Store:
    """Best, good (twice), poor: `other` dissents on best and good."""
    combination = Combination({"one-1": 1.0, "other-1": 1.0}, 0.1)
    ranking = rank(ANSWERS, JUDGEMENTS, combination)
    assert ranking is not None
    pairs = pairs_of(ranking, ANSWERS, JUDGEMENTS, combination, "hash")
    config = ConfigVersion(config_hash="hash", config="{}")
    store.append([config, ASKED, *ANSWERS, *JUDGEMENTS, ranking, *pairs])
    return store


def ask(store: Store, person: str, left: str, right: str) -> PairToCheck:
    """The pair of these words, or the first of them."""
    words = (left, right)
    found = [p for p in checkable(store, person) if (p.left.text, p.right.text) == words]
    return PairToCheck(found[0], Strategy.RANDOM)


def say(
    store: Store, check: PairToCheck, person: str, verdict: HumanVerdict, **fields
) -> SpotCheck:
    """Answer like a person who sees the screen and has this verdict on the pair's own sides."""
    return record(store, check, person, check.pair.verdict(verdict, person), 1.5, **fields)


def test_what_can_be_asked_are_pairs_of_different_words_with_their_worth(filled: Store):
    """Six pairs, of which good against good is left out. Agreement on best and good is half."""
    found = {(pair.left.text, pair.right.text): pair for pair in checkable(filled, "ada")}
    assert set(found) == {("best", "good"), ("best", "poor"), ("good", "poor"), ("poor", "good")}
    disputed = found["best", "good"]
    # σ(0.3 / 0.1) = 0.9525741 and σ(−0.1 / 0.1) = 0.2689414; half each, as 2 P − 1.
    margin = 0.9525741 + 0.2689414 - 1
    assert (disputed.prompt, disputed.context) == ("Why?", None)
    assert disputed.dissent == pytest.approx(0.5)
    assert disputed.margin == pytest.approx(margin)
    assert disputed.weight == pytest.approx(margin * 5)  # five of six pairs are preferred
    assert found["best", "poor"].dissent == 0
    # σ(0.8 / 0.1) = 0.9996646 and σ(0.7 / 0.1) = 0.9990889.
    assert found["best", "poor"].weight == pytest.approx((0.9996646 + 0.9990889 - 1) * 5)


def test_each_person_is_asked_once(filled: Store):
    check = ask(filled, "ada", "best", "poor")
    say(filled, check, "ada", VERDICT.LEFT)
    assert check.pair not in checkable(filled, "ada")
    assert check.pair in checkable(filled, "bob")


def test_the_split_is_kept_to_and_the_pool_bounds_what_is_read(filled: Store):
    assert checkable(filled, "ada", Split.HOLDOUT) == []
    assert len(checkable(filled, "ada", Split.TRAIN)) == 5
    assert len(checkable(filled, "ada", pool=1)) in (2, 3, 4)


def test_a_pair_made_again_by_another_recipe_is_asked_once_and_as_it_is_now(filled: Store):
    combination = Combination({"other-1": 1.0}, 0.02)
    ranking = rank(ANSWERS, JUDGEMENTS, combination)
    assert ranking is not None
    filled.append([ranking, *pairs_of(ranking, ANSWERS, JUDGEMENTS, combination, "hash")])
    filled.publish()
    found = checkable(filled, "ada")
    assert len(found) == 5
    assert ask(filled, "ada", "best", "good").pair.dissent == 0


def test_a_check_is_kept_as_it_was_said_and_shown(filled: Store):
    for person in ("ada", "bob", "cy", "di"):
        check = ask(filled, person, "best", "poor")
        left_on_screen = check.pair.shown_to(person)[0]
        record(filled, check, person, VERDICT.LEFT, 2.5, note="'); DROP TABLE pairs; --")
        (kept,) = filled.rows(SpotCheck, "person = ?", [person])
        assert kept.shown_left == left_on_screen.id
        assert kept.verdict == ("left" if left_on_screen.text == "best" else "right")
        assert (kept.strategy, kept.seconds, kept.round) == (Strategy.RANDOM, 2.5, 1)
        assert kept.note == "'); DROP TABLE pairs; --"


def test_a_changed_mind_is_a_new_row_and_the_newest_counts(filled: Store):
    check = ask(filled, "ada", "best", "poor")
    rounds = [
        say(filled, check, "ada", v).round for v in (VERDICT.LEFT, VERDICT.RIGHT, VERDICT.TIE)
    ]
    assert rounds == [1, 2, 3]
    assert [kept.verdict for kept in filled.rows(SpotCheck)] == ["left", "right", "tie"]
    (row,) = filled.query("SELECT verdict, preference, round FROM human_verdicts")
    assert row == {"verdict": "tie", "preference": 0, "round": 3}


def test_judges_and_label_are_counted_against_people(filled: Store):
    """Counted by hand: on best against good, `one` and the label take best, `other` takes good.

    Of poor against good all take good, the right one.
    """
    good, poor = ask(filled, "ada", "best", "good"), ask(filled, "ada", "best", "poor")
    say(filled, good, "ada", VERDICT.RIGHT)
    say(filled, poor, "ada", VERDICT.LEFT)
    say(filled, ask(filled, "ada", "poor", "good"), "ada", VERDICT.RIGHT)
    say(filled, good, "bob", VERDICT.TIE)
    say(filled, poor, "bob", VERDICT.UNSURE)
    found = {row["judge"]: row for row in filled.query("SELECT * FROM judge_human_agreement")}
    counts = ("checks", "decided", "agreed", "person_tied", "judge_tied", "person_unsure")
    assert {judge: tuple(row[c] for c in counts) for judge, row in found.items()} == {
        "one": (5, 3, 2, 1, 0, 1),
        "other": (5, 3, 3, 1, 0, 1),
        None: (5, 3, 2, 1, 0, 1),
    }
    assert found[None]["source"] == "label"
    assert found["other"]["agreement"] == 1.0


def contest(first, second, probability: float) -> Judgement:
    outcome = Outcome.FIRST if probability > 0.5 else Outcome.SECOND
    presented = Presented.FORWARD if first is ANSWERS[0] else Presented.REVERSED
    shown = {"opponent_id": second.id, "presented": presented, "outcome": outcome}
    return judgement("pairwise", first, None, probability=probability, **shown)


def test_a_contest_counts_where_both_orders_were_readable(filled: Store):
    """P(best) is 0.9 when first and 1 − 0.3 when second: 2 × 0.8 − 1."""
    check = ask(filled, "ada", "best", "poor")
    say(filled, check, "ada", VERDICT.LEFT)
    best, poor = ANSWERS[0], ANSWERS[2]
    asked = "SELECT margin, agrees FROM judge_human_votes WHERE judge = 'pairwise'"
    filled.append([contest(best, poor, 0.9)])
    assert filled.query(asked) == []
    filled.append([contest(poor, best, 0.3)])
    assert filled.query(asked) == [{"margin": pytest.approx(0.6), "agrees": 1}]


def test_checks_change_neither_rankings_nor_pairs(filled: Store):
    before = filled.rows(Ranking), filled.rows(Pair), filled.counts()
    for check in choose(checkable(filled, "ada"), 4, "mixed", seed=1):
        say(filled, check, "ada", VERDICT.RIGHT)
    assert (filled.rows(Ranking), filled.rows(Pair)) == before[:2]
    changed = {t: n for t, n in filled.counts().items() if n != before[2][t]}
    assert changed == {"spot_checks": 3}  # good is there twice, and asked about once
