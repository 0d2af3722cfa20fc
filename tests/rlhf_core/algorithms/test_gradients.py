"""The gradient of an optimizer step does not depend on its micro-batches."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from rlhf_core.algorithms import drawing
from rlhf_core.algorithms.dpo import train_dpo
from rlhf_core.algorithms.online import add_critic, train_online
from rlhf_core.algorithms.optimisation import TrainingStep, Updater
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.algorithms.sft import train_sft
from rlhf_core.config.training import (
    DPOSettings,
    GRPOSettings,
    OnlineSettings,
    PPOSettings,
    RLOOSettings,
)
from rlhf_core.config.tree import RewardModelSettings, SamplingSettings, SFTSettings
from rlhf_core.models.sequences import microbatches
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.rlhf_core.algorithms.planted import share_of_low
from tests.rlhf_core.algorithms.ragged import PROMPTS, disturb, ragged_rollouts

SEQUENCES = [rollout.tokens for rollout in ragged_rollouts()]
RANKINGS = [
    RankedCandidates(tuple(SEQUENCES[at : at + 2]), torch.tensor([[0.0, 0.8], [0.2, 0.0]]))
    for at in range(0, 8, 2)
]


def sft(trunk: Trunk) -> Iterator[TrainingStep]:
    return train_sft(trunk, SEQUENCES, SFTSettings(prompts_per_step=8), seed=1)


def reward_model(trunk: Trunk) -> Iterator[TrainingStep]:
    settings = RewardModelSettings(prompts_per_step=4, heads=2)
    return train_reward_model(trunk, RANKINGS, settings, seed=1)


def dpo(trunk: Trunk) -> Iterator[TrainingStep]:
    policy(trunk)
    settings = DPOSettings(algorithm="dpo", prompts_per_step=4)
    return train_dpo(trunk, RANKINGS, settings, seed=1)


def ppo(trunk: Trunk) -> Iterator[TrainingStep]:
    return rolled_out(trunk, PPOSettings(entropy_bonus=0.1, ptx={"examples": 8}))


def ppo_shared(trunk: Trunk) -> Iterator[TrainingStep]:
    return rolled_out(trunk, PPOSettings(critic="shared"))


def rloo(trunk: Trunk) -> Iterator[TrainingStep]:
    return rolled_out(trunk, RLOOSettings(algorithm="rloo", samples_per_prompt=2))


def grpo(trunk: Trunk) -> Iterator[TrainingStep]:
    return rolled_out(trunk, GRPOSettings(algorithm="grpo", samples_per_prompt=2))


def dapo(trunk: Trunk) -> Iterator[TrainingStep]:
    return rolled_out(
        trunk,
        GRPOSettings(
            algorithm="grpo", samples_per_prompt=2, aggregation="token", dynamic_sampling=1
        ),
    )


def dr_grpo(trunk: Trunk) -> Iterator[TrainingStep]:
    return rolled_out(
        trunk, GRPOSettings(algorithm="grpo", samples_per_prompt=2, aggregation="constant")
    )


def gspo(trunk: Trunk) -> Iterator[TrainingStep]:
    return rolled_out(trunk, GRPOSettings(algorithm="grpo", samples_per_prompt=2, ratio="sequence"))


def rolled_out(trunk: Trunk, settings: OnlineSettings) -> Iterator[TrainingStep]:
    policy(trunk)
    if isinstance(settings, PPOSettings):
        trunk.add_role(Role.REWARD, 1)
        disturb(trunk, Role.REWARD)
        add_critic(trunk, settings)
    chosen = settings.model_copy(update={"steps": 1, "prompts_per_step": 4, "minibatches": 1})
    return train_online(trunk, PROMPTS, share_of_low, chosen, SamplingSettings(), 1, SEQUENCES)


def policy(trunk: Trunk) -> None:
    trunk.add_role(Role.POLICY, 1)
    disturb(trunk, Role.POLICY)


@pytest.mark.parametrize(
    "training", [sft, reward_model, dpo, ppo, ppo_shared, rloo, grpo, dapo, dr_grpo, gspo]
)
def test_one_two_or_four_rows_at_once_give_the_same_gradient(
    new_trunk: Callable[[], Trunk],
    monkeypatch: pytest.MonkeyPatch,
    training: Callable[[Trunk], Iterator[TrainingStep]],
):
    """Losses are divided by the tokens or answers of the step, also with one row an answer."""
    monkeypatch.setattr(drawing, "roll_out", lambda *_: ragged_rollouts())
    found: list[list[torch.Tensor]] = []

    def caught(updater: Updater) -> tuple[float, float]:
        found[-1] += [parameter.grad.clone() for parameter in updater.parameters]
        updater.clear_gradients()
        return 0.0, 0.0

    monkeypatch.setattr(Updater, "step", caught)
    for rows, is_shared in ((1, True), (2, True), (4, True), (2, False)):
        # The longest row has eight tokens.
        assert len(microbatches(SEQUENCES, 8 * rows)) == 4 // rows
        trunk = new_trunk()
        trunk.compute = replace(FP32, tokens_per_microbatch=8 * rows, share_prompts=is_shared)
        found.append([])
        next(training(trunk))
    assert max(gradient.abs().max() for gradient in found[0]) > 1e-3
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], atol=5e-6, rtol=1e-3)
