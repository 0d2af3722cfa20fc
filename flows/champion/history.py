"""`solon champion`: the champion of each line, how it became that, and its figures."""

from dataclasses import asdict
from typing import Any

from flows.champion.approval import open_request
from rlhf_core.config.evaluation import PromotionSettings
from rlhf_core.evaluation.wear import describe_wear
from rlhf_core.records import Evaluation, Promotion
from rlhf_core.store import Store, champions, line_queries

DEFAULT = PromotionSettings()
FIGURES = ("judge", "role", "prompts", "win_rate", "win_rate_low", "win_rate_high", "kl")


def lines_of(store: Store) -> list[str]:
    """Return the policy lines of a store that began a cycle, by name."""
    rows = store.query(
        "SELECT line FROM cycle_runs UNION SELECT line FROM promotions ORDER BY line"
    )
    return [row["line"] for row in rows]


def describe_champion(
    store: Store, line: str, promotion: PromotionSettings = DEFAULT
) -> dict[str, Any]:
    """Return the champion of a line with its figures, and every change of it.

    Args:
        store: Store with the line's decisions.
        line: Name of the line.
        promotion: Conditions of the line's next promotion.

    Returns:
        The facts, ready for JSON. `champion` is None while the line uses its SFT model without a
        decision; `history` begins with the newest change.
    """
    policy = champions.champion(store, line)
    history = store.query(
        "SELECT change, created_at, after_cycle AS cycle, from_id, to_id, decided_by, reason "
        "FROM champion_changes WHERE line = ? ORDER BY after_cycle DESC, number DESC",
        [line],
    )
    decisions = line_queries.promotions_of(store, line)
    promoted = decisions.get(policy.cycle) if policy else None
    request = open_request(store, line)
    decided_on = line_queries.decided_on(store.query, line)
    wear = line_queries.holdout_wear(store.query, line, decided_on)
    # After a rollback to it, the SFT model is the champion.
    model_id = policy.policy_id if policy else (history[0]["to_id"] if history else None)
    return {
        "line": line,
        "champion": model_id,
        "since": history[0]["created_at"] if history else None,
        "cycle": policy.cycle if policy else None,
        "decided_by": history[0]["decided_by"] if history else None,
        "reason": history[0]["reason"] if history else None,
        "baseline": promoted.baseline_id if promoted else None,
        "figures": _figures(store, promoted) if promoted else [],
        "refused_since": sum(
            not each.promoted
            for cycle, each in decisions.items()
            if cycle > (history[0]["cycle"] if history else 0)
        ),
        "waits_for_approval": request.policy_id if request else None,
        "wear": asdict(wear),
        "wear_in_words": describe_wear(wear, promotion),
        "history": history,
    }


def _figures(store: Store, promotion: Promotion) -> list[dict[str, Any]]:
    """Return the figures of the evaluation behind a promotion, one row a judge."""
    stored = line_queries.evaluations_of(store, promotion.policy_id, promotion.baseline_id)
    deciding = [each for each in stored if each.id == promotion.evaluation_id]
    settings = deciding[0].settings if deciding else None
    rows: list[Evaluation] = [each for each in stored if each.settings == settings]
    return [{name: getattr(each, name) for name in FIGURES} for each in rows]
