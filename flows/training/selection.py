"""Selection of fine-tuned weights by a reward model: the prompts set aside, and the trial."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from flows.cycle.selection import KEY, selecting_judge
from judges import Answer
from judges.reward_model import RewardModelJudge
from rlhf_core.algorithms.rewards import Reward, RewardPart, weighted_sum
from rlhf_core.algorithms.rollouts import Rollout
from rlhf_core.algorithms.selection import Trial
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError, TrainingError
from rlhf_core.identity import content_id
from rlhf_core.models.chat import ChatFormat
from rlhf_core.records import PROXY, Prompt
from rlhf_core.sampling.sampler import LOCAL, Sampler


def split_for_selection(
    config: Config, prompts: Sequence[Prompt]
) -> tuple[list[Prompt], list[Prompt]]:
    """Split training prompts into those to learn from and those set aside for the selection.

    A hash draws the prompts that are set aside; there are none without selection.

    Raises:
        ConfigError: If no prompt would be left to learn from.
    """
    settings = config.sft.selection
    if settings is None:
        return list(prompts), []
    in_order = sorted(prompts, key=lambda prompt: content_id("selection", prompt.id))
    drawn = {prompt.id for prompt in in_order[: settings.prompts]}
    learnt = [prompt for prompt in prompts if prompt.id not in drawn]
    if not any(prompt.reference_answers or config.revision for prompt in learnt):
        raise ConfigError(
            f"{KEY}.prompts = {settings.prompts}: of {len(prompts)} training prompts none with a "
            "reference answer would be left to learn from; lower it"
        )
    return learnt, [prompt for prompt in prompts if prompt.id in drawn]


def build_trial(
    config: Config, chat: ChatFormat, prompts: Sequence[Prompt], sampler: Sampler = LOCAL
) -> Trial | None:
    """Return the trial of weights on the prompts set aside; None without selection.

    Args:
        config: Config of the run.
        chat: Chat format of the model that is fine-tuned.
        prompts: Prompts set aside.
        sampler: Samples the tokens.

    Raises:
        ConfigError: If the selecting reward model is missing.
    """
    judge, settings = selecting_judge(config), config.sft.selection
    if judge is None or settings is None:
        return None
    tokens = [chat.prompt_ids(prompt.conversation) for prompt in prompts]
    return Trial(
        tokens,
        _raw_reward(judge, prompts),
        config.sampling,
        settings.every_epochs,
        settings.missing_eos_score,
        sampler,
    )


def _raw_reward(judge: RewardModelJudge, prompts: Sequence[Prompt]) -> Reward:
    """Return the judge's raw reward, NaN if prompt and answer are too long for its model."""

    def score(rollouts: Sequence[Rollout]) -> Tensor:
        answers = [Answer(prompts[r.prompt_index], r.text, r.is_finished) for r in rollouts]
        rewards = judge.rewards(answers)
        if all(reward is None for reward in rewards):
            raise TrainingError(
                f"{KEY}: each of {len(rewards)} prompts is too long for the reward model"
            )
        return torch.tensor([math.nan if reward is None else reward for reward in rewards])

    return weighted_sum({PROXY: RewardPart(1.0, score)})
