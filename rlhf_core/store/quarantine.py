"""Prompts that a stage leaves out, because it failed on them in run after run."""

from collections.abc import Collection

from rlhf_core.errors import IdError
from rlhf_core.records import Quarantine
from rlhf_core.store.store import Store

LAST = (
    "SELECT number, is_lifted FROM quarantines WHERE stage = ? AND prompt_id = ? "
    "AND judge_version = ? ORDER BY number DESC LIMIT 1"
)


def quarantined(store: Store, stage: str, judge_version: str = "") -> set[str]:
    """Return the ids of the prompts that a stage leaves out.

    Args:
        store: The store.
        stage: Name of the stage.
        judge_version: The judge, in the stage `judge`.
    """
    sql = "SELECT prompt_id FROM quarantined WHERE stage = ? AND judge_version = ?"
    return {row["prompt_id"] for row in store.query(sql, [stage, judge_version])}


def quarantine(
    store: Store, stage: str, prompt_ids: Collection[str], after: int, judge_version: str = ""
) -> list[Quarantine]:
    """Return the new decisions to leave out prompts on which a stage failed in so many runs.

    Args:
        store: The store.
        stage: Name of the stage.
        prompt_ids: The prompts of the stage.
        after: Number of runs.
        judge_version: The judge, in the stage `judge`.
    """
    rows = store.query(
        "SELECT prompt_id, failures, reason FROM failing_prompts WHERE stage = $1 "
        "AND judge_version = $2 AND failures >= $3 AND prompt_id IN (SELECT unnest($4)) "
        "AND prompt_id NOT IN (SELECT prompt_id FROM quarantined WHERE stage = $1 "
        "AND judge_version = $2) ORDER BY prompt_id",
        [stage, judge_version, after, list(prompt_ids)],
    )
    decisions = [
        Quarantine(
            stage=stage,
            prompt_id=row["prompt_id"],
            judge_version=judge_version,
            number=_last(store, stage, row["prompt_id"], judge_version)[0] + 1,
            failures=row["failures"],
            reason=row["reason"] or "no reason was given",
        )
        for row in rows
    ]
    store.append(decisions)
    return decisions


def lift(
    store: Store, stage: str, prompt_id: str, reason: str, judge_version: str = ""
) -> Quarantine:
    """Have a stage try a prompt again.

    Args:
        store: The store.
        stage: Name of the stage.
        prompt_id: The prompt.
        reason: Why.
        judge_version: The judge, in the stage `judge`.

    Returns:
        The decision.

    Raises:
        IdError: If the stage does not leave out the prompt.
    """
    number, is_lifted = _last(store, stage, prompt_id, judge_version)
    if not number or is_lifted:
        raise IdError(
            f"{stage} does not leave out the prompt {prompt_id!r}; `solon quarantine` lists those "
            "that are left out"
        )
    decision = Quarantine(
        stage=stage,
        prompt_id=prompt_id,
        judge_version=judge_version,
        number=number + 1,
        failures=0,
        is_lifted=True,
        reason=reason,
    )
    store.append([decision])
    return decision


def _last(store: Store, stage: str, prompt_id: str, judge_version: str) -> tuple[int, bool]:
    rows = store.query(LAST, [stage, prompt_id, judge_version])
    return (rows[0]["number"], rows[0]["is_lifted"]) if rows else (0, False)
