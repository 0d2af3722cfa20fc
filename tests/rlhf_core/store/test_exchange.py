"""Exports of our own pairs: the rows selected, and those left out."""

import json
from typing import Any

import pytest

from rlhf_core.exchange.columns import without_repeats
from rlhf_core.records import (
    ConfigVersion,
    Judgement,
    Mode,
    Outcome,
    Pair,
    PairOutcome,
    Ranking,
    Record,
    Retraction,
    Revision,
    Split,
)
from rlhf_core.store import Store, reading
from rlhf_core.store.exchange import Counts, Selection, count_rows, select_rows
from tests.facts import candidate, prompt, response

CONFIG = {"judges": [{"name": "strict", "weight": 3.0}, {"name": "mild", "weight": 1.0}]}
WHY = prompt(reference_answers=("Because.", " "))
BEST, WORST, SAME, EMPTY = (
    candidate(text, place, prompt_id=WHY.id)
    for place, text in enumerate(("best", "worst", "best", "\n"))
)


def judgement(judge: str, subject: Any, score: float) -> Judgement:
    return Judgement(
        prompt_id=WHY.id,
        judge=judge,
        judge_version=f"{judge}-1",
        candidate_id=subject.id,
        outcome=Outcome.SCORED,
        score=score,
    )


SCORES = [
    judgement("strict", BEST, 1.0),
    judgement("mild", BEST, 0.0),
    judgement("strict", WORST, 0.5),
]
RANKING = Ranking(
    prompt_id=WHY.id,
    model_id="sft-test",
    seed=1,
    recipe="r",
    candidate_ids=(BEST.id, SAME.id, WORST.id),
    utilities=(0.5, 0.0, -0.5),
    judgement_ids=(),
)


def pair(left: Any, right: Any, outcome: PairOutcome = PairOutcome.PREFERRED, **more: Any) -> Pair:
    preferred = {"chosen_id": left.id, "rejected_id": right.id, "margin": 0.5, "agreement": 0.75}
    return Pair.model_validate(
        {
            "prompt_id": WHY.id,
            "ranking_id": RANKING.id,
            "left_id": left.id,
            "right_id": right.id,
            "outcome": outcome,
            "judgement_ids": [said.id for said in SCORES],
            "judge_versions": ["mild-1", "strict-1"],
            "config_hash": "h",
            **(preferred if outcome is PairOutcome.PREFERRED else {}),
            **more,
        }
    )


PAIRS = [
    pair(BEST, WORST),
    pair(BEST, SAME),
    pair(BEST, EMPTY),
    pair(SAME, WORST, PairOutcome.TIE, margin=0.01),
    pair(SAME, EMPTY, PairOutcome.UNSCORED),
]


@pytest.fixture
def own(store: Store) -> Store:
    config = ConfigVersion(config_hash="h", config=json.dumps(CONFIG))
    answers: list[Record] = [BEST, WORST, SAME, EMPTY]
    store.append([config, WHY, *answers, *SCORES, RANKING, *PAIRS])
    return store


def rows(store: Store, subject: str, **filters: Any) -> list[dict[str, Any]]:
    with reading(store.files.database) as snapshot:
        return list(select_rows(snapshot, subject, Selection(**filters)))


def counts(store: Store, subject: str, **filters: Any) -> Counts:
    with reading(store.files.database) as snapshot:
        return count_rows(snapshot, subject, Selection(**filters))


def test_only_preferred_pairs_of_different_answers_go_out(own: Store):
    (found,) = rows(own, "preference")
    assert found["id"] == PAIRS[0].id
    assert (found["prompt"], found["chosen"], found["rejected"]) == ("Why?", "best", "worst")
    assert counts(own, "preference").rows == 1
    assert counts(own, "preference").left_out == {
        "tie": 1,
        "unscored": 1,
        "chosen equals rejected": 1,
        "empty answer": 1,
    }


def test_scores_are_weighted_as_the_config_weighs_judges(own: Store):
    """3 × 1 + 1 × 0 over 4; of the other, only the strict judge had an opinion."""
    (found,) = rows(own, "preference")
    assert (found["score_chosen"], found["score_rejected"]) == (0.75, 0.5)
    assert counts(own, "preference").columns == {
        "reference_answers",
        "score_chosen",
        "score_rejected",
        "agreement",
    }


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"split": Split.HOLDOUT}, 0),
        ({"mode": Mode.KNOWLEDGE_SEEKING}, 1),
        ({"mode": Mode.CREATIVE}, 0),
        ({"run": "test"}, 1),
        ({"run": "another"}, 0),
        ({"config_hash": "h"}, 1),
        ({"config_hash": "g"}, 0),
        ({"min_margin": 0.5}, 1),
        ({"min_margin": 0.51}, 0),
        ({"min_agreement": 0.75}, 1),
        ({"min_agreement": 0.76}, 0),
    ],
)
def test_filters_hold_back(own: Store, filters: dict[str, Any], kept: int):
    assert len(rows(own, "preference", **filters)) == kept
    assert counts(own, "preference", **filters).rows == kept


