"""The audit views, against a small store whose answers are known."""

import pytest

from rlhf_core.store import Store
from tests.facts import candidate
from tests.rlhf_core.store.judged import ASKED


def test_pairs_with_their_words(filled: Store):
    """σ((0.9 − 0.2) / 0.1) = 0.99908895."""
    (row,) = filled.query("SELECT prompt, chosen, rejected, margin FROM pair_texts")
    assert row == {
        "prompt": "Why?",
        "chosen": "a b c d",
        "rejected": "a",
        "margin": pytest.approx(2 * 0.99908895 - 1),
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
    assert [row["what"] for row in filled.query("SELECT * FROM check_orphans")] == ["candidates"]
