"""Queries about probes: the questions that judges are asked again, and their verdicts so far."""

from rlhf_core.identity import content_id
from rlhf_core.records import JudgeDrift, Judgement, JudgeProbe, Outcome, Split
from rlhf_core.store.store import Store

JUDGED_AT_FIRST = """
WITH runs AS (
    SELECT DISTINCT run_id, cycle FROM cycle_runs WHERE line = $1
), judged AS (
    SELECT judgements.id, judgements.prompt_id, cycle
    FROM standing_judgements AS judgements
    JOIN runs ON runs.run_id = judgements.run_id
    JOIN prompts ON prompts.id = judgements.prompt_id
    WHERE judge_version = $2 AND split = $3 AND outcome <> 'unavailable'
        AND len(response_ids) > 0
)
SELECT id, prompt_id,
       id IN (SELECT judgement_id FROM judge_probes WHERE line = $1) AS is_probe
FROM judged WHERE cycle = (SELECT min(cycle) FROM judged)"""
"""First verdicts. One without an opinion is as good a probe as another: to choose by the outcome
would make the first verdicts differ from the later ones. Verdicts that asked no model are none."""


def choose_probes(
    store: Store, line: str, judge_version: str, split: Split, count: int
) -> list[Judgement]:
    """Return the first verdicts on a judge's probes, drawn by hash, each of another prompt.

    They are drawn from the first cycle of the line in which the judge judged prompts of the split.
    Questions that were asked again before come first, so every later cycle has the same ones.

    Args:
        store: The store.
        line: The policy line.
        judge_version: The judge.
        split: Split of the prompts.
        count: Number of probes at most.
    """
    rows = store.query(JUDGED_AT_FIRST, [line, judge_version, split.value])
    drawn: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: (not row["is_probe"], content_id(row["id"]))):
        drawn.setdefault(row["prompt_id"], row["id"])
    chosen = list(drawn.values())[:count]
    found = store.rows(Judgement, "id IN (SELECT unnest(?))", [chosen])
    return sorted(found, key=lambda judgement: chosen.index(judgement.id))


def probes_until(store: Store, line: str, judge_version: str, cycle: int) -> list[JudgeProbe]:
    """Return a judge's later verdicts on its probes up to a cycle, the oldest cycle first.

    Args:
        store: The store.
        line: The policy line.
        judge_version: The judge.
        cycle: Number of the last cycle to return.
    """
    where = "line = ? AND judge_version = ? AND cycle <= ?"
    rows = store.rows(JudgeProbe, where, [line, judge_version, cycle])
    return sorted(rows, key=lambda probe: probe.cycle)


def first_repeats(probes: list[JudgeProbe], cycle: int) -> dict[str, JudgeProbe]:
    """Return the first repeat of each verdict before a cycle, by the verdict's id.

    Args:
        probes: Later verdicts of a judge, the oldest cycle first.
        cycle: Number of the cycle.
    """
    repeats: dict[str, JudgeProbe] = {}
    for probe in probes:
        if probe.cycle < cycle and probe.outcome is not Outcome.UNAVAILABLE:
            repeats.setdefault(probe.judgement_id, probe)
    return repeats


def deviations_until(store: Store, line: str, cycle: int) -> dict[str, float]:
    """Return the standard deviation of each probed judge's verdicts, by judge version.

    It is the one that was measured last, up to a cycle. Judges without one repeat themselves, or
    were never asked twice.

    Args:
        store: The store.
        line: The policy line.
        cycle: Number of the cycle.
    """
    drifts = store.rows(
        JudgeDrift, "line = ? AND cycle <= ? AND deviation IS NOT NULL", [line, cycle]
    )
    ordered = sorted(drifts, key=lambda drift: drift.cycle)
    return {each.judge_version: each.deviation for each in ordered if each.deviation is not None}


def drifts_of(store: Store, line: str, cycle: int) -> list[JudgeDrift]:
    """Return the drift of each judge that was probed in a cycle of a line.

    Args:
        store: The store.
        line: The policy line.
        cycle: Number of the cycle.
    """
    return store.rows(JudgeDrift, "line = ? AND cycle = ?", [line, cycle])
