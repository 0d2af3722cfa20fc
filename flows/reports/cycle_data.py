"""Figures of a cycle's report, gathered from the store. The page is templates/report.html."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from flows.champion.approval import last_request
from flows.charts import svg as charts
from flows.cycle.cycle import DECIDES, LAST_STAGE, TRAINED_ON, Cycle
from flows.reports.evaluation_data import evaluation_details
from flows.reports.guard_data import guard_figures, repair_figures, rewording_figures
from flows.reports.outline import Change, changed_settings, risks
from flows.reports.pages import query_text
from rlhf_core.config.evaluation import PromotionSettings
from rlhf_core.evaluation.wear import describe_wear
from rlhf_core.records import (
    PROXY,
    ApprovalRequest,
    Candidate,
    Evaluation,
    EvaluationResult,
    GuardAlarm,
    Judgement,
    Mode,
    ModelKind,
    Promotion,
    Prompt,
)
from rlhf_core.store import Store, line_queries, queries

SAMPLES_PER_MODE = 2
CURVES = {"score": "reward", "kl": "KL, nats an answer", "completion_tokens": "tokens an answer"}

EVALUATIONS_SQL = "SELECT * FROM evaluations WHERE settings = ?"
METRICS_SQL = "SELECT step, name, value FROM metrics WHERE model_id = ? ORDER BY name, step"
PAIRS_SQL = """
SELECT outcome, count(*) AS pairs, avg(margin) AS margin, avg(agreement) AS agreement
FROM pairs WHERE ranking_id IN (SELECT input_id FROM model_inputs WHERE model_id = ?)
GROUP BY outcome ORDER BY pairs DESC"""
AGREEMENT_SQL = """
SELECT one.judge_version AS judge, other.judge_version AS other_judge, count(*) AS pairs,
       avg((sign(one.margin) = sign(other.margin))::INTEGER) AS agreement
FROM judge_votes AS one
JOIN judge_votes AS other
    ON one.pair_id = other.pair_id AND one.judge_version < other.judge_version
JOIN pairs ON pairs.id = one.pair_id
WHERE one.margin <> 0 AND other.margin <> 0
    AND pairs.ranking_id IN (SELECT input_id FROM model_inputs WHERE model_id = ?)
GROUP BY ALL ORDER BY ALL"""
SILENCE_SQL = """
SELECT judge, judgements, unavailable, unparsed, still_missing, commonest_reason
FROM judge_outages
WHERE run_id IN (SELECT run_id FROM cycle_runs WHERE line = ? AND cycle = ?)
ORDER BY unavailable + unparsed DESC, judge"""
COSTS_SQL = """
WITH runs AS (SELECT run_id FROM cycle_runs WHERE line = ? AND cycle = ?)
SELECT 'candidates' AS what, count(*) AS calls, sum(prompt_tokens) AS prompt_tokens,
       sum(completion_tokens) AS completion_tokens, sum(latency_seconds) AS seconds,
       sum(cost_usd) AS cost_usd
FROM candidates SEMI JOIN runs USING (run_id)
UNION ALL
SELECT 'judge ' || judge, count(*), sum(prompt_tokens), sum(completion_tokens),
       sum(latency_seconds), sum(cost_usd)
FROM judgements SEMI JOIN runs USING (run_id) GROUP BY judge
UNION ALL
SELECT 'judge ' || judge || if(role = 'guard', ', for the guard', ', in the reward'), count(*),
       sum(prompt_tokens), sum(completion_tokens), sum(latency_seconds), sum(cost_usd)
FROM rollout_verdicts SEMI JOIN runs USING (run_id) GROUP BY judge, role
UNION ALL
SELECT 'judge ' || judge || ', of reworded answers', count(*), sum(prompt_tokens),
       sum(completion_tokens), sum(latency_seconds), sum(cost_usd)
FROM reworded_verdicts SEMI JOIN runs USING (run_id) GROUP BY judge
UNION ALL
SELECT 'probes of ' || judge, count(*), sum(prompt_tokens), sum(completion_tokens),
       sum(latency_seconds), sum(cost_usd)
FROM judge_probes SEMI JOIN runs USING (run_id) GROUP BY judge ORDER BY ALL"""
DRIFTS_SQL = """
SELECT judge, probes, unavailable, noise, deviation, distance, shift, p, drifted
FROM judge_drifts WHERE line = ? AND cycle = ? ORDER BY judge"""


@dataclass(frozen=True)
class ComparedAnswers:
    """A held-out prompt with an answer of each model, and the deciding judge's scores."""

    prompt: Prompt
    before: str
    after: str
    before_score: float | None
    after_score: float | None


