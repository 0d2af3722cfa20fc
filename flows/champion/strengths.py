"""`solon champion --all`: every policy that a line decided on, on one scale."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from rlhf_core.evaluation.breakdown import holm, paired_difference
from rlhf_core.evaluation.judge_bias import sign
from rlhf_core.evaluation.model_strengths import ModelResult, model_strengths
from rlhf_core.records import EvaluationResult
from rlhf_core.store import Store, champions, line_queries

Decision = dict[str, Any]
"""A row of the view `model_comparisons`."""


def describe_strengths(store: Store, line: str, confidence: float) -> dict[str, Any]:
    """Return the strengths of all models that a line's deciding judge compared.

    Only comparisons by the judge version that decided last count: margins of different judges are
    not on one scale.

    Args:
        store: Store with the line's evaluations.
        line: Name of the line.
        confidence: Confidence of the intervals, 0.95 for 95 %.

    Returns:
        The facts, ready for JSON. `models` has a row for each model, by connected part;
        `differences` compares each policy with the one before it that had the same baseline;
        `left_out` counts decisions by other judge versions.
    """
    decisions = line_queries.compared_models(store, line)
    version = decisions[-1]["judge_version"] if decisions else None
    # A later evaluation of the same two models replaces an earlier one.
    kept = {
        (each["policy_id"], each["baseline_id"]): each
        for each in decisions
        if each["judge_version"] == version
    }
    by_id = {each["evaluation_id"]: each for each in kept.values()}
    rows = line_queries.results_of(store, list(by_id))
    cycles = {each["policy_id"]: each["cycle"] for each in kept.values()}
    champion = champions.champion(store, line)
    results = [
        ModelResult(
            row.prompt_id,
            by_id[row.evaluation_id]["policy_id"],
            by_id[row.evaluation_id]["baseline_id"],
            _result(row),
        )
        for row in rows
    ]
    models = model_strengths(results, _anchors(store), confidence)
    return {
        "line": line,
        "judge": decisions[-1]["judge"] if decisions else None,
        "judge_version": version,
        "confidence": confidence,
        "models": [
            {
                **asdict(each),
                "cycle": cycles.get(each.model_id),
                "is_champion": champion is not None and each.model_id == champion.policy_id,
            }
            for each in models
        ],
        "differences": _differences(list(kept.values()), rows, confidence),
        "left_out": sum(each["judge_version"] != version for each in decisions),
    }


def _anchors(store: Store) -> list[str]:
    """Return the SFT models of a store, the newest first."""
    rows = store.query("SELECT id FROM models WHERE kind = 'sft' ORDER BY created_at DESC, id")
    return [row["id"] for row in rows]


def _differences(
    decisions: Sequence[Decision], rows: Sequence[EvaluationResult], confidence: float
) -> list[dict[str, Any]]:
    """Return each policy's win rate minus that of the one before it with the same baseline."""
    by_evaluation: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        prompts = by_evaluation.setdefault(row.evaluation_id, {})
        prompts.setdefault(row.prompt_id, []).append(_result(row))
    found = []
    for baseline in dict.fromkeys(each["baseline_id"] for each in decisions):
        same = [each for each in decisions if each["baseline_id"] == baseline]
        for earlier, later in pairwise(same):
            ours, theirs = (
                by_evaluation.get(each["evaluation_id"], {}) for each in (later, earlier)
            )
            difference = paired_difference(ours, theirs, confidence)
            if difference is not None:
                names = {"policy_id": later["policy_id"], "earlier_id": earlier["policy_id"]}
                found.append({**names, "baseline_id": baseline, **asdict(difference)})
    corrected = holm([each["p"] for each in found])
    return [{**each, "p": p} for each, p in zip(found, corrected, strict=True)]


def _result(row: EvaluationResult) -> float:
    """Return 1 for a win of the policy, 0.5 for a tie, and 0 for a loss."""
    assert row.margin is not None, "the query leaves unscored comparisons out"
    return (1 + sign(row.margin)) / 2
