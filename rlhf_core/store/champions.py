"""The champion of a policy line, from the facts: its promotions, less those that were rolled back.

Promotions are ordered by their cycles, and a rollback stands after the cycle that was decided last.
What the champion was before any cycle can therefore be read at any later time.
"""

from dataclasses import dataclass

from rlhf_core.errors import IdError, StoreError
from rlhf_core.records import Rollback
from rlhf_core.store import line_queries
from rlhf_core.store.ids import whole_id
from rlhf_core.store.store import Store

AFTER_ALL = 2**31 - 1
"""A cycle after every cycle."""
STANDING = """
SELECT policy_id, cycle FROM promotions
WHERE line = ? AND promoted AND cycle < ? AND NOT coalesce((
    SELECT arg_max(to_cycle < promotions.cycle, number) FROM rollbacks
    WHERE rollbacks.line = promotions.line AND after_cycle < ?
        AND promotions.cycle BETWEEN to_cycle AND after_cycle), false)
ORDER BY cycle"""
"""The view standing_promotions as it was before a cycle. The last rollback that names or passes a
promotion decides whether it stands."""


@dataclass(frozen=True)
class Promoted:
    """A policy, and the cycle that promoted it."""

    policy_id: str
    cycle: int


def standing(
    store: Store, line: str, before: int = AFTER_ALL, ancestor_id: str | None = None
) -> list[Promoted]:
    """Return the promoted policies of a line that no rollback withdrew, by cycle.

    Args:
        store: The store.
        line: The policy line.
        before: Number of a cycle. Later promotions do not count, nor do rollbacks after it was
            decided.
        ancestor_id: Only policies initialised from this model, directly or not; None for all.

    Returns:
        The policies; the last one is the champion.
    """
    rows = store.query(STANDING, [line, before, before])
    if ancestor_id is not None and rows:
        sql = "SELECT model_id FROM model_lineage WHERE ancestor_id = ?"
        descendants = {row["model_id"] for row in store.query(sql, [ancestor_id])}
        rows = [row for row in rows if row["policy_id"] in descendants]
    return [Promoted(**row) for row in rows]


def champion(
    store: Store, line: str, before: int = AFTER_ALL, ancestor_id: str | None = None
) -> Promoted | None:
    """Return the champion of a line; None if the line uses its SFT model.

    Args:
        store: The store.
        line: The policy line.
        before: Number of a cycle, as for `standing`.
        ancestor_id: Only policies initialised from this model; None for all.
    """
    policies = standing(store, line, before, ancestor_id)
    return policies[-1] if policies else None


def rollbacks_of(store: Store, line: str) -> list[Rollback]:
    """Return the rollbacks of a line, in their order."""
    return sorted(store.rows(Rollback, "line = ?", [line]), key=lambda each: each.number)


def rollbacks_during(store: Store, line: str, cycle: int) -> list[Rollback]:
    """Return the rollbacks that changed the champion of an undecided cycle.

    Args:
        store: The store.
        line: The policy line.
        cycle: Number of the cycle.
    """
    return [each for each in rollbacks_of(store, line) if each.after_cycle == cycle - 1]


def withdrawal_of(store: Store, line: str, policy_id: str) -> Rollback | None:
    """Return the rollback that withdrew a policy of a line; None if none did, or it stands again.

    Args:
        store: The store.
        line: The policy line.
        policy_id: The policy.
    """
    if policy_id in {each.policy_id for each in standing(store, line)}:
        return None
    decisions = line_queries.promotions_of(store, line).values()
    cycles = [each.cycle for each in decisions if each.promoted and each.policy_id == policy_id]
    withdrawing = [
        each
        for each in rollbacks_of(store, line)
        if any(each.to_cycle < cycle <= each.after_cycle for cycle in cycles)
    ]
    return withdrawing[-1] if withdrawing else None


def plan_rollback(
    store: Store, line: str, to: str | None, decided_by: str, reason: str
) -> Rollback:
    """Return the rollback of a line's champion, without adding it.

    Args:
        store: The store.
        line: The policy line.
        to: Id of the policy or SFT model to return to, or its beginning; None returns to the
            champion before the present one.
        decided_by: Name of the person who decides.
        reason: Why, for readers.

    Raises:
        IdError: If nothing was promoted, or the line never promoted that policy, or it is the
            champion already.
    """
    policies = standing(store, line)
    decisions = line_queries.promotions_of(store, line)
    promoted = {each.policy_id: each.cycle for each in decisions.values() if each.promoted}
    if not promoted:
        raise IdError(f"line {line} promoted no policy, so there is nothing to return from")
    first = base_of(store, line)
    present = policies[-1] if policies else Promoted(first, 0)
    if to is not None:
        to_id = whole_id(to, [first, *promoted], f"promoted policy or SFT model of line {line}")
    elif len(policies) > 1:
        to_id = policies[-2].policy_id
    else:
        to_id = first
    if to_id == present.policy_id:
        which = "the SFT model" if present.cycle == 0 else f"the champion of line {line}"
        raise IdError(f"{to_id} is {which} already; name the policy to return to")
    former = rollbacks_of(store, line)
    return Rollback(
        line=line,
        number=former[-1].number + 1 if former else 1,
        after_cycle=max(decisions),
        from_id=present.policy_id,
        to_id=to_id,
        to_cycle=promoted.get(to_id, 0),
        decided_by=decided_by,
        reason=reason,
    )


def base_of(store: Store, line: str) -> str:
    """Return the SFT model behind the policy that a line promoted last.

    Raises:
        IdError: If the SFT model is not in the store.
    """
    decisions = line_queries.promotions_of(store, line)
    last = decisions[max(cycle for cycle, each in decisions.items() if each.promoted)]
    sft = line_queries.sft_behind(store, last.policy_id)
    if sft is None:
        raise IdError(f"{last.policy_id} stands on no SFT model of this store")
    return sft.id


def add_rollback(store: Store, rollback: Rollback) -> None:
    """Add a rollback to the store.

    Raises:
        StoreError: If the store was busy, or another rollback was made at the same time.
    """
    if not store.append([rollback]):
        raise StoreError(
            f"the rollback of line {rollback.line} was not added now: the store was busy, or "
            'another was made at the same time; look at `solon sql "SELECT * FROM rollbacks"`'
        )
