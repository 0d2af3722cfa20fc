"""The policy is promoted, or refused with reasons; or a person is asked first."""

import logging
from pathlib import Path

from flows.champion.approval import approval_of, request_approval
from flows.champion.folder import place_champion
from flows.cycle.baseline import check_policy
from flows.cycle.cycle import Cycle
from flows.cycle.flow_runs import cycle_flow, link_report
from flows.cycle.identity import config_hash
from flows.cycle.stage import stage
from flows.guard.alarms import reasons_against
from flows.publishing.publish import announcement_of, publish_champion
from flows.reports.cycle_page import write_report
from flows.service.events import Event, announce
from rlhf_core.evaluation.promotion import decide
from rlhf_core.evaluation.spending import WinRateBound, bound_win_rate
from rlhf_core.records import ApprovalRequest, Evaluation, Promotion
from rlhf_core.store import Store, champions, line_queries, queries

logger = logging.getLogger(__name__)


@cycle_flow("promote")
def promote(cycle: Cycle, evaluation_id: str) -> bool | None:
    """Add the decision if it is missing.

    Args:
        cycle: The cycle under way.
        evaluation_id: The deciding evaluation.

    Returns:
        True if the policy was promoted, False if it was refused, None while a person has to decide:
        the cycle then stays open.

    Raises:
        ChampionChangedError: If a rollback changed the champion since the policy was trained.
    """
    with stage(cycle, "promote") as work:
        (evaluation,) = work.store.rows(Evaluation, "id = ?", [evaluation_id])
        decision = _decision(cycle, work.store, evaluation)
        if decision is None:
            work.is_over = False
            return None
        is_new = not queries.known_ids(work.store, Promotion.table, [decision.id])
        work.store.append([decision])  # its count is 0, too, if the row has to wait in the spool
        if is_new:
            work.news = "decided"
            _announce(decision)
        # A resumed cycle keeps its first decision.
        (kept,) = work.store.rows(Promotion, "id = ?", [decision.id])
        work.detail = {"promoted": kept.promoted, "because": "; ".join(kept.reasons)}
        _publish(cycle, work.store, place_champion(cycle.config, work.store))
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


def _decision(cycle: Cycle, store: Store, evaluation: Evaluation) -> Promotion | None:
    """Return the decision about the evaluated policy; None while a person has to decide."""
    kept = line_queries.promotions_of(store, cycle.line).get(cycle.number)
    if kept is not None:
        return kept
    _check(cycle, store, evaluation)
    known = _known(cycle, store, evaluation)
    promoted, reasons = decide(evaluation, known, cycle.config.promotion)
    withdrawal = champions.withdrawal_of(store, cycle.line, evaluation.policy_id)
    if withdrawal is not None:  # the same training came to the same policy
        said = f"it was rolled back by {withdrawal.decided_by}: {withdrawal.reason}"
        promoted, reasons = False, (said, *(() if promoted else reasons))
    if alarms := reasons_against(cycle.config, store, evaluation.policy_id):
        promoted, reasons = False, (*alarms, *(() if promoted else reasons))
    decision = Promotion(
        line=cycle.line,
        config_hash=config_hash(cycle.config),
        cycle=cycle.number,
        policy_id=evaluation.policy_id,
        baseline_id=evaluation.baseline_id,
        evaluation_id=evaluation.id,
        promoted=promoted,
        reasons=reasons,
        error_rate=known.error_rate,
        win_rate_bound=known.bound,
    )
    if not promoted or cycle.config.promotion.approval == "automatic":
        return decision
    approval = approval_of(store, cycle.line, cycle.number, evaluation.policy_id)
    if approval is None:
        _ask(cycle, store, ApprovalRequest.model_validate(decision.model_dump()))
        return None
    verb = "approved" if approval.approved else "rejected"
    said = f"{verb} by {approval.decided_by}: {approval.reason}"
    changes = {"promoted": approval.approved, "reasons": (said, *reasons)}
    return decision.model_copy(update=changes)


def _known(cycle: Cycle, store: Store, evaluation: Evaluation) -> WinRateBound:
    """Return the bound of the win rate at the error rate that is left for this decision."""
    margins = line_queries.margins_of(store, evaluation.id)
    wear = line_queries.holdout_wear(store.query, cycle.line, margins)
    total = 1 - cycle.config.promotion.confidence
    return bound_win_rate(list(margins.values()), wear.next_decision, total)


def _ask(cycle: Cycle, store: Store, request: ApprovalRequest) -> None:
    """Write the page that a person decides by, and ask for the decision, at each run."""
    request_approval(store, request)
    page = write_report(store, cycle).resolve().as_uri()
    link_report(cycle, f"waits for approval; {'; '.join(request.reasons)}", page)
    announce(
        Event.APPROVAL_WANTED,
        cycle.line,
        cycle=cycle.number,
        policy=request.policy_id,
        baseline=request.baseline_id,
        report=page,
    )
    logger.warning(
        "promote: policy %s meets the conditions and waits for a person; read %s, then decide: "
        "`solon approve %s --config … --reason …`, or `solon reject %s …`",
        request.policy_id,
        page,
        request.policy_id,
        request.policy_id,
    )


def _publish(cycle: Cycle, store: Store, folder: Path | None) -> None:
    """Publish the champion where it is not yet, also what failed at an earlier run."""
    for tried in publish_champion(cycle.config, store, folder):
        event, facts = announcement_of(tried)
        announce(event, cycle.line, cycle=cycle.number, **facts)


def _check(cycle: Cycle, store: Store, evaluation: Evaluation) -> None:
    """Refuse to decide about a policy that does not start from the present champion."""
    sft = line_queries.sft_behind(store, evaluation.policy_id)
    if sft is not None:
        check_policy(cycle, store, evaluation.policy_id, sft.id)
