"""Labels beside the order of their ranking: what an auditor sees of votes that contradict."""

import pytest

from rlhf_core.preferences.ranking import pairs_of, rank
from rlhf_core.preferences.votes import Combination
from rlhf_core.records import Judgement, Outcome, Presented, Ranking
from rlhf_core.store import Store
from tests.facts import candidate, prompt

ASKED = prompt("Why?")
ANSWERS = {name: candidate(name, n, prompt_id=ASKED.id) for n, name in enumerate("abcd")}
SOLE = Combination({"judge-1": 1.0}, 0.1)


def votes(chances: dict[str, float]) -> list[Judgement]:
    """Both orders of every two, by the chance that the first is better."""
    return [
        Judgement(
            prompt_id=ASKED.id,
            judge="judge",
            judge_version="judge-1",
            candidate_id=ANSWERS[first].id,
            opponent_id=ANSWERS[second].id,
            presented=Presented.FORWARD if first < second else Presented.REVERSED,
            outcome=Outcome.FIRST if chance > 0.5 else Outcome.SECOND,
            probability=chance,
        )
        for (one, other), likely in chances.items()
        for first, second, chance in ((one, other, likely), (other, one, 1 - likely))
    ]


def fill(store: Store, chances: dict[str, float]) -> Ranking:
    said, answers = votes(chances), list(ANSWERS.values())
    ranking = rank(answers, said, SOLE)
    assert ranking is not None
    store.append([ASKED, *answers, *said, ranking, *pairs_of(ranking, answers, said, SOLE, "h")])
    return ranking


def test_a_label_that_the_other_votes_contradict_is_listed(store: Store):
    """Directly a beats b by 95 to 5; all other comparisons say that b is better."""
    fill(store, {"ab": 0.95, "ac": 0.05, "ad": 0.05, "bc": 0.95, "bd": 0.95, "cd": 0.6})
    (row,) = store.query(
        "SELECT chosen_id, rejected_id, margin, model_margin FROM intransitive_pairs"
    )
    assert (row["chosen_id"], row["rejected_id"]) == (ANSWERS["a"].id, ANSWERS["b"].id)
    assert row["margin"] == pytest.approx(0.9)
    assert row["model_margin"] < 0


def test_votes_that_agree_leave_no_trace(store: Store):
    fill(store, {"ab": 0.9, "ac": 0.9, "ad": 0.9, "bc": 0.9, "bd": 0.9, "cd": 0.9})
    assert store.query("FROM intransitive_pairs") == []


def test_parts_that_nobody_compared_are_kept_as_such(store: Store):
    ranking = fill(store, {"ac": 0.99, "bd": 0.01})
    (kept,) = store.rows(Ranking)
    assert kept.parts == ranking.parts
    assert sorted(kept.parts or ()) == [1, 1, 2, 2]
    (unscored,) = store.query("SELECT count(*) AS n FROM pairs WHERE outcome = 'unscored'")
    assert unscored["n"] == 4
