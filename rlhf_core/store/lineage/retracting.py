"""Retract a fact, so that nothing relies on it any more, or withdraw a retraction."""

from rlhf_core.errors import IdError, StoreError
from rlhf_core.records import Retraction
from rlhf_core.store.lineage.tree import Subject
from rlhf_core.store.store import Store

RETRACTABLE = ("judge_versions", "judgements", "pairs", "candidates", "prompts")
LAST = """
SELECT number, withdrawn, reason, retracted_by FROM retractions
WHERE subject_table = ? AND subject_id = ? ORDER BY number DESC LIMIT 1"""


def retract(
    store: Store, subject: Subject, reason: str, retracted_by: str, withdrawn: bool = False
) -> Retraction:
    """Add a decision about a subject; the views derive what follows from it.

    Args:
        store: The store to add the decision to.
        subject: A fact of one of the RETRACTABLE tables.
        reason: Why the subject is retracted, for readers.
        retracted_by: Name of the person who decides.
        withdrawn: True to withdraw the retraction.

    Returns:
        The decision.

    Raises:
        IdError: If the subject is retracted already, or there is nothing to withdraw.
        StoreError: If the store was busy, or another decision was made at the same time.
    """
    last = store.query(LAST, [subject.table, subject.id])
    is_retracted = bool(last) and not last[0]["withdrawn"]
    if is_retracted and not withdrawn:
        raise IdError(
            f"{subject.id} is retracted already, by {last[0]['retracted_by']}: {last[0]['reason']}"
        )
    if withdrawn and not is_retracted:
        raise IdError(f"{subject.id} is not retracted, so there is nothing to withdraw")
    decision = Retraction(
        subject_table=subject.table,
        subject_id=subject.id,
        number=last[0]["number"] + 1 if last else 1,
        withdrawn=withdrawn,
        reason=reason,
        retracted_by=retracted_by,
    )
    if not store.append([decision]):
        raise StoreError(
            f"the decision about {subject.id} was not added now: the store was busy, or another "
            'was made at the same time; look at `solon sql "SELECT * FROM retractions"`'
        )
    return decision
