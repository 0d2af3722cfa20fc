"""The policy is evaluated on held-out prompts by a judge that took no part in training.

The store also keeps how the training judges and the reward model score the same answers. If their
scores rise and the deciding judge's do not, the policy has learnt to exploit them.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

from flows.cycle.baseline import check_policy
from flows.cycle.benchmarks import estimate_benchmarks, run_benchmarks
from flows.cycle.candidates import missing_shards, policy_sampler, sample_shards
from flows.cycle.cycle import DECIDES, REPORTS, TRAINED_ON, Cycle, evaluation_sampling
from flows.cycle.engine import open_engine
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.handover import Handover
from flows.cycle.independence import refuse_judging_trainers
from flows.cycle.judgements import judge_missing
from flows.cycle.ledger import StoreLedger
from flows.cycle.probes import evaluation_judge, probe_judges
from flows.cycle.stage import stage
from flows.guard.alarms import alarm_rows, announce_alarms
from flows.guard.promotion import look_before_promotion
from flows.guard.reading import open_reader, signs_of
from flows.guard.reworded_verdicts import (
    estimate_reworded,
    judge_reworded,
    score_reworded,
    verdicts_on,
)
from flows.guard.rewording import compared_answers
from flows.service.events import Event, announce
from flows.service.gpu import take_gpu
from judges import Ledger
from judges.panel.panel import JudgementTask, Panelist, ranking_tasks
from rlhf_core.algorithms.scoring import score_sequences, sequence_kl
from rlhf_core.config import Config, JudgeSettings
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.evaluation.abstention_table import abstention_figures
from rlhf_core.evaluation.aspects import aspect_figures
from rlhf_core.evaluation.comparison import (
    REWARD_SCALE,
    Answers,
    EvaluationJudge,
    JudgedComparison,
    ModelComparison,
    settings_hash,
)
from rlhf_core.evaluation.evaluation_figures import evaluation_figures
from rlhf_core.models.artifacts import load_role, open_trunk
from rlhf_core.models.chat import ChatFormat, policy_chat
from rlhf_core.models.lora_shape import trained_lora
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.preferences.votes import OPINIONS
from rlhf_core.records import (
    PROXY,
    Candidate,
    Evaluation,
    GuardAlarm,
    Judgement,
    Outcome,
    Prompt,
    Record,
    RewordedVerdict,
    Split,
)
from rlhf_core.store import Store, line_queries, queries
from rlhf_core.store.judge_probes import deviations_until

Panel = dict[Panelist, str]
"""All judges of the answers, with their roles.

