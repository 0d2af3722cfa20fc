"""Approval by a person: the request of the promote stage, and the decision that answers it."""

from flows.cycle.baseline import check_policy
from flows.cycle.cycle import Cycle
from rlhf_core.config import Config
from rlhf_core.errors import IdError, StoreError
from rlhf_core.records import Approval, ApprovalRequest
from rlhf_core.store import Store, line_queries, store_exists
from rlhf_core.store.ids import whole_id


def request_approval(store: Store, request: ApprovalRequest) -> None:
    """Add a request for a decision, unless it was added before, so that auditors see it."""
    store.append([request])
    store.publish()


def last_request(store: Store, line: str, cycle: int) -> ApprovalRequest | None:
    """Return the newest request for a decision about a cycle, decided or not.

    Args:
        store: The store.
        line: The policy line.
        cycle: Number of the cycle.
    """
    rows = store.rows(ApprovalRequest, "line = ? AND cycle = ?", [line, cycle])
    return rows[-1] if rows else None


def open_request(store: Store, line: str) -> ApprovalRequest | None:
    """Return the request of a line that waits for a decision; None if none does."""
    rows = store.query("SELECT * FROM open_approvals WHERE line = ? ORDER BY cycle", [line])
    return ApprovalRequest.model_validate(rows[-1]) if rows else None


def approval_of(store: Store, line: str, cycle: int, policy_id: str) -> Approval | None:
    """Return the decision of a person about a policy; None if there is none yet.

    Args:
        store: The store.
        line: The policy line.
        cycle: Number of the cycle.
        policy_id: The policy.
    """
    where = "line = ? AND cycle = ? AND policy_id = ?"
    rows = store.rows(Approval, where, [line, cycle, policy_id])
    return rows[0] if rows else None


def answer(
    config: Config, policy_id: str, approved: bool, decided_by: str, reason: str
) -> Approval:
    """Add the decision of a person about the policy of a line that waits for it.

    Args:
        config: Config of the line.
        policy_id: Id of the policy, or its beginning; empty for whichever waits.
        approved: True to promote the policy, False to refuse it.
        decided_by: Name of the person who decides.
        reason: Why, for readers.

    Returns:
        The decision, which is stored.

    Raises:
        IdError: If no such policy waits.
        ChampionChangedError: If the champion was rolled back since the policy was trained.
        StoreError: If the store was busy, or another decision was made at the same time.
    """
    if not store_exists(config.store):
        raise IdError(f"no store at {config.store}, so no policy waits for approval")
    store = Store(config.store)
    request = open_request(store, config.name)
    if request is None:
        raise IdError(f"line {config.name}: no policy waits for approval")
    what = f"policy of line {config.name} that waits for approval"
    whole_id(policy_id or request.policy_id, [request.policy_id], what)
    sft = line_queries.sft_behind(store, request.policy_id)
    if approved and sft is not None:
        cycle = Cycle(config=config, number=request.cycle, run_id="")
        check_policy(cycle, store, request.policy_id, sft.id)
    decision = Approval(
        line=config.name,
        cycle=request.cycle,
        policy_id=request.policy_id,
        approved=approved,
        decided_by=decided_by,
        reason=reason,
    )
    if not store.append([decision]):
        raise StoreError(
            f"the decision about {request.policy_id} was not added now: the store was busy, or "
            'another was made at the same time; look at `solon sql "SELECT * FROM approvals"`'
        )
    store.publish()
    return decision
