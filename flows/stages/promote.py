"""The policy is promoted, or refused with reasons."""

from flows.cycle.cycle import Cycle
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.identity import config_hash
from flows.cycle.stage import stage
from flows.service.events import Event, announce
from rlhf_core.evaluation.promotion import decide
from rlhf_core.records import Evaluation, Promotion


@cycle_flow("promote")
def promote(cycle: Cycle, evaluation_id: str) -> bool:
    """Add the decision if it is missing; return True if the policy was promoted."""
    with stage(cycle, "promote") as work:
        (evaluation,) = work.store.rows(Evaluation, "id = ?", [evaluation_id])
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