The first judge of the config's evaluation decides, its other judges are reported. The training
judges and the reward model show what the policy was optimised for.
"""


@cycle_flow("evaluate")
def evaluate(cycle: Cycle, prompt_set_id: str, sft_id: str, reward_id: str, policy_id: str) -> str:
    """Evaluate the policy with every judge, and add the missing evaluations.

    Args:
        cycle: The cycle under way.
        prompt_set_id: Prompt set of the cycle.
        sft_id: SFT model of the line.
        reward_id: Reward model of the cycle.
        policy_id: Policy to evaluate.

    Returns:
        The id of the deciding evaluation.

    Raises:
        ConfigError: If an evaluating judge took part in training.
        ChampionChangedError: If a rollback changed the champion since the policy was trained.
    """
    config = cycle.config
    with stage(cycle, "evaluate") as work:
        refuse_judging_trainers(config, work.store, [policy_id, reward_id])
        check_policy(cycle, work.store, policy_id, sft_id)
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.HOLDOUT)
        champion = cycle.champion(work.store, sft_id)
        baseline_id = (config.evaluation.baseline == "champion" and champion) or sft_id
        models = _Models(cycle, sft_id, reward_id, policy_id, champion)
        both = (policy_id, baseline_id)
        policy, baseline = _answers(cycle, work.store, models, both, prompts)
        ledger = StoreLedger(work.store, cycle.budget, compute=cycle.config.compute)
        panel = _panel(cycle, ledger)

        def tasks_for(panelist: Panelist) -> list[JudgementTask]:
            return [
                task
                for prompt in prompts
                for ours, theirs in zip(policy[prompt.id], baseline[prompt.id], strict=True)
                for task in ranking_tasks(panelist, prompt, [ours, theirs])
            ]

        judge_missing(work.store, ledger, list(panel), tasks_for, "evaluating", config.judging)
        probe_judges(cycle, work.store, _held_out_only(config), Split.HOLDOUT)
        _score_missing(work.store, models, prompts, [policy, baseline])
        seats = _seats(panel, models, deviations_until(work.store, cycle.line, cycle.number))
        judgements, asked = _judgements(work.store, [policy, baseline], seats)
        settings = settings_hash(config, prompts, seats, judgements)
        evaluations = _stored_evaluations(work.store, policy_id, baseline_id, settings, seats)
        if not evaluations:
            kl = _kl(cycle, models, prompts, policy)
            comparison = ModelComparison(prompts, policy, baseline, kl, settings)
            judged = [comparison.evaluate(config, judgements, seat) for seat in seats]
            evaluations = [each.evaluation for each in judged]
            alarms = _alarms(cycle, comparison, evaluations, work.store, models)
            details = _details(config, comparison, judged, asked)
            work.store.append([*evaluations, *details, *alarms])
            work.news = f"{len(evaluations)} new"
            _announce(cycle, evaluations[0])
            announce_alarms(cycle, alarms)
        run_benchmarks(config, work.store, models, policy_id, (sft_id, baseline_id))
        work.detail = {each.judge: _brief(each) for each in evaluations}
        work.result = Handover(evaluation_id=evaluations[0].id)
    return evaluations[0].id


@evaluate.estimator
def estimate(work: CycleWork) -> list[Row]:
    """Estimate the missing answers to held-out prompts, and their judgements."""
    sizes, samples = work.sizes, work.config.evaluation.samples_per_prompt
    answers = 2 * len(work.holdout) * samples - work.done.answers
    rows = [Row("evaluate", "answers", answers, sizes.sampling(answers * sizes.answer))]
    for panelist in work.evaluating:
        judged = [prompt for prompt in work.holdout if prompt.mode in panelist.settings.modes]
        calls = len(judged) * samples * panelist.calls(2)
        calls -= work.done.evaluated.get(panelist.version, 0)
        rows.append(work.judgements("evaluate", panelist, calls))
        if panelist.settings in _held_out_only(work.config):
            rows.append(work.probes("evaluate", panelist, len(judged)))
    return [*rows, *estimate_reworded(work), *estimate_benchmarks(work)]


class _Models:
    """The trunk with policy and reward model, loaded on first use."""

    def __init__(
        self, cycle: Cycle, sft_id: str, reward_id: str, policy_id: str, champion: str | None
    ) -> None:
        self.cycle, self.sft_id = cycle, sft_id
        self.reward_id, self.policy_id, self.champion = reward_id, policy_id, champion

    @cached_property
    def trunk(self) -> Trunk:
        config, folder = self.cycle.config, self.cycle.folder
        take_gpu(config)
        base = str(folder(self.sft_id))
        trunk = on_all_ranks(open_trunk, base, self.cycle.compute(), trained_lora(config.policy))
        on_all_ranks(load_role, trunk, Role.POLICY, folder(self.policy_id))
        on_all_ranks(load_role, trunk, Role.REWARD, folder(self.reward_id))
        if self.champion is not None:
            on_all_ranks(load_role, trunk, Role.CHAMPION, folder(self.champion))
        return trunk

    @cached_property
    def chat(self) -> ChatFormat:
        return policy_chat(self.trunk.tokenizer, self.cycle.config.policy)

    def role(self, model_id: str) -> Role:
        roles = {self.sft_id: Role.REFERENCE, self.policy_id: Role.POLICY}
        return roles.get(model_id, Role.CHAMPION)

    def sequences(self, prompts: Sequence[Prompt], answers: Answers) -> list[TokenSequence]:
        return [
            TokenSequence(tuple(self.chat.prompt_ids(prompt.conversation)), answer.token_ids or ())
            for prompt in prompts
            for answer in answers[prompt.id]
        ]


def _answers(
    cycle: Cycle,
    store: Store,
    models: _Models,
    model_ids: Sequence[str],
    prompts: Sequence[Prompt],
) -> list[dict[str, list[Candidate]]]:
    """Return each model's answers to the held-out prompts; sample those that are missing."""
    sampling = evaluation_sampling(cycle.config)
    batches = [cycle.batch(model_id, sampling, "evaluation") for model_id in model_ids]
    count = cycle.config.evaluation.samples_per_prompt
    missing = [missing_shards(store, batch, prompts, count) for batch in batches]
    if any(missing):
        trunk = models.trunk
        with open_engine(cycle, models.sft_id) as engine:
            for batch, shards in zip(batches, missing, strict=True):
                role = models.role(batch.model_id)
                sampler = policy_sampler(cycle, trunk, role, sampling, engine)
                sample_shards(store, sampler, batch, sampling, shards, "answering")
    return [
        queries.candidates_by_prompt(store, batch.model_id, batch.sampling, batch.seed, prompts)
        for batch in batches
    ]


