"""The audit views, against a small store whose answers are known."""

import pytest

from rlhf_core.preferences import Combination, pairs_of, rank
from rlhf_core.records import (
    ConfigVersion,
    Judgement,
    ModelInput,
    ModelKind,
    ModelVersion,
    Outcome,
    Presented,
)
from rlhf_core.store import Store
from tests.facts import candidate, prompt

ASKED = prompt("Why?")
LONG = candidate("a b c d", 0, prompt_id=ASKED.id)
SHORT = candidate("a", 1, prompt_id=ASKED.id)


def judgement(judge: str, of, value: float | None = None, **fields: object) -> Judgement:
    return Judgement.model_validate(
        {
            "prompt_id": ASKED.id,
            "judge": judge,
            "judge_version": f"{judge}-1",
            "candidate_id": of.id,
            "outcome": Outcome.SCORED,
            "score": value,
            **fields,
        }
    )


def contest(first, second, probability: float, presented: Presented) -> Judgement:
    outcome = Outcome.FIRST if probability > 0.5 else Outcome.SECOND
    fields = {"opponent_id": second.id, "presented": presented, "outcome": outcome}
    return judgement("pairwise", first, None, probability=probability, **fields)


JUDGEMENTS = [
    judgement("one", LONG, 0.9),
    judgement("one", SHORT, 0.2),
    judgement("other", LONG, 0.1),
    judgement("other", SHORT, 0.6),
    contest(LONG, SHORT, 0.9, Presented.FORWARD),
    contest(SHORT, LONG, 0.7, Presented.REVERSED),
    judgement("silent", LONG, None, outcome=Outcome.UNPARSED),
]


@pytest.fixture
def filled(store: Store) -> Store:
    combination = Combination({"one-1": 1.0}, 0.02)
    ranking = rank([LONG, SHORT], JUDGEMENTS, combination)
    assert ranking is not None
    pairs = pairs_of(ranking, [LONG, SHORT], JUDGEMENTS, combination, "hash")
    base = ModelVersion(kind=ModelKind.BASE, base="tiny", recipe="{}", config_hash="hash")
    sft = ModelVersion(
        kind=ModelKind.SFT, base="tiny", parent_id=base.id, recipe="{}", config_hash="hash"
    )
    inputs = [ModelInput(model_id=sft.id, input_table="rankings", input_id=ranking.id)]
    config = ConfigVersion(config_hash="hash", config="{}")
    store.append([config, ASKED, LONG, SHORT, *JUDGEMENTS, ranking, *pairs, base, sft, *inputs])
    return store


def test_pairs_with_their_words(filled: Store):
    (row,) = filled.query("SELECT prompt, chosen, rejected, margin FROM pair_texts")
    assert row == {
        "prompt": "Why?",
        "chosen": "a b c d",
        "rejected": "a",
        "margin": pytest.approx(0.7),
    }


def test_votes_are_margins_towards_the_left(filled: Store):
    """Pairwise: P(long) is 0.9 when first and 1 − 0.7 when second: 2 × 0.6 − 1."""
    found = {
        row["judge_version"]: row["margin"] for row in filled.query("SELECT * FROM judge_votes")
    }
    assert found == {
        "one-1": pytest.approx(0.7),
        "other-1": pytest.approx(-0.5),
        "pairwise-1": pytest.approx(0.2),
    }


def test_agreement_of_every_two_judges(filled: Store):
    found = {
        (row["judge"], row["other_judge"]): row["agreement"]
        for row in filled.query("SELECT * FROM judge_agreement")
    }
    assert found == {
        ("one-1", "other-1"): 0.0,
        ("one-1", "pairwise-1"): 1.0,
        ("other-1", "pairwise-1"): 0.0,
    }


def test_biases(filled: Store):
    (position,) = filled.query("SELECT * FROM position_bias")
    assert (position["comparisons"], position["chose_first"]) == (2, 1.0)
    (length,) = filled.query("SELECT * FROM length_bias")
    assert (length["pairs"], length["longer_chosen"]) == (1, 1.0)


def test_summary_counts_what_was_not_scored(filled: Store):
    found = {row["judge"]: row for row in filled.query("SELECT * FROM judge_summary")}
    assert found["silent"]["unscored"] == 1
    assert found["one"]["mean_score"] == pytest.approx(0.55)
    assert filled.query("SELECT * FROM opinions WHERE judge = 'silent'") == []


def test_lineage_leads_to_prompts_and_parents(filled: Store):
    kinds = filled.query(
        "SELECT ancestor_kind FROM model_lineage WHERE model_id LIKE 'sft-%' ORDER BY generations"
    )
    assert [row["ancestor_kind"] for row in kinds] == ["sft", "base"]
    (row,) = filled.query("SELECT prompt_id FROM model_prompts")
    assert row["prompt_id"] == ASKED.id


def test_checks_are_empty_and_find_what_is_wrong(filled: Store):
    assert filled.query("SELECT * FROM check_orphans") == []
    assert filled.query("SELECT * FROM check_duplicate_ids") == []
    filled.append([candidate("lost", 5, prompt_id="nowhere")])
    assert [row["table_name"] for row in filled.query("SELECT * FROM check_orphans")] == [
        "candidates"
    ]
