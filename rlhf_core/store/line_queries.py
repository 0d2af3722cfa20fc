"""Queries about policy lines: their runs, models and evaluations."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from rlhf_core.evaluation.wear import Wear, wear_of
from rlhf_core.records import (
    ApprovalRequest,
    ConfigVersion,
    CycleRun,
    Evaluation,
    EvaluationResult,
    Metric,
    ModelInput,
    ModelVersion,
    Promotion,
    Ranking,
    RewardComparison,
    StageRun,
)
from rlhf_core.store.store import Store
from rlhf_core.store.trigger_queries import Query


def model(store: Store, model_id: str) -> ModelVersion | None:
    rows = store.rows(ModelVersion, "id = ?", [model_id])
    return rows[0] if rows else None


def inputs_of(store: Store, model_id: str) -> list[ModelInput]:
    return store.rows(ModelInput, "model_id = ?", [model_id])


def rankings_learnt(store: Store, model_id: str) -> list[Ranking]:
    """Return the rankings that a model learnt from, by id; forgotten ones are missing."""
    rankings = store.rows(
        Ranking,
        "id IN (SELECT input_id FROM model_inputs "
        "WHERE model_id = ? AND role = 'learnt' AND input_table = 'rankings')",
        [model_id],
    )
    return sorted(rankings, key=lambda ranking: ranking.id)


def promotions_of(store: Store, line: str) -> dict[int, Promotion]:
    """Return the decision of each cycle of a policy line, by the cycle's number."""
    rows = store.rows(Promotion, "line = ?", [line])
    return {promotion.cycle: promotion for promotion in rows}


def decided_at(store: Store, decision: Promotion | ApprovalRequest) -> datetime:
    """Return the time at which a decision, or the request for it, was written."""
    (row,) = store.query(f"SELECT created_at FROM {decision.table} WHERE id = ?", [decision.id])
    decided: datetime = row["created_at"]
    return decided


def stage_runs_of(store: Store, line: str, stage: str) -> list[StageRun]:
    """Return the runs of a stage; a cycle has one for each config that reached the stage.

    Args:
        store: The store.
        line: The policy line.
        stage: The name of the stage.
    """
    return store.rows(StageRun, "line = ? AND stage = ?", [line, stage])


def last_stage_run(
    store: Store, line: str, cycle: int, stage: str, config_hash: str
) -> StageRun | None:
    """Return the last run of a stage in a cycle under a config; None if it has not ended yet.

    Args:
        store: The store.
        line: The policy line.
        cycle: Number of the cycle.
        stage: The name of the stage.
        config_hash: Hash of the config.
    """
    where = "line = ? AND cycle = ? AND stage = ? AND config_hash = ?"
    runs = store.rows(StageRun, where, [line, cycle, stage, config_hash])
    return max(runs, key=lambda run: run.number, default=None)


def cycle_runs_of(store: Store, line: str) -> list[CycleRun]:
    """Return the runs of a line's cycles, in the order in which they began."""
    rows = store.query("SELECT * FROM cycle_runs WHERE line = ? ORDER BY created_at", [line])
    return [CycleRun.model_validate(row) for row in rows]


def config_version(store: Store, config_hash: str) -> ConfigVersion | None:
    rows = store.rows(ConfigVersion, "config_hash = ?", [config_hash])
    return rows[0] if rows else None


def sft_behind(store: Store, policy_id: str) -> ModelVersion | None:
    """Return the SFT model that a policy was initialised from, directly or not."""
    rows = store.query(
        "SELECT ancestor_id FROM model_lineage JOIN models ON models.id = ancestor_id "
        "WHERE model_id = ? AND models.kind = 'sft' ORDER BY generations LIMIT 1",
        [policy_id],
    )
    return model(store, rows[0]["ancestor_id"]) if rows else None


def evaluations_of(store: Store, policy_id: str, baseline_id: str) -> list[Evaluation]:
    """Return the evaluations of a policy against a baseline, one a judge.

    Args:
        store: The store.
        policy_id: The policy.
        baseline_id: The champion or SFT model that it was compared with.
    """
    return store.rows(Evaluation, "policy_id = ? AND baseline_id = ?", [policy_id, baseline_id])


def margins_of(store: Store, evaluation_id: str) -> dict[str, list[float | None]]:
    """Return the margins of an evaluation's comparisons by prompt, null without an opinion.

    Args:
        store: The store.
        evaluation_id: The evaluation.
    """
    results = store.rows(EvaluationResult, "evaluation_id = ?", [evaluation_id])
    margins: dict[str, list[float | None]] = {}
    for result in sorted(results, key=lambda each: (each.prompt_id, each.sample)):
        margins.setdefault(result.prompt_id, []).append(result.margin)
    return margins