def test_a_label_is_whether_more_pairs_were_won_than_lost(own: Store):
    """The tie and the empty answer say nothing."""
    labels = {row["completion"]: row["label"] for row in rows(own, "kto")}
    assert labels == {"best": True, "worst": False}


def test_as_many_won_as_lost_is_left_out(own: Store):
    other = candidate("other", 7, prompt_id=WHY.id)
    own.append([other, pair(WORST, other)])
    labels = {row["completion"]: row["label"] for row in rows(own, "kto")}
    assert labels == {"best": True, "other": False}
    assert counts(own, "kto").left_out == {"won as often as lost": 1}


def test_a_ranking_goes_out_best_first(own: Store):
    (found,) = rows(own, "ranking", config_hash="h")
    assert found["answers"] == ["best", "best", "worst"]
    assert found["utilities"] == [0.5, 0.0, -0.5]
    assert rows(own, "ranking", config_hash="g") == []


def test_answers_that_were_cut_off_stay_unless_they_are_asked_for(own: Store):
    """A trainer would give them an end that they did not have; answers of data sets are whole."""
    cut = candidate("cut", 7, prompt_id=WHY.id, finish_reason="length")
    whole = candidate("whole", 8, prompt_id=WHY.id, finish_reason="external")
    ranking = RANKING.model_copy(
        update={
            "prompt_id": WHY.id, "recipe": "cut", "candidate_ids": (cut.id, BEST.id, whole.id),
        }
    )  # fmt: skip
    ranking = Ranking.model_validate(ranking.model_dump(exclude={"id"}))
    alone = Ranking.model_validate(
        {
            **ranking.model_dump(exclude={"id"}), "recipe": "alone",
            "candidate_ids": (BEST.id, cut.id), "utilities": (0.5, -0.5),
        }
    )  # fmt: skip
    own.append([cut, whole, ranking, alone, pair(cut, WORST), pair(BEST, cut), pair(whole, WORST)])
    found = {(row["chosen"], row["rejected"]) for row in rows(own, "preference")}
    assert found == {("best", "worst"), ("whole", "worst")}
    assert counts(own, "preference").left_out["cut off"] == 2
    kept = {(row["chosen"], row["rejected"]) for row in rows(own, "preference", with_cut_off=True)}
    assert kept == found | {("cut", "worst"), ("best", "cut")}
    assert {row["completion"] for row in rows(own, "kto")} == {"best", "worst", "whole"}

    def answers(**filters: Any) -> list[list[str]]:
        return sorted(row["answers"] for row in without_repeats(rows(own, "ranking", **filters)))

    assert answers() == [["best", "whole"], ["best", "worst"]]
    assert counts(own, "ranking").left_out == {"cut off": 1}
    assert answers(with_cut_off=True) == [
        ["best", "cut"], ["best", "worst"], ["cut", "best", "whole"]
    ]  # fmt: skip
    assert [row["completion"] for row in rows(own, "rankings")] == ["best", "best"]
    assert counts(own, "rankings").left_out == {"cut off": 1}


def test_revisions_that_were_cut_off_stay_unless_they_are_asked_for(own: Store):
    said = [response(text, finish_reason=reason) for text, reason in (
        ("critique", "length"), ("half", "length"), ("whole", "eos"),
    )]  # fmt: skip

    def revision(reviser: str, *response_ids: str) -> Revision:
        return Revision(
            prompt_id=WHY.id, reviser=reviser, model="m", round=1, text=reviser,
            response_ids=response_ids,
        )  # fmt: skip

    critique, half, whole = (one.id for one in said)
    own.append([*said, revision("half", critique, half), revision("whole", critique, whole)])
    assert [row["completion"] for row in rows(own, "revisions")] == ["whole"]
    assert counts(own, "revisions").left_out == {"cut off": 1}
    assert len(rows(own, "revisions", with_cut_off=True)) == 2


def test_demonstrations_come_from_references_rankings_or_revisions(own: Store):
    def revision(number: int, text: str, reviser: str = "v") -> Revision:
        return Revision(prompt_id=WHY.id, reviser=reviser, model="m", round=number, text=text)

    own.append([revision(0, "first"), revision(1, "second"), revision(0, "alone", "w")])
    shown = {
        subject: [row["completion"] for row in rows(own, subject)]
        for subject in ("references", "rankings", "revisions")
    }
    assert shown == {"references": ["Because."], "rankings": ["best"], "revisions": ["second"]}
    assert counts(own, "references").left_out == {"empty answer": 1}
    assert counts(own, "revisions").left_out == {"never revised": 1}


def test_what_was_retracted_does_not_go_out(own: Store):
    decided = Retraction(
        subject_table="judgements",
        subject_id=SCORES[0].id,
        number=1,
        reason="wrong",
        retracted_by="me",
    )
    own.append([decided])
    assert rows(own, "preference") == []
    assert counts(own, "preference").left_out == {"retracted": 5}


def test_an_empty_store_exports_nothing(store: Store):
    for subject in ("preference", "ranking", "kto", "references", "rankings", "revisions"):
        assert (rows(store, subject), counts(store, subject).rows) == ([], 0)
