"""A policy is improved: against the reward model, or on the rankings themselves."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence

from flows.cycle import versions
from flows.cycle.cycle import Cycle
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.judgements import name_models
from flows.cycle.ledger import StoreLedger
from flows.cycle.stage import StageWork, stage
from flows.training.lineage import Roles, add_model
from flows.training.rankings import ranked_candidates, training_rankings
from flows.training.rewards import RewardJudges, build_reward, check_rewards
from flows.training.steps import checkpoints_of, keep_metrics, track_steps
from flows.training.texts import ptx_files, ptx_texts
from rlhf_core.algorithms.best_of_n import train_best_of_n
from rlhf_core.algorithms.checkpoints import Checkpoints
from rlhf_core.algorithms.dpo import train_dpo
from rlhf_core.algorithms.online import add_critic, train_online
from rlhf_core.algorithms.optimisation import TrainingStep, step_count
from rlhf_core.algorithms.rollouts import RolloutStep
from rlhf_core.config import Config
from rlhf_core.config.training import (
    BestOfNSettings,
    DPOSettings,
    OnlineSettings,
    PPOSettings,
    TrainingSettings,
)
from rlhf_core.distributed.collective import RankZeroOnly, on_all_ranks
from rlhf_core.errors import ConfigError
from rlhf_core.models.artifacts import load_role, open_trunk, save_role
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import InputRole, ModelVersion, Prompt, Record, RolloutRecord, Split
from rlhf_core.store import queries


@cycle_flow("train_policy")
def train_policy(cycle: Cycle, prompt_set_id: str, sft_id: str, reward_id: str, recipe: str) -> str:
    """Train the policy if it is missing; its id."""
    with stage(cycle, "train_policy") as work:
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        champion = cycle.champion(work.store, sft_id)
        ids = [prompt.id for prompt in prompts]
        judges = check_rewards(cycle.config.training)
        _refuse_retracted(queries.retracted_judges(work.store, judges))
        version = versions.policy(cycle.config, champion or sft_id, reward_id, ids, [*judges])
        if queries.model(work.store, version.id) is None:
            name_models(work.store, judges)
            _train(cycle, work, sft_id, champion, reward_id, recipe, version, prompts, [*judges])
            work.news = "trained"
        work.detail = {"model": version.id, "prompts": len(prompts)}
    return version.id


def _refuse_retracted(judges: Mapping[str, str]) -> None:
    """A judge in the reward is asked anew for every answer, so retracting it must stop that."""
    if judges:
        named = "; ".join(f"{version} ({reason})" for version, reason in judges.items())
        raise ConfigError(
            f"training.reward.judges: retracted: {named}. Name another judge, or take that back by "
            "`solon retract VERSION --withdraw`"
        )


def _train(
    cycle: Cycle,
    work: StageWork,
    sft_id: str,
    champion: str | None,
    reward_id: str,
    recipe: str,
    version: ModelVersion,
    prompts: Sequence[Prompt],
    judge_versions: Sequence[str],
) -> None:
    config, base = cycle.config, cycle.folder(sft_id)
    trunk = on_all_ranks(open_trunk, str(base), cycle.compute(), config.policy.lora_rank)
    if reads_reward_model(config.training):
        on_all_ranks(load_role, trunk, Role.REWARD, cycle.folder(reward_id))
    if champion is None:
        on_all_ranks(trunk.add_role, Role.POLICY, config.seed)
    else:
        on_all_ranks(load_role, trunk, Role.POLICY, cycle.folder(champion))
    chat = ChatFormat(trunk.tokenizer, config.policy.system_prompt)
    settings, checkpoints = config.training, checkpoints_of(cycle, version)
    learnt_from: Sequence[Record]
    others: Roles = {}
    bench = RewardJudges(StoreLedger(work.store, cycle.budget), config.judging)
    if isinstance(settings, DPOSettings):
        learnt_from = rankings = training_rankings(cycle, work.store, sft_id, recipe, prompts)
        others = {InputRole.LEFT_OUT: queries.pairs_left_out(work.store, rankings)}
        learnable = ranked_candidates(work.store, chat, rankings, settings, config)
        steps: Iterator[TrainingStep] = on_all_ranks(
            train_dpo, trunk, learnable, settings, config.seed, checkpoints
        )
        total = step_count(len(learnable), settings.prompts_per_step, settings.epochs)
    else:
        steps = _steps_against_reward(config, trunk, chat, prompts, checkpoints, bench)
        total = steps_against_reward(settings, len(prompts))
        reward_version = queries.model(work.store, reward_id)
        learnt_from = [*prompts, *([reward_version] if reward_version else [])]
    for step in track_steps(cycle, version, steps, "policy", total, _said):
        keep_metrics(work.store, version.id, step)
        if isinstance(step, RolloutStep):
            records = _rollout_records(version.id, step, prompts)
            work.store.append([*records, *bench.take(step.rollouts, records)])
    bench.close()
    save_role(trunk, Role.POLICY, cycle.folder(version.id), base)
    add_model(work.store, version, learnt_from, others, ptx_files(settings), judge_versions)
    checkpoints.clear()


def _steps_against_reward(
    config: Config,
    trunk: Trunk,
    chat: ChatFormat,
    prompts: Sequence[Prompt],
    checkpoints: Checkpoints,
    bench: RewardJudges,
) -> Iterator[TrainingStep]:
    """Of an algorithm that draws answers and has the reward model score them."""
    settings = config.training
    tokens = [chat.prompt_ids(prompt.instruction) for prompt in prompts]

    assert not isinstance(settings, DPOSettings)
    reward = on_all_ranks(build_reward, settings.reward, trunk, prompts, RankZeroOnly(bench))
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
    )


def reads_reward_model(settings: TrainingSettings) -> bool:
    """Tell whether a training scores with the reward model, or begins its critic from it."""
    if isinstance(settings, DPOSettings):
        return False
    return settings.reward.reward_model > 0 or isinstance(settings, PPOSettings)


def steps_against_reward(settings: OnlineSettings | BestOfNSettings, prompts: int) -> int:
    """How many items the training of that algorithm yields."""
    if isinstance(settings, BestOfNSettings):
        return step_count(prompts, settings.prompts_per_step, 1 + settings.epochs)
    return settings.steps


def _said(metrics: Mapping[str, float]) -> str:
    """What is worth seeing beside the bar."""
    shown = {"score": "reward", "kl": "KL", "loss": "loss", "accuracy": "in order"}
    return "  ".join(
        f"{word} {metrics[name]:+.2f}" for name, word in shown.items() if name in metrics
    )


def _as_json(parts: Mapping[str, float]) -> str:
    """An object of the parts that have an opinion."""
    return json.dumps({name: score for name, score in parts.items() if not math.isnan(score)})


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
            score=None if math.isnan(score) else score,
            kl=kl,
            completion_tokens=len(answer.tokens.response_ids),
            finish_reason=answer.finish_reason,
            parts=_as_json({name: scores[row] for name, scores in step.parts.items()}),
        )
        for row, (answer, score, kl) in enumerate(
            zip(step.rollouts, step.scores, step.kl, strict=True)
        )
    ]