def _panel(cycle: Cycle, ledger: Ledger) -> Panel:
    config = cycle.config
    panel = {
        Panelist(settings, ledger): REPORTS if number else DECIDES
        for number, settings in enumerate(config.evaluation.judges)
    }
    seen = {panelist.version for panelist in panel}
    for settings in config.judges:
        panelist = Panelist(settings, ledger)
        if panelist.version not in seen:
            panel[panelist] = TRAINED_ON if settings.weight > 0 else REPORTS
    return panel


def _held_out_only(config: Config) -> list[JudgeSettings]:
    """Return the judges of the evaluation that the judge stage has not probed."""
    probed = {judge.identity for judge in config.judges}
    return [judge for judge in config.evaluation.judges if judge.identity not in probed]


def _score_missing(
    store: Store, models: _Models, prompts: Sequence[Prompt], answers: Sequence[Answers]
) -> None:
    """Store the reward model's missing scores of the answers, as judgements in its own units."""
    for group in answers:
        candidates = [candidate for prompt in prompts for candidate in group[prompt.id]]
        blank = [_reward_judgement(candidate, models.reward_id, 0.0) for candidate in candidates]
        known = queries.known_ids(store, Judgement.table, [judgement.id for judgement in blank])
        if all(judgement.id in known for judgement in blank):
            continue
        sequences = models.sequences(prompts, group)
        scores = on_all_ranks(score_sequences, models.trunk, sequences, Role.REWARD)
        store.append(
            _reward_judgement(candidate, models.reward_id, score)
            for candidate, score in zip(candidates, scores.tolist(), strict=True)
        )


def _reward_judgement(candidate: Candidate, reward_id: str, score: float) -> Judgement:
    return Judgement(
        prompt_id=candidate.prompt_id,
        judge=PROXY,
        judge_version=reward_id,
        candidate_id=candidate.id,
        outcome=Outcome.SCORED,
        score=score,
    )


def _seats(panel: Panel, models: _Models, deviations: Mapping[str, float]) -> list[EvaluationJudge]:
    """Return all judges of the answers, including the reward model, with their own noise."""
    judges = [evaluation_judge(panelist, role, deviations) for panelist, role in panel.items()]
    return [*judges, EvaluationJudge(PROXY, models.reward_id, PROXY, REWARD_SCALE)]


def _judgements(
    store: Store, answers: Sequence[Answers], seats: Sequence[EvaluationJudge]
) -> tuple[list[Judgement], list[Judgement]]:
    """Return the judgements of these answers that are opinions, and all of them."""
    ids = {c.id for side in answers for group in side.values() for c in group}
    asked = [
        judgement
        for judgement in queries.judgements_of(store, ids, [seat.version for seat in seats])
        if judgement.opponent_id is None or judgement.opponent_id in ids
    ]
    return [judgement for judgement in asked if judgement.outcome in OPINIONS], asked


