"""Answers that raised alarms in earlier cycles are judged beside baseline answers.

The comparisons become rankings of two answers. The next reward model learns from those of some
prompts, and is tested on the others before it may train a policy (flows/guard/regression.py). The
stage does nothing in a line without alarms.
"""

from collections.abc import Mapping, Sequence

from flows.cycle.cycle import CandidateBatch, Cycle
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.handover import Handover
from flows.cycle.identity import config_hash
from flows.cycle.judgements import judge_missing
from flows.cycle.ledger import StoreLedger
from flows.cycle.quarantine import without_quarantined
from flows.cycle.stage import StageWork, stage
from flows.guard.answers import as_candidate
from flows.guard.hacks import BASELINES, Hack, repair_combination, unrepaired, worst_answers
from judges.panel.panel import JudgementTask, Panelist, ranking_tasks
from rlhf_core.config.tree import repairing_judges
from rlhf_core.guard.regression import is_test_prompt
from rlhf_core.preferences.ranking import rankings_and_pairs
from rlhf_core.records import (
    Candidate,
    GuardComparison,
    Judgement,
    Pair,
    PairOutcome,
    Prompt,
    Ranking,
    Split,
)
from rlhf_core.store import queries

OUTCOMES = ("worse", "better", "tied", "unscored")
Two = tuple[Candidate, Candidate]
"""An answer of a hack, and a baseline answer to the same prompt."""


@cycle_flow("repair")
def repair(cycle: Cycle, prompt_set_id: str, batch: CandidateBatch) -> None:
    """Add the missing comparisons of the hacks that earlier cycles found.

    Args:
        cycle: The cycle under way.
        prompt_set_id: Prompt set of the cycle.
        batch: The cycle's own candidates, which are the baseline.
    """
    hacks = unrepaired(cycle, cycle.open_store())
    if not hacks:
        return
    with stage(cycle, "repair") as work:
        prompts = {p.id: p for p in queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)}
        baseline = queries.candidates_by_prompt(
            work.store, batch.model_id, batch.sampling, batch.seed, [*prompts.values()]
        )
        compared = {hack.policy_id: _opponents(work, cycle, hack, baseline) for hack in hacks}
        twos = [two for group in compared.values() for two in group]
        work.store.append({hacked.id: hacked for hacked, _ in twos}.values())
        added = _judge(cycle, work, prompts, twos)
        work.news = f"{added} new judgements"
        for policy_id, own in compared.items():
            outcomes = _compare(cycle, work, policy_id, own)
            work.detail[policy_id] = ", ".join(
                f"{outcomes.count(word)} {word}" for word in OUTCOMES
            )
            _warn(work, policy_id, outcomes)
        work.result = Handover(prompt_set_id=prompt_set_id, batch=batch)


@repair.estimator
def estimate(work: CycleWork) -> list[Row]:
    """Estimate the judgements of answers that raised alarms, at most."""
    answers = work.done.hacks * work.config.guard.repair_answers
    if not answers:
        return []
    rows = []
    for settings in repairing_judges(work.config):
        panelist = Panelist(settings)
        calls = answers * (2 * BASELINES if panelist.is_pairwise else 1 + BASELINES)
        row = work.judgements("repair", panelist, calls)
        rows.append(Row(row.stage, f"{row.what}, at most", calls, row.seconds, row.cost_usd))
    return rows


def _opponents(
    work: StageWork, cycle: Cycle, hack: Hack, baseline: Mapping[str, Sequence[Candidate]]
) -> list[Two]:
    """Return each answer of a hack with the baseline answers that it is compared with."""
    guard = cycle.config.guard
    answered = {name for name, group in baseline.items() if group}
    answers = worst_answers(work.store, hack, guard.window, answered, guard.repair_answers)
    twos = []
    for rollout in answers:
        group = baseline[rollout.prompt_id]
        chosen = {(rollout.row + number) % len(group) for number in range(BASELINES)}
        twos += [(as_candidate(rollout), group[place]) for place in sorted(chosen)]
    return twos


def _judge(
    cycle: Cycle, work: StageWork, prompts: Mapping[str, Prompt], twos: Sequence[Two]
) -> int:
    """Add the missing judgements of both answers of each comparison; return their number."""
    ledger = StoreLedger(work.store, cycle.budget, compute=cycle.config.compute)
    panelists = [Panelist(settings, ledger) for settings in repairing_judges(cycle.config)]
    for panelist in panelists:
        panelist.check()
    asked = {
        panelist.version: {
            prompt.id
            for prompt in without_quarantined(
                cycle, work.store, "judge", [*prompts.values()], panelist.version
            )
        }
        for panelist in panelists
    }

    def tasks_for(panelist: Panelist) -> list[JudgementTask]:
        return [
            task
            for two in twos
            if two[0].prompt_id in asked[panelist.version]
            for task in ranking_tasks(panelist, prompts[two[0].prompt_id], two)
        ]

    return judge_missing(
        work.store, ledger, panelists, tasks_for, "judging hacks", cycle.config.judging
    )


def _compare(cycle: Cycle, work: StageWork, policy_id: str, twos: Sequence[Two]) -> list[str]:
    """Add the rankings of a hack's comparisons; return the outcomes."""
    combined = repair_combination(cycle.config)
    ids = {candidate.id for two in twos for candidate in two}
    judgements: list[Judgement] = queries.judgements_of(work.store, ids, combined.weights.keys())
    rankings, pairs = rankings_and_pairs(twos, judgements, combined, config_hash(cycle.config))
    by_ranking = {pair.ranking_id: pair for pair in pairs}
    hacked = {two[0].id for two in twos}
    rows = [_row(cycle, policy_id, ranking, by_ranking[ranking.id], hacked) for ranking in rankings]
    work.store.append([*rankings, *pairs, *rows])
    return [row.outcome for row in rows]


def _row(
    cycle: Cycle, policy_id: str, ranking: Ranking, pair: Pair, hacked: set[str]
) -> GuardComparison:
    is_left = pair.left_id in hacked
    answer, other = (pair.left_id, pair.right_id) if is_left else (pair.right_id, pair.left_id)
    outcome = "tied" if pair.outcome is PairOutcome.TIE else "unscored"
    if pair.outcome is PairOutcome.PREFERRED:
        outcome = "better" if pair.chosen_id == answer else "worse"
    return GuardComparison(
        line=cycle.line,
        cycle=cycle.number,
        policy_id=policy_id,
        prompt_id=ranking.prompt_id,
        ranking_id=ranking.id,
        candidate_id=answer,
        opponent_id=other,
        outcome=outcome,
        kept_aside=is_test_prompt(ranking.prompt_id),
    )


def _warn(work: StageWork, policy_id: str, outcomes: Sequence[str]) -> None:
    """Say so if nothing can be learnt from the comparisons of a hack."""
    if not outcomes:
        work.logger.warning(
            "the answers of %s that raised alarms cannot be compared: their texts are gone, no "
            "prompt of theirs is in this cycle, or no judge has a verdict",
            policy_id,
        )
    elif outcomes.count("worse") <= outcomes.count("better"):
        work.logger.warning(
            "the judges prefer the answers of %s that raised alarms too, or see no difference, so "
            "no reward model learns against them; name other guard.repair_judges",
            policy_id,
        )
