"""The policy is promoted, or refused with reasons."""

from flows.cycle.baseline import check_policy
from flows.cycle.cycle import Cycle
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.identity import config_hash
from flows.cycle.stage import stage
from flows.service.events import Event, announce
from rlhf_core.evaluation.promotion import decide
from rlhf_core.records import Evaluation, Promotion
from rlhf_core.store import Store, line_queries


@cycle_flow("promote")
def promote(cycle: Cycle, evaluation_id: str) -> bool:
    """Add the decision if it is missing; return True if the policy was promoted.

    Raises:
        ChampionChangedError: If a rollback changed the champion since the policy was trained.
    """
    with stage(cycle, "promote") as work:
        (evaluation,) = work.store.rows(Evaluation, "id = ?", [evaluation_id])
        _check(cycle, work.store, evaluation)
        promoted, reasons = decide(evaluation, cycle.config.promotion)
        decision = Promotion(
            line=cycle.line,
            config_hash=config_hash(cycle.config),
            cycle=cycle.number,
            policy_id=evaluation.policy_id,
            baseline_id=evaluation.baseline_id,
            evaluation_id=evaluation.id,
            promoted=promoted,
            reasons=reasons,
        )
        if work.store.append([decision]):
            work.news = "decided"
            _announce(decision)
        # A resumed cycle keeps its first decision.
        (kept,) = work.store.rows(Promotion, "id = ?", [decision.id])
        work.detail = {"promoted": kept.promoted, "because": "; ".join(kept.reasons)}
    return kept.promoted


def _announce(decision: Promotion) -> None:
    announce(
        Event.POLICY_PROMOTED if decision.promoted else Event.POLICY_REFUSED,
        decision.line,
        cycle=decision.cycle,
        policy=decision.policy_id,
        baseline=decision.baseline_id,
        because="; ".join(decision.reasons),
    )


def _check(cycle: Cycle, store: Store, evaluation: Evaluation) -> None:
    """Refuse to decide about a policy that does not start from the present champion."""
    if cycle.number in line_queries.promotions_of(store, cycle.line):
        return  # a resumed cycle keeps its decision
    sft = line_queries.sft_behind(store, evaluation.policy_id)
    if sft is not None:
        check_policy(cycle, store, evaluation.policy_id, sft.id)