def _details(
    config: Config,
    comparison: ModelComparison,
    judged: Sequence[JudgedComparison],
    judgements: Sequence[Judgement],
) -> list[Record]:
    """Return each comparison, and the figures beside the win rates."""
    confidence = config.promotion.confidence
    rows: list[Record] = [result for each in judged for result in each.results]
    for each in judged:
        version = each.evaluation.judge_version
        own = [judgement for judgement in judgements if judgement.judge_version == version]
        rows += evaluation_figures(comparison, each, confidence)
        for figures in (abstention_figures, aspect_figures):
            rows += figures(
                each.evaluation.id, comparison.policy, comparison.baseline, own, confidence
            )
    return rows


def _stored_evaluations(
    store: Store, policy_id: str, baseline_id: str, settings: str, seats: Sequence[EvaluationJudge]
) -> list[Evaluation]:
    """Return the evaluations of an earlier run if all of them are there, else none."""
    stored = {
        (evaluation.judge, evaluation.judge_version, evaluation.role): evaluation
        for evaluation in line_queries.evaluations_of(store, policy_id, baseline_id)
        if evaluation.settings == settings
    }
    wanted = [(seat.judge, seat.version, seat.role) for seat in seats]
    return [stored[key] for key in wanted] if all(key in stored for key in wanted) else []


def _kl(cycle: Cycle, models: _Models, prompts: Sequence[Prompt], policy: Answers) -> float:
    """Return the mean KL divergence from the SFT model, in nats an answer."""
    sequences = models.sequences(prompts, policy)
    temperature = cycle.config.evaluation.temperature
    return float(on_all_ranks(sequence_kl, models.trunk, sequences, temperature).mean().item())


def _alarms(
    cycle: Cycle,
    comparison: ModelComparison,
    evaluations: Sequence[Evaluation],
    store: Store,
    models: _Models,
) -> list[GuardAlarm]:
    """Return the alarms that the guard raises on these answers; none if it is off."""
    config, policy_id = cycle.config, evaluations[0].policy_id
    if config.guard.action == "off":
        return []
    trained_on = [each for each in evaluations if each.role in (TRAINED_ON, PROXY)]
    prompts, sides = comparison.prompts, (comparison.policy, comparison.baseline)
    reader = open_reader(store, models.trunk, models.chat, models.reward_id, config)
    read = [signs_of(reader, models.chat, prompts, side) for side in sides]
    look = look_before_promotion(
        config,
        prompts,
        *sides,
        evaluations,
        trained_on,
        {**read[0], **read[1]},
        _reworded(cycle, comparison, policy_id, store, models),
    )
    return alarm_rows(config, policy_id, look, step=0)


def _reworded(
    cycle: Cycle, comparison: ModelComparison, policy_id: str, store: Store, models: _Models
) -> list[RewordedVerdict]:
    """Return the verdicts of this cycle's judges on reworded answers; none if none is wanted."""
    if not cycle.config.guard.reworded_prompts:
        return []
    sides = comparison.policy, comparison.baseline
    compared = compared_answers(comparison.prompts, *sides, cycle.config.guard.reworded_prompts)
    judged_by = judge_reworded(cycle, store, policy_id, compared, *sides)
    score_reworded(
        cycle.config, store, policy_id, models.reward_id, models.trunk, models.chat, compared
    )
    return verdicts_on(store, policy_id, sides, [*judged_by, models.reward_id])


def _announce(cycle: Cycle, deciding: Evaluation) -> None:
    """Emit the event of an evaluation."""
    announce(
        Event.POLICY_EVALUATED,
        cycle.line,
        cycle=cycle.number,
        policy=deciding.policy_id,
        baseline=deciding.baseline_id,
        evaluation=deciding.id,
        judge=deciding.judge,
        win_rate=deciding.win_rate,
    )


def _brief(evaluation: Evaluation) -> str:
    if evaluation.win_rate is None:
        return "scored nothing"
    return (
        f"{evaluation.win_rate:.1%} [{evaluation.win_rate_low:.1%}, {evaluation.win_rate_high:.1%}]"
    )
