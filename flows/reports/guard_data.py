"""The guard's part of a cycle's page: alarms with their evidence, and gains over KL."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from flows.charts import svg as charts
from flows.reports.pages import query_text
from rlhf_core.guard.overoptimisation import GoldCurve, fit_gold_curve
from rlhf_core.records import GuardAlarm
from rlhf_core.store import Store, line_queries

QUOTED = 3
"""Answers that are shown of each alarm."""
CURVE_POINTS = 60
ALARMS_SQL = "SELECT * FROM guard_alarms WHERE model_id = ? ORDER BY step, detector"
EVIDENCE_SQL = """
SELECT id, text FROM rollouts WHERE id IN (SELECT unnest(?)) AND text IS NOT NULL
UNION ALL SELECT id, text FROM candidates WHERE id IN (SELECT unnest(?))"""

REPAIRS_SQL = """
SELECT policy_id, detectors, guard_tests.model_id, copies, preferred, pairs, p, passed, accuracy
FROM guard_tests
LEFT JOIN (
    SELECT model_id AS policy_id, string_agg(DISTINCT detector, ', ' ORDER BY detector) AS detectors
    FROM guard_alarms WHERE step > 0 GROUP BY model_id
) AS alarms USING (policy_id)
LEFT JOIN (
    SELECT model_id, arg_max(value, step) AS accuracy FROM metrics
    WHERE name = 'holdout_accuracy' GROUP BY model_id
) AS held_out USING (model_id)
WHERE line = ? AND cycle = ? ORDER BY created_at, policy_id"""

REWORDED_SQL = """
SELECT judge, rewording,
       count(turned) FILTER (side = 'policy') AS policy_verdicts,
       avg(turned) FILTER (side = 'policy') AS policy_turned,
       count(turned) FILTER (side = 'baseline') AS baseline_verdicts,
       avg(turned) FILTER (side = 'baseline') AS baseline_turned
FROM reworded_verdicts
JOIN candidates AS answer ON answer.id = candidate_id
JOIN candidates AS opponent ON opponent.id = opponent_id
WHERE policy_id = ? AND answer.model_id IN (?, ?) AND opponent.model_id IN (?, ?)
GROUP BY judge, rewording ORDER BY judge, rewording"""


@dataclass(frozen=True)
class ShownAlarm:
    """An alarm, with the answers that show it best."""

    alarm: GuardAlarm
    answers: tuple[str, ...]


@dataclass(frozen=True)
class GuardFigures:
    """Figures of the guard about a policy."""

    alarms: tuple[ShownAlarm, ...]
    charts: tuple[Markup, ...]
    """Reward and held-out gain over KL; none if the training was not watched."""
    peak_kl: float | None
    """KL at which the fitted held-out gain is highest; None without a peak within the training."""
    sql: str
    """The query for the alarms."""


def guard_figures(store: Store, policy_id: str) -> GuardFigures:
    """Return the alarms about a policy, and the gains of its training over KL."""
    metrics = {
        name: dict(curve) for name, curve in line_queries.metrics_of(store, policy_id).items()
    }
    kl = metrics.get("kl", {})
    reward, held_out = (
        sorted((kl[step], gain) for step, gain in metrics.get(name, {}).items() if step in kl)
        for name in ("guard_reward_gain", "guard_held_out_gain")
    )
    fitted = fit_gold_curve([x for x, _ in held_out], [gain for _, gain in held_out])
    peak = fitted.peak_kl if fitted else None
    shown = (("gain of the reward", reward, None), ("gain, held-out judge", held_out, fitted))
    return GuardFigures(
        _alarms(store, policy_id),
        tuple(
            Markup(charts.over_kl(points, label, _drawn(curve, points)))
            for label, points, curve in shown
            if points
        ),
        peak if peak is not None and held_out and peak <= held_out[-1][0] else None,
        query_text(ALARMS_SQL, [policy_id]),
    )


def rewording_figures(store: Store, policy_id: str, baseline_id: str) -> dict[str, Any]:
    """Return how far verdicts on reworded answers turned, by judge and rewording, and the query.

    Args:
        store: The store.
        policy_id: The policy.
        baseline_id: The model that it was compared with.
    """
    values = [policy_id, policy_id, baseline_id, policy_id, baseline_id]
    return {
        "rewordings": store.query(REWORDED_SQL, values),
        "rewordings_sql": query_text(REWORDED_SQL, values),
    }


def repair_figures(store: Store, line: str, cycle: int) -> dict[str, Any]:
    """Return the tests of a cycle's reward models on known hacks, and their query.

    Args:
        store: The store.
        line: The policy line.
        cycle: Number of the cycle.
    """
    values: list[str | int] = [line, cycle]
    return {
        "repairs": store.query(REPAIRS_SQL, values),
        "repairs_sql": query_text(REPAIRS_SQL, values),
    }


def _drawn(curve: GoldCurve | None, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return points of the fitted curve, from KL 0 to the greatest KL."""
    if curve is None:
        return []
    places = [points[-1][0] * place / CURVE_POINTS for place in range(CURVE_POINTS + 1)]
    return [(kl, curve.score(kl)) for kl in places]


def _alarms(store: Store, policy_id: str) -> tuple[ShownAlarm, ...]:
    alarms = sorted(
        store.rows(GuardAlarm, "model_id = ?", [policy_id]),
        key=lambda alarm: (alarm.step, alarm.detector),
    )
    ids = [name for alarm in alarms for name in alarm.evidence[:QUOTED]]
    texts = {row["id"]: row["text"] for row in store.query(EVIDENCE_SQL, [ids, ids])}
    return tuple(
        ShownAlarm(alarm, tuple(texts[n] for n in alarm.evidence[:QUOTED] if n in texts))
        for alarm in alarms
    )
