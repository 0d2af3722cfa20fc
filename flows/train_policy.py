"""A policy is improved against the reward model by PPO."""

from collections.abc import Sequence

from prefect import flow
from torch import Tensor

from flows import _versions
from flows._cycle import Cycle
from flows._progress import progress
from flows._stage import StageWork, stage
from flows._training import add_model, keep_metrics
from rlhf_core.algorithms.ppo import PPOStep, train_ppo
from rlhf_core.algorithms.reward_model import score_sequences
from rlhf_core.algorithms.rollouts import Rollout as Answer
from rlhf_core.models.artifacts import load_role, open_trunk, save_role
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.trunk import Role
from rlhf_core.records import ModelVersion, Prompt, Rollout, Split
from rlhf_core.store import queries


@flow(name="train_policy")
def train_policy(cycle: Cycle, prompt_set_id: str, sft_id: str, reward_id: str) -> str:
    """Train the policy if it is missing; its id."""
    with stage(cycle, "train_policy") as work:
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        incumbent = cycle.incumbent(work.store)
        ids = [prompt.id for prompt in prompts]
        version = _versions.policy(cycle.config, incumbent or sft_id, reward_id, ids)
        if queries.model(work.store, version.id) is None:
            _train(cycle, work, sft_id, incumbent, reward_id, version, prompts)
            work.news = "trained"
        work.detail = {"model": version.id, "prompts": len(prompts)}
    return version.id


def _train(
    cycle: Cycle,
    work: StageWork,
    sft_id: str,
    incumbent: str | None,
    reward_id: str,
    version: ModelVersion,
    prompts: Sequence[Prompt],
) -> None:
    config, base = cycle.config, cycle.folder(sft_id)
    trunk = open_trunk(str(base), cycle.compute(), config.policy.lora_rank)
    load_role(trunk, Role.REWARD, cycle.folder(reward_id))
    trunk.copy_role(Role.REWARD, Role.CRITIC)
    if incumbent is None:
        trunk.add_role(Role.POLICY, config.seed)
    else:
        load_role(trunk, Role.POLICY, cycle.folder(incumbent))
    chat = ChatFormat(trunk.tokenizer, config.policy.system_prompt)
    tokens = [chat.prompt_ids(prompt.instruction) for prompt in prompts]

    def reward(answers: Sequence[Answer]) -> Tensor:
        return score_sequences(trunk, [answer.tokens for answer in answers], Role.REWARD)

    settings = config.training
    with progress("policy", settings.steps) as advance:
        for step in train_ppo(trunk, tokens, reward, settings, config.sampling, config.seed):
            keep_metrics(work.store, version.id, step)
            work.store.append(_rollout_records(version.id, step, prompts))
            advance(1, f"reward {step.metrics['score']:+.2f}  KL {step.metrics['kl']:.2f}")
    save_role(trunk, Role.POLICY, cycle.folder(version.id), base)
    reward_version = queries.model(work.store, reward_id)
    learnt_from = [*prompts, *([reward_version] if reward_version else [])]
    add_model(work.store, version, learnt_from)


def _rollout_records(model_id: str, step: PPOStep, prompts: Sequence[Prompt]) -> list[Rollout]:
    return [
        Rollout(
            model_id=model_id,
            step=step.step,
            row=row,
            prompt_id=prompts[answer.prompt_index].id,
            text=answer.text,
            score=score,
            kl=kl,
            completion_tokens=len(answer.tokens.response_ids),
            finish_reason=answer.finish_reason,
        )
        for row, (answer, score, kl) in enumerate(
            zip(step.rollouts, step.scores, step.kl, strict=True)
        )
    ]