def compared_models(store: Store, line: str) -> list[dict[str, Any]]:
    """Return the comparisons of a line's policies with their baselines, one row a decision.

    Returns:
        Rows of the view `model_comparisons`, by cycle.
    """
    return store.query("SELECT * FROM model_comparisons WHERE line = ? ORDER BY cycle", [line])


def results_of(store: Store, evaluation_ids: Collection[str]) -> list[EvaluationResult]:
    """Return the comparisons of some evaluations that the judge had an opinion on."""
    where = "evaluation_id IN (SELECT unnest(?)) AND margin IS NOT NULL"
    return store.rows(EvaluationResult, where, [list(evaluation_ids)])


def metrics_of(store: Store, model_id: str) -> dict[str, list[tuple[int, float]]]:
    """Return each metric of a model as (step, value), steps ascending."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for metric in store.rows(Metric, "model_id = ?", [model_id]):
        curves.setdefault(metric.name, []).append((metric.step, metric.value))
    return {name: sorted(points) for name, points in curves.items()}


def reward_comparison(store: Store, line: str, model_id: str) -> RewardComparison | None:
    """Return the decision whether a reward model may train policies of a line, if there is one.

    Args:
        store: The store.
        line: The policy line.
        model_id: The reward model.
    """
    rows = store.rows(RewardComparison, "line = ? AND model_id = ?", [line, model_id])
    return rows[0] if rows else None


def accepted_reward_model(store: Store, line: str) -> ModelVersion | None:
    """Return the reward model of a line that was accepted last and rests on nothing retracted."""
    rows = store.query(
        "SELECT model_id FROM reward_comparisons WHERE line = ? AND accepted "
        "AND model_id NOT IN (SELECT model_id FROM tainted_models) "
        "ORDER BY cycle DESC, created_at DESC LIMIT 1",
        [line],
    )
    return model(store, rows[0]["model_id"]) if rows else None


def holdout_wear(query: Query, line: str, prompt_ids: Collection[str]) -> Wear:
    """Return how worn some held-out prompts are by a line's decisions.

    Args:
        query: Queries of the store, or of its snapshot.
        line: The policy line.
        prompt_ids: The held-out prompts.
    """
    rows = query(
        "SELECT decisions, error_spent FROM holdout_wear "
        "WHERE line = ? AND prompt_id IN (SELECT unnest(?))",
        [line, list(prompt_ids)],
    )
    return wear_of(len(prompt_ids), [(row["decisions"], row["error_spent"]) for row in rows])


def decided_on(query: Query, line: str) -> list[str]:
    """Return the held-out prompts that a line's last decision had an opinion on."""
    rows = query(
        "SELECT DISTINCT prompt_id FROM evaluation_results WHERE margin IS NOT NULL "
        "AND evaluation_id = (SELECT arg_max(evaluation_id, cycle) FROM promotions WHERE line = ?)",
        [line],
    )
    return [row["prompt_id"] for row in rows]


def tainted_models(store: Store) -> set[str]:
    """Return the models that rest on something retracted."""
    return {row["model_id"] for row in store.query("SELECT model_id FROM tainted_models")}


def spent_in_last_run(query: Query, line: str) -> tuple[float, int, int]:
    """Return what the last run of a line spent on remote models: US dollars, tokens, calls."""
    (row,) = query(
        "SELECT coalesce(sum(cost_usd), 0.0) AS usd, coalesce(sum(calls), 0)::BIGINT AS calls, "
        "coalesce(sum(prompt_tokens + completion_tokens), 0)::BIGINT AS tokens FROM stage_costs "
        "WHERE run_id = (SELECT run_id FROM cycle_runs WHERE line = ? "
        "ORDER BY created_at DESC LIMIT 1)",
        [line],
    )
    return row["usd"], row["tokens"], row["calls"]


def spent_since(query: Query, line: str, since: datetime) -> tuple[float, int, int]:
    """Return what all runs of a line spent on remote models: US dollars, tokens, calls.

    Args:
        query: Queries a store or a snapshot of it.
        line: The policy line.
        since: Only calls that were stored at this time or later count.
    """
    (row,) = query(
        "WITH runs AS (SELECT DISTINCT run_id FROM cycle_runs WHERE line = $1), calls AS ("
        "SELECT run_id, cost_usd, prompt_tokens + completion_tokens AS tokens, created_at "
        "FROM responses UNION ALL "
        "SELECT run_id, cost_usd, prompt_tokens + completion_tokens, created_at FROM candidates "
        "WHERE model_id IN (SELECT id FROM models WHERE kind = 'endpoint')) "
        "SELECT coalesce(sum(cost_usd), 0.0) AS usd, coalesce(sum(tokens), 0)::BIGINT AS tokens, "
        "count(*) AS calls FROM calls SEMI JOIN runs USING (run_id) WHERE created_at >= $2",
        [line, since],
    )
    return row["usd"], row["tokens"], row["calls"]
