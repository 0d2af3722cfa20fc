"""One champion in a cycle: its candidates, initial weights and baseline are of the same model.

A rollback may change the champion while a cycle is open. What was sampled and trained from the
withdrawn champion stays in the store, and the stages refuse to mix it with the new one: the cycle
samples again first.
"""

from flows.cycle.cycle import Cycle
from rlhf_core.errors import ChampionChangedError
from rlhf_core.records import ModelVersion
from rlhf_core.store import Store, champions, line_queries


def check_feedback(cycle: Cycle, store: Store, sft_id: str) -> None:
    """Refuse to train before a champion that a rollback brought back was sampled from.

    Args:
        cycle: The cycle under way.
        store: Store with the line's decisions.
        sft_id: SFT model of the line.

    Raises:
        ChampionChangedError: If there are no candidates of the present champion.
    """
    rollbacks = champions.rollbacks_during(store, cycle.line, cycle.number)
    if not rollbacks:
        return
    batch = cycle.own_batch(store, sft_id)
    found = store.query(
        "SELECT 1 FROM candidates WHERE model_id = ? AND sampling = ? AND seed = ? LIMIT 1",
        [batch.model_id, batch.sampling, batch.seed],
    )
    if not found:
        raise _changed(cycle, store, f"nothing was sampled from {batch.model_id} yet")


def check_policy(cycle: Cycle, store: Store, policy_id: str, sft_id: str) -> None:
    """Refuse to evaluate or promote a policy that does not start from the present champion.

    Args:
        cycle: The cycle under way.
        store: Store with the line's decisions.
        policy_id: The policy.
        sft_id: SFT model of the line.

    Raises:
        ChampionChangedError: If the policy was initialised from another model.
    """
    policy: ModelVersion | None = line_queries.model(store, policy_id)
    initial = cycle.champion(store, sft_id) or sft_id
    if policy is not None and policy.parent_id != initial:
        raise _changed(
            cycle, store, f"policy {policy_id} starts from {policy.parent_id}, not from {initial}"
        )


def _changed(cycle: Cycle, store: Store, what: str) -> ChampionChangedError:
    rollbacks = champions.rollbacks_during(store, cycle.line, cycle.number)
    why = ""
    if rollbacks:
        last = rollbacks[-1]
        why = f" was rolled back to {last.to_id} by {last.decided_by} ({last.reason})"
    return ChampionChangedError(
        f"line {cycle.line}, cycle {cycle.number}: the champion{why or ' changed'} while the cycle "
        f"was open, and {what}. Run the cycle again from its feedback: what is done is kept, and "
        "the policy is trained from the present champion"
    )
