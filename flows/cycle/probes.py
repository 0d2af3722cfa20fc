"""Probes: remote judges are asked some of their first questions again, to notice when they change.

A provider may change the model behind a name, and then a judge's verdicts move although its version
stays. The verdicts of local judges follow from their versions, so they are not asked again.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.cycle.cycle import Cycle
from flows.cycle.judgements import CallMeter
from flows.cycle.ledger import StoreLedger
from flows.service.events import Event, announce
from flows.terminal.progress import progress
from judges.panel.panel import JudgementTask, Panelist
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import EndpointError
from rlhf_core.evaluation.comparison import EvaluationJudge
from rlhf_core.evaluation.judge_drift import (
    FALSE_ALARMS,
    DriftTest,
    ProbeVerdicts,
    Verdict,
    corrected,
    drift_test,
    repeat_deviation,
    repeat_noise,
)
from rlhf_core.records import JudgeDrift, Judgement, JudgeProbe, Outcome, Split
from rlhf_core.store import Store, queries
from rlhf_core.store.judge_probes import choose_probes, drifts_of, first_repeats, probes_until

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProbedJudge:
    """A judge with the verdicts on its probes, by the id of the first one."""

    judge: JudgeSettings
    version: str
    first: Mapping[str, Judgement]
    repeats: Mapping[str, JudgeProbe]
    """Their first repeats in an earlier cycle; not of every probe."""
    latest: Mapping[str, JudgeProbe]
    """The verdicts of this cycle, those that are available."""

    def tested(self) -> list[ProbeVerdicts]:
        """Return the verdicts on the probes that have all three."""
        return [
            ProbeVerdicts(
                _verdict(first), _verdict(self.repeats[name]), _verdict(self.latest[name])
            )
            for name, first in self.first.items()
            if name in self.repeats and name in self.latest
        ]

    def repeated(self) -> list[tuple[Verdict, Verdict]]:
        """Return the first verdict and its first repeat, of the probes that have one."""
        again = {**self.latest, **self.repeats}
        return [
            (_verdict(first), _verdict(again[name]))
            for name, first in self.first.items()
            if name in again
        ]


def probe_judges(cycle: Cycle, store: Store, judges: Sequence[JudgeSettings], split: Split) -> None:
    """Ask the remote judges their probes, and report those whose verdicts moved.

    A judge is probed once a cycle; a run that was interrupted goes on with the missing probes.

    Args:
        cycle: The cycle under way.
        store: Receives the verdicts and the findings.
        judges: The judges of a stage.
        split: Split of the prompts that the stage judges.

    Raises:
        BudgetError: If the budget is spent.
    """
    if not cycle.config.judging.probes:
        return
    occasion = f"line {cycle.line}, cycle {cycle.number}"
    ledger = StoreLedger(store, cycle.budget, occasion=occasion, compute=cycle.config.compute)
    known = {drift.judge_version for drift in drifts_of(store, cycle.line, cycle.number)}
    panelists = [Panelist(settings, ledger) for settings in judges]
    due = [each for each in panelists if each.is_remote and each.version not in known]
    probed = [_ask(cycle, store, ledger, panelist, split) for panelist in due]
    drifts = findings(cycle, [judge for judge in probed if judge.latest])
    store.append(drifts)
    for drift in drifts:
        _report(cycle, drift)


def evaluation_judge(
    panelist: Panelist, role: str, deviations: Mapping[str, float]
) -> EvaluationJudge:
    """Return a judge of an evaluation, with the noise of its scores.

    Args:
        panelist: The judge.
        role: Its role in the evaluation.
        deviations: Measured standard deviations by judge version. A judge that compares asks in
            both orders and has a probability, so its noise is none of a score's.
    """
    deviation = 0.0 if panelist.is_pairwise else deviations.get(panelist.version, 0.0)
    settings = panelist.settings
    return EvaluationJudge(settings.name, panelist.version, role, settings.scale, deviation)


def _ask(
    cycle: Cycle, store: Store, ledger: StoreLedger, panelist: Panelist, split: Split
) -> ProbedJudge:
    """Ask a judge the probes that have no verdict in this cycle yet."""
    count, version = cycle.config.judging.probes, panelist.version
    first = {
        judgement.id: judgement
        for judgement in choose_probes(store, cycle.line, version, split, count)
    }
    probes = probes_until(store, cycle.line, version, cycle.number)
    latest = {probe.judgement_id: probe for probe in probes if probe.cycle == cycle.number}
    missing = [judgement for name, judgement in first.items() if name not in latest]
    for start in range(0, len(missing), panelist.batch):
        new = _ask_batch(cycle, store, ledger, panelist, missing[start : start + panelist.batch])
        latest |= {probe.judgement_id: probe for probe in new}
    available = {
        name: probe
        for name, probe in latest.items()
        if name in first and probe.outcome is not Outcome.UNAVAILABLE
    }
    if unanswered := len(first) - len(available):
        logger.warning(
            "judge %r did not answer %d of its %d probes, so a change of it may go unnoticed",
            panelist.settings.name,
            unanswered,
            len(first),
        )
    repeats = first_repeats(probes, cycle.number)
    return ProbedJudge(panelist.settings, version, first, repeats, available)


def _ask_batch(
    cycle: Cycle,
    store: Store,
    ledger: StoreLedger,
    panelist: Panelist,
    judgements: Sequence[Judgement],
) -> list[JudgeProbe]:
    """Return new verdicts on the questions of some judgements; none if its server is away."""
    try:
        panelist.preflight()
    except EndpointError as error:
        logger.warning("not probed: %s", error)
        return []
    with progress(f"probing: {panelist.settings.name}", len(judgements)) as advance:
        spending = CallMeter(advance)
        ledger.on_answer = spending
        verdicts = panelist.judge(_tasks(store, judgements), attempt=store.run_id)
        advance(len(judgements), spending.note)
    new = [_probe(cycle, old.id, now) for old, now in zip(judgements, verdicts, strict=True)]
    store.append(new)
    return new


def _tasks(store: Store, judgements: Sequence[Judgement]) -> list[JudgementTask]:
    """Return the tasks that the judgements answered, with the answers in the same order."""
    prompts = queries.prompts_by_id(store, {each.prompt_id for each in judgements})
    shown = {id for each in judgements for id in (each.candidate_id, each.opponent_id) if id}
    answers = queries.candidates_by_id(store, shown)
    return [
        JudgementTask(
            prompts[each.prompt_id],
            answers[each.candidate_id],
            answers[each.opponent_id] if each.opponent_id else None,
        )
        for each in judgements
    ]


def _probe(cycle: Cycle, first_id: str, again: Judgement) -> JudgeProbe:
    return JudgeProbe(
        line=cycle.line,
        cycle=cycle.number,
        judgement_id=first_id,
        **again.model_dump(include=set(JudgeProbe.model_fields) - {"line", "cycle"}),
    )


def findings(cycle: Cycle, judges: Sequence[ProbedJudge]) -> list[JudgeDrift]:
    """Return the finding on each judge, tested together.

    Args:
        cycle: The cycle under way.
        judges: Judges with a verdict in this cycle.
    """
    probes = [judge.tested() for judge in judges]
    tests = [drift_test(each) if each else None for each in probes]
    p_values = iter(corrected([test for test in tests if test is not None]))
    return [
        _finding(cycle, judge, test, None if test is None else next(p_values))
        for judge, test in zip(judges, tests, strict=True)
    ]


def _finding(
    cycle: Cycle, judge: ProbedJudge, test: DriftTest | None, p: float | None
) -> JudgeDrift:
    pairs = judge.repeated()
    noise = repeat_noise(pairs)
    has_drifted = p is not None and p <= FALSE_ALARMS
    if test is None or p is None:
        reason = f"first repeats: {noise:.3f} from the first verdicts on average"
    else:
        reason = (
            f"{test.distance:.3f} from the first verdicts on average, where their own repeats were "
            f"{test.noise:.3f} from them (p = {p:.2g}, {test.probes} probes)"
        )
    return JudgeDrift(
        line=cycle.line,
        cycle=cycle.number,
        judge=judge.judge.name,
        judge_version=judge.version,
        probes=len(judge.latest),
        unavailable=len(judge.first) - len(judge.latest),
        noise=noise,
        deviation=repeat_deviation(pairs),
        distance=test.distance if test else None,
        shift=test.shift if test else None,
        p=p,
        drifted=has_drifted,
        reason=reason,
    )


def _report(cycle: Cycle, drift: JudgeDrift) -> None:
    """Log a finding, and emit the event of a judge whose verdicts moved."""
    if not drift.drifted:
        logger.info("judge %r: %s", drift.judge, drift.reason)
        return
    logger.warning(
        "judge %r has changed: its verdicts are %s; its new verdicts do not compare with the "
        "former ones (deploy/docs/judges.md, Judge drift)",
        drift.judge,
        drift.reason,
    )
    announce(
        Event.JUDGE_DRIFTED,
        cycle.line,
        cycle=cycle.number,
        judge=drift.judge,
        judge_version=drift.judge_version,
        distance=drift.distance,
        noise=drift.noise,
        p=drift.p,
    )


def _verdict(row: Judgement | JudgeProbe) -> Verdict:
    return Verdict.of(row.outcome, row.score, row.probability)
