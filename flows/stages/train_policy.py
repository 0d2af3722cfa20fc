"""A policy is trained: against the reward, or on the rankings themselves."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from flows.cycle import versions
from flows.cycle.baseline import check_feedback
from flows.cycle.cycle import Cycle
from flows.cycle.engine import open_engine
from flows.cycle.estimates import CycleWork, Row, Sizes
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.handover import Handover
from flows.cycle.judgements import record_judge_models
from flows.cycle.ledger import StoreLedger
from flows.cycle.stage import StageWork, stage
from flows.guard.reading import open_reader
from flows.guard.training import TrainingGuard, is_watched, open_guard
from flows.guard.training import estimate as estimate_guard
from flows.service.events import Event, announce
from flows.service.gpu import take_gpu
from flows.training.lineage import InputsByRole, add_model, making
from flows.training.rankings import ranked_candidates, training_rankings
from flows.training.rewards import RewardJudges, build_reward, check_rewards
from flows.training.steps import checkpoints_of, keep_metrics, track_steps
from flows.training.texts import ptx_files, ptx_texts
from judges.panel.panel import Panelist
from rlhf_core.algorithms.best_of_n import train_best_of_n
from rlhf_core.algorithms.checkpoints import Checkpoints
from rlhf_core.algorithms.dpo import train_dpo
from rlhf_core.algorithms.online import add_critic, train_online
from rlhf_core.algorithms.optimisation import TrainingStep, step_count
from rlhf_core.algorithms.reward_reader import RewardReader
from rlhf_core.algorithms.rewards import Reward
from rlhf_core.algorithms.rollouts import RolloutStep
from rlhf_core.config import Config
from rlhf_core.config.training import (
    BestOfNSettings,
    DPOSettings,
    OnlineSettings,
    PPOSettings,
    TrainingSettings,
)
from rlhf_core.config.tree import rewarding_judges
from rlhf_core.distributed.collective import RankZeroOnly, on_all_ranks
from rlhf_core.errors import ConfigError
from rlhf_core.models.artifacts import load_role, open_trunk, save_role
from rlhf_core.models.chat import ChatFormat, policy_chat
from rlhf_core.models.lora_shape import trained_lora
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import InputRole, ModelVersion, Prompt, Record, RolloutRecord, Split
from rlhf_core.sampling.sampler import LOCAL, Sampler
from rlhf_core.store import line_queries, queries


@cycle_flow("train_policy")
def train_policy(cycle: Cycle, prompt_set_id: str, sft_id: str, reward_id: str, recipe: str) -> str:
    """Train the policy if it is missing.

    Args:
        cycle: The cycle under way.
        prompt_set_id: Prompt set of the cycle.
        sft_id: SFT model of the line.
        reward_id: Reward model of the cycle.
        recipe: Recipe of the rankings.

    Returns:
        The id of the policy.

    Raises:
        ConfigError: If a judge in the reward was retracted.
        ChampionChangedError: If a rollback changed the champion, and nothing was sampled from the
            new one.
    """
    with stage(cycle, "train_policy") as work:
        check_feedback(cycle, work.store, sft_id)
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        champion = cycle.champion(work.store, sft_id)
        ids = [prompt.id for prompt in prompts]
        judges = check_rewards(cycle.config.training)
        _refuse_retracted(queries.retracted_judges(work.store, judges))
        version = versions.policy(cycle.config, champion or sft_id, reward_id, ids, [*judges])
        with making(cycle, work, version) as is_missing:
            if is_missing:
                record_judge_models(work.store, judges)
                origins = _Origins(sft_id, champion, reward_id, recipe, prompts, [*judges])
                if cycle.config.policy.lora_dropout and not isinstance(
                    cycle.config.training, BestOfNSettings
                ):
                    work.logger.info("policy.lora_dropout: this algorithm trains without it")
                take_gpu(cycle.config)
                with _engine(cycle, sft_id) as sampler:
                    _train(cycle, work, version, origins, sampler)
                work.news = "trained"
                announce(Event.POLICY_TRAINED, cycle.line, cycle=cycle.number, model=version.id)
        work.detail = {"model": version.id, "prompts": len(prompts)}
        work.result = Handover(
            prompt_set_id=prompt_set_id, sft_id=sft_id, reward_id=reward_id, policy_id=version.id
        )
    return version.id


@train_policy.estimator
def estimate(work: CycleWork) -> list[Row]:
    """Estimate the missing answers, optimizer steps and judgements in the reward."""
    settings, sizes = work.config.training, work.sizes
    if work.done.has_policy:
        return []
    if isinstance(settings, OnlineSettings):
        rows = _estimate_online(settings, sizes)
        answers = settings.answers
    elif isinstance(settings, DPOSettings):
        rows, answers = _estimate_dpo(settings, work), 0
    else:
        rows, answers = _estimate_best_of_n(settings, work), len(work.train) * settings.n
    judges = [Panelist(judge) for judge in rewarding_judges(settings)]
    rows += [work.judgements("train_policy", judge, answers) for judge in judges]
    if isinstance(settings, OnlineSettings) and settings.sampling_rounds > 1:
        rows += _estimate_further_rounds(settings, work, judges)
    return rows + estimate_guard(work)


def _estimate_further_rounds(
    settings: OnlineSettings, work: CycleWork, judges: Sequence[Panelist]
) -> list[Row]:
    """Estimate what dynamic sampling adds if no prompt of any step can be learnt from.

    Args:
        settings: Settings of the algorithm.
        work: The cycle to plan.
        judges: Judges in the reward.
    """
    sizes, rounds = work.sizes, settings.sampling_rounds - 1
    prompts = rounds * settings.steps * settings.prompts_per_step
    answers = rounds * settings.answers
    tokens = prompts * sizes.prompt + answers * sizes.answer
    # Policy, reference and reward model read them; no update does.
    seconds = sizes.sampling(answers * sizes.answer) + 3 * sizes.forward(tokens)
    rows = [Row("train_policy", "rollouts", answers, seconds)]
    rows += [work.judgements("train_policy", judge, answers) for judge in judges]
    return [replace(row, what=f"further {row.what}, at most") for row in rows]


def _estimate_dpo(settings: DPOSettings, work: CycleWork) -> list[Row]:
    sizes = work.sizes
    updates = step_count(work.rankings, settings.prompts_per_step, settings.epochs)
    row = sizes.prompt + work.config.sampling.candidates * sizes.answer
    tokens = work.rankings * settings.epochs * row
    # The reference only runs forward.
    seconds = sizes.training(tokens, updates) + sizes.forward(tokens)
    return [Row("train_policy", "optimizer steps, at most", updates, seconds)]


def _estimate_best_of_n(settings: BestOfNSettings, work: CycleWork) -> list[Row]:
    sizes, train = work.sizes, len(work.train)
    updates = step_count(train, settings.prompts_per_step, settings.epochs)
    answers = train * settings.n
    scoring = sizes.forward(train * sizes.prompt + answers * sizes.answer)
    updating = sizes.training(train * settings.epochs * (sizes.prompt + sizes.answer), updates)
    return [
        Row("train_policy", "answers", answers, sizes.sampling(answers * sizes.answer) + scoring),
        Row("train_policy", "optimizer steps", updates, updating),
    ]


def _estimate_online(settings: OnlineSettings, sizes: Sizes) -> list[Row]:
    prompts, rollouts = settings.steps * settings.prompts_per_step, settings.answers
    tokens = prompts * sizes.prompt + rollouts * sizes.answer
    with_critic = isinstance(settings, PPOSettings) and settings.critic == "separate"
    scoring = (3 + with_critic) * sizes.forward(tokens)  # policy, reference, reward model, critic
    updates = settings.steps * settings.epochs * settings.minibatches
    texts = updates * settings.ptx.examples if settings.ptx else 0
    updating = (1 + with_critic) * sizes.training(settings.epochs * tokens, updates)
    updating += sizes.training(texts * (sizes.prompt + sizes.answer), 0)
    return [
        Row("train_policy", "rollouts", rollouts, sizes.sampling(rollouts * sizes.answer)),
        Row("train_policy", "optimizer steps", updates, scoring + updating),
    ]


def _refuse_retracted(judges: Mapping[str, str]) -> None:
    """Refuse retracted judges in the reward: they would judge every new answer."""
    if judges:
        named = "; ".join(f"{version} ({reason})" for version, reason in judges.items())
        raise ConfigError(
            f"training.reward.judges: retracted: {named}. Name another judge, or withdraw the "
            "retraction with `solon retract VERSION --withdraw`"
        )


@dataclass(frozen=True)
class _Origins:
    """Models, rankings, prompts and judges that a policy is trained from."""

    sft_id: str
    champion: str | None
    """The policy to continue; None starts from the SFT model."""
    reward_id: str
    recipe: str
    """Recipe of the rankings, from which DPO learns."""
    prompts: Sequence[Prompt]
    judge_versions: Sequence[str]
    """Judges that are part of the reward."""


def _open_trunk(cycle: Cycle, origins: _Origins) -> Trunk:
    """Open the SFT model with the roles that the training needs."""
    config, base = cycle.config, str(cycle.folder(origins.sft_id))
    trunk = on_all_ranks(open_trunk, base, cycle.compute(), trained_lora(config.policy))
    if reads_reward_model(config.training):
        on_all_ranks(load_role, trunk, Role.REWARD, cycle.folder(origins.reward_id))
    if origins.champion is None:
        on_all_ranks(trunk.add_role, Role.POLICY, config.seed)
    else:
        on_all_ranks(load_role, trunk, Role.POLICY, cycle.folder(origins.champion))
    return trunk


def _engine(cycle: Cycle, sft_id: str) -> AbstractContextManager[Sampler]:
    """Return the engine of the rollouts; DPO has none, and so starts none."""
    if isinstance(cycle.config.training, DPOSettings):
        return nullcontext(LOCAL)
    return open_engine(cycle, sft_id)


def _train(
    cycle: Cycle, work: StageWork, version: ModelVersion, origins: _Origins, sampler: Sampler
) -> None:
    config, prompts = cycle.config, origins.prompts
    trunk = _open_trunk(cycle, origins)
    chat = policy_chat(trunk.tokenizer, config.policy)
    settings, checkpoints = config.training, checkpoints_of(cycle, version)
    learnt_from: Sequence[Record]
    others: InputsByRole = {}
    judges = RewardJudges(
        StoreLedger(work.store, cycle.budget, compute=config.compute), config.judging
    )
    start = origins.champion or origins.sft_id
    reader = None
    if is_watched(config) and scores_with_reward_model(settings):
        reader = open_reader(work.store, trunk, chat, origins.reward_id, config)
    guard = open_guard(cycle, work.store, version.id, prompts, start, trunk, reader, sampler)
    if isinstance(settings, DPOSettings):
        learnt_from = rankings = training_rankings(
            cycle, work.store, origins.sft_id, origins.recipe, prompts
        )
        others = {InputRole.LEFT_OUT: queries.pairs_left_out(work.store, rankings)}
        learnable = ranked_candidates(work.store, chat, rankings, settings, config)
        steps: Iterator[TrainingStep] = on_all_ranks(
            train_dpo, trunk, learnable, settings, config.seed, checkpoints
        )
        total = step_count(len(learnable), settings.prompts_per_step, settings.epochs)
    else:
        reward = _reward(config, trunk, prompts, judges, reader)
        steps = _train_against_reward(
            config, trunk, chat, prompts, checkpoints, reward, guard, sampler
        )
        total = count_steps_against_reward(settings, len(prompts))
        reward_version = line_queries.model(work.store, origins.reward_id)
        learnt_from = [*prompts, *([reward_version] if reward_version else [])]
    for step in track_steps(cycle, version, steps, "policy", total, _describe):
        keep_metrics(work.store, version.id, step)
        if isinstance(step, RolloutStep):
            records = _rollout_records(version.id, step, prompts)
            work.store.append([*records, *judges.take(step.rollouts, records)])
            if guard is not None:
                guard.watch(step, records)
    judges.close()
    if guard is not None:
        guard.close()
    base = cycle.folder(origins.sft_id)
    on_all_ranks(save_role, trunk, Role.POLICY, cycle.folder(version.id), base)
    files = ptx_files(settings)
    add_model(work.store, version, learnt_from, others, files, origins.judge_versions)
    checkpoints.clear()


def _reward(
    config: Config,
    trunk: Trunk,
    prompts: Sequence[Prompt],
    judges: RewardJudges,
    reader: RewardReader | None,
) -> Reward:
    settings = config.training
    assert not isinstance(settings, DPOSettings)
    return on_all_ranks(build_reward, settings.reward, trunk, prompts, RankZeroOnly(judges), reader)


def _train_against_reward(
    config: Config,
    trunk: Trunk,
    chat: ChatFormat,
    prompts: Sequence[Prompt],
    checkpoints: Checkpoints,
    reward: Reward,
    guard: TrainingGuard | None,
    sampler: Sampler,
) -> Iterator[TrainingStep]:
    """Return the training steps of an algorithm that samples answers and scores them."""
    settings = config.training
    tokens = [chat.prompt_ids(prompt.conversation) for prompt in prompts]
    if isinstance(settings, BestOfNSettings):
        return on_all_ranks(
            train_best_of_n,
            trunk,
            tokens,
            reward,
            settings,
            config.sampling,
            config.seed,
            checkpoints,
            sampler,
        )
    assert isinstance(settings, OnlineSettings)
    if isinstance(settings, PPOSettings):
        on_all_ranks(add_critic, trunk, settings)
    texts = ptx_texts(settings.ptx, chat, prompts) if settings.ptx else []
    return on_all_ranks(
        train_online,
        trunk,
        tokens,
        reward,
        settings,
        config.sampling,
        config.seed,
        texts,
        checkpoints,
        None if guard is None else RankZeroOnly(guard),
        sampler,
    )


def reads_reward_model(settings: TrainingSettings) -> bool:
    """Return True if a training scores with the reward model or initialises its critic from it."""
    return scores_with_reward_model(settings) or isinstance(settings, PPOSettings)


def scores_with_reward_model(settings: TrainingSettings) -> bool:
    """Return True if the reward model is part of the reward of a training."""
    return not isinstance(settings, DPOSettings) and settings.reward.reward_model > 0


def count_steps_against_reward(settings: OnlineSettings | BestOfNSettings, prompts: int) -> int:
    """Return the number of steps that the training of that algorithm yields."""
    if isinstance(settings, BestOfNSettings):
        return step_count(prompts, settings.prompts_per_step, 1 + settings.epochs)
    return settings.steps


def _describe(metrics: Mapping[str, float]) -> str:
    """Return the metrics that the progress bar shows."""
    shown = {"score": "reward", "kl": "KL", "loss": "loss", "accuracy": "in order"}
    return "  ".join(
        f"{word} {metrics[name]:+.2f}" for name, word in shown.items() if name in metrics
    )


def _as_json(parts: Mapping[str, float]) -> str:
    """Return a JSON object of the parts of a reward that have an opinion, which is not NaN."""
    return json.dumps({name: score for name, score in parts.items() if not math.isnan(score)})


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number


def _rollout_records(
    model_id: str, step: RolloutStep, prompts: Sequence[Prompt]
) -> list[RolloutRecord]:
    return [
        RolloutRecord(
            model_id=model_id,
            step=step.step,
            row=row,
            prompt_id=prompts[answer.prompt_index].id,
            text=answer.text,
            score=_known(score),
            kl=kl,
            completion_tokens=len(answer.tokens.response_ids),
            finish_reason=answer.finish_reason,
            engine=answer.engine,
            parts=_as_json({name: scores[row] for name, scores in step.parts.items()}),
            **{name: _known(signs[row]) for name, signs in step.signs.items()},
        )
        for row, (answer, score, kl) in enumerate(
            zip(step.rollouts, step.scores, step.kl, strict=True)
        )
    ]