def gather(store: Store, cycle: Cycle) -> dict[str, Any] | None:
    """Return the variables of the template; None before the cycle is decided or waits for that."""
    config = cycle.config
    decided = line_queries.promotions_of(store, config.name).get(cycle.number)
    promotion = decided or last_request(store, config.name, cycle.number)
    if promotion is None:
        return None
    stored = line_queries.evaluations_of(store, promotion.policy_id, promotion.baseline_id)
    deciding = next(e for e in stored if e.id == promotion.evaluation_id)
    evaluations = [e for e in stored if e.settings == deciding.settings]
    reward_id = next(e.judge_version for e in evaluations if e.role == PROXY)
    details = evaluation_details(store, evaluations, deciding)
    controlled = details["length_controlled"]
    answers = _Answers(store, promotion)
    stages = store.query(
        "SELECT stage, sum(seconds) AS seconds FROM stage_runs WHERE line = ? AND cycle = ? "
        "AND config_hash = ? AND stage <> ? GROUP BY stage ORDER BY min(created_at)",
        [config.name, cycle.number, promotion.config_hash, LAST_STAGE],
    )
    return {
        "line": cycle.line,
        "cycle": cycle.number,
        "decided_at": line_queries.decided_at(store, promotion),
        "promotion": promotion,
        "verdict": _verdict(decided),
        "wear": _wear(store, promotion, config.promotion),
        "deciding": deciding,
        "evaluations": sorted(evaluations, key=lambda e: (e.role != DECIDES, e.role == PROXY)),
        "win_rates": _win_rates(evaluations),
        **details,
        "risks": risks(
            deciding,
            [e for e in evaluations if e.role in (TRAINED_ON, PROXY)],
            len(store.rows(GuardAlarm, "model_id = ?", [promotion.policy_id])),
            controlled[deciding.id].value if deciding.id in controlled else None,
        ),
        "changes": _changes(store, cycle, promotion.config_hash),
        "curves": _curves(store, promotion.policy_id),
        "guard": guard_figures(store, promotion.policy_id),
        "rewards": answers.reward_chart(reward_id),
        "samples": answers.samples(deciding),
        "agreement": store.query(AGREEMENT_SQL, [reward_id]),
        "pairs": store.query(PAIRS_SQL, [reward_id]),
        "silence": store.query(SILENCE_SQL, [cycle.line, cycle.number]),
        **_findings(store, cycle, promotion),
        "figures_sql": query_text(EVALUATIONS_SQL, [deciding.settings]),
        "training_sql": query_text(METRICS_SQL, [promotion.policy_id]),
        "pairs_sql": query_text(PAIRS_SQL, [reward_id]),
        "agreement_sql": query_text(AGREEMENT_SQL, [reward_id]),
        **_costs(store, cycle),
        "stages": stages,
        "seconds": sum(row["seconds"] for row in stages),
        "lineage": store.query(
            "SELECT * FROM model_lineage WHERE model_id = ? ORDER BY generations",
            [promotion.policy_id],
        ),
        "config": config.model_dump_json(indent=2, exclude_defaults=True),
        "config_hash": promotion.config_hash,
    }


def _findings(store: Store, cycle: Cycle, promotion: Promotion | ApprovalRequest) -> dict[str, Any]:
    """Return the baseline, the findings on judges' probes and on hacks, and their queries."""
    of_cycle: list[str | int] = [cycle.line, cycle.number]
    return {
        "drifts": store.query(DRIFTS_SQL, of_cycle),
        "drifts_sql": query_text(DRIFTS_SQL, of_cycle),
        "baseline": _baseline(store, promotion.baseline_id),
        **rewording_figures(store, promotion.policy_id, promotion.baseline_id),
        **repair_figures(store, cycle.line, cycle.number),
    }


def _costs(store: Store, cycle: Cycle) -> dict[str, Any]:
    """Return the calls of the cycle with their costs, and their query."""
    of_cycle: list[str | int] = [cycle.line, cycle.number]
    return {
        "costs": store.query(COSTS_SQL, of_cycle),
        "costs_sql": query_text(COSTS_SQL, of_cycle),
    }


