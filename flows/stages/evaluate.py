"""The policy is evaluated on held-out prompts by a judge that took no part in training.

It is compared with the model to beat: the champion, the SFT model, or answers from outside. The
guard compares it with the model that its training began from.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property, partial

from flows.cycle.baseline import check_policy
from flows.cycle.benchmarks import estimate_benchmarks, run_benchmarks
from flows.cycle.candidates import missing_shards, policy_sampler, sample_shards
from flows.cycle.comparing import Compared, compare_models, held_out_only
from flows.cycle.cycle import TRAINED_ON, Cycle, evaluation_sampling
from flows.cycle.engine import open_engine
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.handover import Handover
from flows.cycle.independence import refuse_judging_trainers
from flows.cycle.ledger import StoreLedger
from flows.cycle.outside import estimate_baseline, is_outside, outside_answers
from flows.cycle.probes import probe_judges
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
from flows.training.rankings import answer_ids
from judges.panel.panel import Panelist
from rlhf_core.algorithms.scoring import sequence_kl
from rlhf_core.config import Config
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.evaluation.comparison import (
    Answers,
    ModelComparison,
)
from rlhf_core.models.artifacts import load_role, open_trunk
from rlhf_core.models.chat import ChatFormat, policy_chat
from rlhf_core.models.lora_shape import trained_lora
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import (
    PROXY,
    Candidate,
    Evaluation,
    GuardAlarm,
    Prompt,
    RewordedVerdict,
    Split,
)
from rlhf_core.store import Store, queries


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
        start_id = (config.evaluation.baseline != "sft" and champion) or sft_id
        models = _Models(cycle, sft_id, reward_id, policy_id, champion)
        both = (policy_id, start_id)
        policy, start = _answers(cycle, work.store, models, both, prompts)
        ledger = StoreLedger(work.store, cycle.budget, compute=cycle.config.compute)

        def compare(asked: Sequence[Prompt], other: Answers) -> Compared:
            kl = partial(_kl, cycle, models, prompts, policy)
            return compare_models(cycle, work.store, models, ledger, asked, policy, other, kl)

        found = compare(prompts, start)
        probe_judges(cycle, work.store, held_out_only(config), Split.HOLDOUT)
        if found.comparison is not None:
            alarms = _alarms(cycle, found.comparison, found.evaluations, work.store, models)
            work.store.append([*found.rows, *alarms])
            announce_alarms(cycle, alarms)
        if is_outside(config):
            outside = outside_answers(cycle, work.store, prompts)
            found = compare([prompt for prompt in prompts if prompt.id in outside], outside)
            work.store.append(found.rows)
        evaluations = found.evaluations
        if found.comparison is not None:
            work.news = f"{len(evaluations)} new"
            _announce(cycle, evaluations[0])
        run_benchmarks(config, work.store, models, policy_id, (sft_id, start_id))
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
        calls = len(judged) * samples * _calls(panelist, work.config)
        calls -= work.done.evaluated.get(panelist.version, 0)
        rows.append(work.judgements("evaluate", panelist, calls))
        if panelist.settings in held_out_only(work.config):
            rows.append(work.probes("evaluate", panelist, len(judged)))
    rows += estimate_baseline(work)
    return [*rows, *estimate_reworded(work), *estimate_benchmarks(work)]


def _calls(panelist: Panelist, config: Config) -> int:
    """Return the judgements of a sample: of policy and start, and of a baseline from outside."""
    if not is_outside(config):
        return panelist.calls(2)
    return 2 * panelist.calls(2) if panelist.is_pairwise else panelist.calls(3)


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

    def sequences(self, asked: Iterable[tuple[Prompt, Candidate]]) -> list[TokenSequence]:
        return [
            TokenSequence(
                tuple(self.chat.prompt_ids(prompt.conversation)), answer_ids(self.chat, answer)
            )
            for prompt, answer in asked
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


def _kl(cycle: Cycle, models: _Models, prompts: Sequence[Prompt], policy: Answers) -> float:
    """Return the mean KL divergence from the SFT model, in nats an answer."""
    sequences = models.sequences((p, answer) for p in prompts for answer in policy[p.id])
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
