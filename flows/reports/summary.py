"""Summary of a cycle that has ended, as text and as JSON.

Imports neither torch nor Prefect, so that a rerun that finds nothing missing ends at once.
"""

from typing import Any

from rich.console import Console
from rich.table import Table

from flows.champion.approval import open_request
from flows.cycle.cycle import Cycle
from rlhf_core.config import Config
from rlhf_core.records import Evaluation
from rlhf_core.store import Store, line_queries


def summary(config: Config, number: int, added: dict[str, int]) -> dict[str, Any]:
    """Return the figures of a cycle that has ended.

    Args:
        config: Config of the line.
        number: Number of the cycle.
        added: Number of rows that this run added, by table.

    Returns:
        The figures, ready for JSON.
    """
    store = Store(config.store)
    promotion = line_queries.promotions_of(store, config.name)[number]
    stored = line_queries.evaluations_of(store, promotion.policy_id, promotion.baseline_id)
    deciding = next(e for e in stored if e.id == promotion.evaluation_id)
    evaluations = [e for e in stored if e.settings == deciding.settings]
    return {
        "line": config.name,
        "cycle": number,
        "decided_at": line_queries.decided_at(store, promotion).isoformat(timespec="seconds"),
        "promoted": promotion.promoted,
        "reasons": list(promotion.reasons),
        "error_rate": promotion.error_rate,
        "win_rate_bound": promotion.win_rate_bound,
        "policy": promotion.policy_id,
        "baseline": promotion.baseline_id,
        "evaluations": [_figures(evaluation) for evaluation in evaluations],
        "kl": deciding.kl,
        "store": str(config.store),
        "added": added,
        "is_edited": _is_edited(store, config, promotion.config_hash),
        "report": str(Cycle(config=config, number=number, run_id="").report_path),
    }


def waiting_for_approval(config: Config, cycles: int) -> dict[str, Any] | None:
    """Return the policy of a line that a person has to decide about before a run can go on.

    Args:
        config: Config of the line.
        cycles: Number of cycles that the run was to end.

    Returns:
        The facts, ready for JSON; None if nothing waits.
    """
    request = open_request(Store(config.store), config.name)
    if request is None or request.cycle > cycles:
        return None
    return {
        "line": config.name,
        "cycle": request.cycle,
        "waits_for_approval": request.policy_id,
        "reasons": list(request.reasons),
        "report": str(Cycle(config=config, number=request.cycle, run_id="").report_path),
    }


def print_waiting(facts: dict[str, Any], to: Console) -> None:
    """Print which policy waits for approval, and how to decide."""
    policy = facts["waits_for_approval"]
    lines = [
        f"line {facts['line']}, cycle {facts['cycle']}: policy {policy} meets the conditions and "
        f"waits for approval; {'; '.join(facts['reasons'])}",
        f"report: {facts['report']}",
        f"decide: solon approve {policy} --config … --reason …, or solon reject …",
    ]
    to.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _is_edited(store: Store, config: Config, ran_as: str) -> bool:
    """Return True if the config was edited in a way that changes results."""
    kept = line_queries.config_version(store, ran_as)
    if kept is not None and kept.config == config.model_dump_json():
        return False
    from flows.cycle.identity import config_hash  # imports judges, which takes its time

    return config_hash(config) != ran_as


def print_summary(figures: dict[str, Any], to: Console) -> None:
    """Print the figures of a cycle that has ended."""
    table = Table("judge", "role", "win rate", "interval", "before", "after")
    for row in figures["evaluations"]:
        table.add_row(
            row["judge"],
            row["role"].replace("_", " "),
            _share(row["win_rate"]),
            f"{_share(row['win_rate_low'])} to {_share(row['win_rate_high'])}",
            _score(row["baseline_score"]),
            _score(row["policy_score"]),
        )
    to.print(table)
    verdict = "promoted" if figures["promoted"] else "refused"
    lines = [
        f"line {figures['line']}, cycle {figures['cycle']}, {figures['decided_at'][:10]}: "
        f"{verdict}; {'; '.join(figures['reasons'])}",
        f"policy {figures['policy']} against {figures['baseline']}",
    ]
    if figures["added"]:
        lines.append(describe_added(figures["added"]))
    else:
        another = figures["cycle"] + 1
        edited = " by the edited config" if figures["is_edited"] else ""
        lines.append(
            "rows added: none; this cycle had ended before "
            f"(--cycles {another} runs another{edited})"
        )
    lines += [f"store:  {figures['store']}", f"report: {figures['report']}"]
    to.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def describe_added(added: dict[str, int]) -> str:
    """Describe the rows that a run added, by table."""
    rows = ", ".join(f"{table} {count}" for table, count in added.items())
    return f"rows added: {rows or 'none'}"


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    return evaluation.model_dump(
        include={
            "judge",
            "judge_version",
            "role",
            "prompts",
            "comparisons",
            "unscored",
            "win_rate",
            "win_rate_low",
            "win_rate_high",
            "policy_score",
            "baseline_score",
            "policy_tokens",
            "baseline_tokens",
        }
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