def _changes(store: Store, cycle: Cycle, ran_as: str) -> list[Change]:
    """Return the settings that differ from those of the line's last decided cycle."""
    decided = line_queries.promotions_of(store, cycle.line)
    former = max((number for number in decided if number < cycle.number), default=None)
    if former is None or decided[former].config_hash == ran_as:
        return []
    before, after = (
        line_queries.config_version(store, each) for each in (decided[former].config_hash, ran_as)
    )
    if before is None or after is None:
        return []
    return changed_settings(json.loads(before.deciding), json.loads(after.deciding))


def _verdict(decided: Promotion | None) -> str:
    if decided is None:
        return "waits for approval"
    return "was promoted" if decided.promoted else "was refused"


def _baseline(store: Store, model_id: str) -> str:
    """Return what the policy was compared with, in words."""
    version = line_queries.model(store, model_id)
    kind = version.kind if version is not None else None
    if version is None or kind not in (ModelKind.EXTERNAL, ModelKind.ENDPOINT):
        return "the champion" if kind is ModelKind.POLICY else "the SFT model"
    if kind is ModelKind.EXTERNAL:
        return f"the answers of the file {version.base}"
    return f"the model {version.base} behind a server"


def _wear(store: Store, promotion: Promotion | ApprovalRequest, settings: PromotionSettings) -> str:
    """Return what all decisions so far spent of the prompts of this one, in words."""
    prompt_ids = line_queries.margins_of(store, promotion.evaluation_id)
    wear = line_queries.holdout_wear(store.query, promotion.line, prompt_ids)
    return describe_wear(wear, settings)


class _Answers:
    """The held-out answers of both models, and their judgements."""

    def __init__(self, store: Store, promotion: Promotion | ApprovalRequest) -> None:
        results = store.rows(EvaluationResult, "evaluation_id = ?", [promotion.evaluation_id])
        results.sort(key=lambda result: result.sample)
        ids = {id for r in results for id in (r.policy_candidate_id, r.baseline_candidate_id)}
        answers = queries.candidates_by_id(store, ids)
        self.prompts = store.rows(
            Prompt, "id IN (SELECT unnest(?))", [[result.prompt_id for result in results]]
        )
        self.before: dict[str, list[Candidate]] = {prompt.id: [] for prompt in self.prompts}
        self.after: dict[str, list[Candidate]] = {prompt.id: [] for prompt in self.prompts}
        for result in results:
            self.before[result.prompt_id].append(answers[result.baseline_candidate_id])
            self.after[result.prompt_id].append(answers[result.policy_candidate_id])
        self.judgements = store.rows(Judgement, "candidate_id IN (SELECT unnest(?))", [[*ids]])

    def scores(self, version: str) -> dict[str, float]:
        """Return the scores of a judge version, by candidate id."""
        return {
            judgement.candidate_id: judgement.score
            for judgement in self.judgements
            if judgement.judge_version == version and judgement.score is not None
        }

    def reward_chart(self, reward_id: str) -> Markup:
        scores = self.scores(reward_id)
        before = [scores[c.id] for c in _flat(self.before) if c.id in scores]
        after = [scores[c.id] for c in _flat(self.after) if c.id in scores]
        return Markup(charts.distribution(before, after, "reward model's score"))

    def samples(self, deciding: Evaluation) -> list[ComparedAnswers]:
        """Return answers to the first held-out prompts of each mode, whatever their scores."""
        scores = self.scores(deciding.judge_version)
        chosen = [
            prompt
            for mode in Mode
            for prompt in [p for p in self.prompts if p.mode is mode][:SAMPLES_PER_MODE]
        ]
        return [
            ComparedAnswers(
                prompt,
                self.before[prompt.id][0].text,
                self.after[prompt.id][0].text,
                scores.get(self.before[prompt.id][0].id),
                scores.get(self.after[prompt.id][0].id),
            )
            for prompt in chosen
            if self.before[prompt.id] and self.after[prompt.id]
        ]


def _win_rates(evaluations: Sequence[Evaluation]) -> Markup:
    intervals = [
        charts.Interval(
            f"{e.judge} ({e.role.replace('_', ' ')})", e.win_rate, e.win_rate_low, e.win_rate_high
        )
        for e in evaluations
        if e.win_rate is not None and e.win_rate_low is not None and e.win_rate_high is not None
    ]
    return Markup(charts.win_rates(intervals))


def _curves(store: Store, policy_id: str) -> list[Markup]:
    metrics = line_queries.metrics_of(store, policy_id)
    return [
        Markup(charts.line(metrics[name], label))
        for name, label in CURVES.items()
        if name in metrics
    ]


def _flat(answers: Mapping[str, Sequence[Candidate]]) -> list[Candidate]:
    return [candidate for group in answers.values() for candidate in group]
