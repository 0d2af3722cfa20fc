"""Every training that is interrupted and resumed ends in the weights of an uninterrupted one."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch

from rlhf_core.algorithms.best_of_n import train_best_of_n
from rlhf_core.algorithms.checkpoints import NO_CHECKPOINTS, Checkpoints, DrawnSequences
from rlhf_core.algorithms.dpo import train_dpo
from rlhf_core.algorithms.online import train_online
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.algorithms.rewards import Reward
from rlhf_core.algorithms.rollouts import Rollout
from rlhf_core.algorithms.selection import Trial
from rlhf_core.algorithms.sft import train_sft
from rlhf_core.config.training import (
    BestOfNSettings,
    DPOSettings,
    GRPOSettings,
    PPOSettings,
    RLOOSettings,
)
from rlhf_core.config.tree import RewardModelSettings, SamplingSettings, SFTSettings
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.lora_shape import LoraShape
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.rlhf_core.algorithms.planted import planted_rankings, random_tokens, share_of_low

Training = Callable[[Trunk, Checkpoints], Iterator[TrainingStep]]
ROLLOUTS = {"steps": 5, "prompts_per_step": 2, "samples_per_prompt": 2, "learning_rate": 1e-2}
TEXTS = [sequence for ranking in planted_rankings(5, 3) for sequence in ranking.sequences]


def prompts(count: int = 6) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(2)
    return [random_tokens(generator, 5) for _ in range(count)]


def sft(trunk: Trunk, checkpoints: Checkpoints) -> Iterator[TrainingStep]:
    settings = SFTSettings(epochs=2, prompts_per_step=2)
    demonstrations = [TokenSequence(prompt[:3], (*prompt[3:], 2)) for prompt in prompts()]
    return train_sft(trunk, demonstrations, settings, 1, checkpoints)


def sft_chosen(trunk: Trunk, checkpoints: Checkpoints, sign: float) -> Iterator[TrainingStep]:
    """Trials follow steps 3 and 6, so the interruption at step 4 is between them."""
    settings = SFTSettings(epochs=2, prompts_per_step=2, learning_rate=1e-1)
    demonstrations = [TokenSequence(prompt[:3], (*prompt[3:], 2)) for prompt in prompts()]
    trial = Trial(
        prompts(4),
        lambda rollouts: sign * share_of_low(rollouts),
        SamplingSettings(max_new_tokens=4),
    )
    return train_sft(trunk, demonstrations, settings, 1, checkpoints, trial)


def sft_highest(trunk: Trunk, checkpoints: Checkpoints) -> Iterator[TrainingStep]:
    return sft_chosen(trunk, checkpoints, 1.0)


def sft_lowest(trunk: Trunk, checkpoints: Checkpoints) -> Iterator[TrainingStep]:
    """The scores rise, so with the opposite sign the weights of the first trial are kept."""
    return sft_chosen(trunk, checkpoints, -1.0)


def reward_model(trunk: Trunk, checkpoints: Checkpoints) -> Iterator[TrainingStep]:
    settings = RewardModelSettings(prompts_per_step=4, epochs=2, learning_rate=1e-2)
    return train_reward_model(trunk, planted_rankings(12, 1), settings, 1, checkpoints)


def dpo(trunk: Trunk, checkpoints: Checkpoints) -> Iterator[TrainingStep]:
    trunk.add_role(Role.POLICY, 1)
    settings = DPOSettings(algorithm="dpo", prompts_per_step=4, epochs=2, learning_rate=1e-2)
    return train_dpo(trunk, planted_rankings(12, 1), settings, 1, checkpoints)


def ppo(trunk: Trunk, checkpoints: Checkpoints) -> Iterator[TrainingStep]:
    """Train PPO with all its state: a critic, an adaptive coefficient, texts, a moving average."""
    trunk.add_role(Role.CRITIC, 1)
    trunk.add_role(Role.POLICY, 1)
    settings = PPOSettings.model_validate(
        {
            **ROLLOUTS,
            "kl": {"target": 1e-3, "horizon": 20},
            "ptx": {"examples": 3},
            "ema": 0.9,
            "epochs": 2,
        }
    )
    sampling = SamplingSettings(max_new_tokens=4)
    return train_online(trunk, prompts(), share_of_low, settings, sampling, 1, TEXTS, checkpoints)


def rloo(trunk: Trunk, checkpoints: Checkpoints) -> Iterator[TrainingStep]:
    trunk.add_role(Role.POLICY, 1)
    settings = RLOOSettings.model_validate({"algorithm": "rloo", **ROLLOUTS})
    sampling = SamplingSettings(max_new_tokens=4)
    return train_online(trunk, prompts(), share_of_low, settings, sampling, 1, (), checkpoints)


def some_equal(rollouts: Sequence[Rollout]) -> torch.Tensor:
    """Return the same score for all answers to some prompts, so that steps take further ones."""
    is_even = torch.tensor([rollout.prompt_index % 2 == 0 for rollout in rollouts])
    return torch.where(is_even, 1.0, share_of_low(rollouts))


def grpo(trunk: Trunk, checkpoints: Checkpoints) -> Iterator[TrainingStep]:
    """Train GRPO with dynamic sampling, whose steps take different numbers of prompts."""
    trunk.add_role(Role.POLICY, 1)
    settings = GRPOSettings.model_validate(
        {"algorithm": "grpo", **ROLLOUTS, "dynamic_sampling": 3, "missing_eos_score": None}
    )
    sampling = SamplingSettings(max_new_tokens=4)
    return train_online(trunk, prompts(), some_equal, settings, sampling, 1, (), checkpoints)


def best_of_n(
    trunk: Trunk, checkpoints: Checkpoints, count: int, reward: Reward = share_of_low
) -> Iterator[TrainingStep]:
    trunk.add_role(Role.POLICY, 1)
    settings = BestOfNSettings(
        algorithm="best_of_n", n=3, epochs=3, prompts_per_step=2, learning_rate=1e-2,
        missing_eos_score=None,
    )  # fmt: skip
    sampling = SamplingSettings(max_new_tokens=4)
    return train_best_of_n(trunk, prompts(count), reward, settings, sampling, 1, checkpoints)


def best_of_n_drawing(trunk: Trunk, checkpoints: Checkpoints) -> Iterator[TrainingStep]:
    """Five batches are drawn, so the fourth step draws a batch."""
    return best_of_n(trunk, checkpoints, 10)


def best_of_n_updating(trunk: Trunk, checkpoints: Checkpoints) -> Iterator[TrainingStep]:
    """Two batches are drawn, so the fourth step is the second update."""
    return best_of_n(trunk, checkpoints, 4)


ROLES: dict[Training, tuple[Role, ...]] = {
    sft: (Role.SFT,),
    sft_highest: (Role.SFT,),
    sft_lowest: (Role.SFT,),
    reward_model: (Role.REWARD,),
    dpo: (Role.POLICY,),
    ppo: (Role.POLICY, Role.CRITIC),
    rloo: (Role.POLICY,),
    grpo: (Role.POLICY,),
    best_of_n_drawing: (Role.POLICY,),
    best_of_n_updating: (Role.POLICY,),
}


DROPPING = LoraShape(4, dropout=0.3)


@pytest.mark.parametrize("training", ROLES)
@pytest.mark.parametrize(("every", "lora"), [(1, 4), (2, 4), (2, None), (1, DROPPING)])
def test_a_training_that_was_cut_off_ends_in_the_same_weights(
    tmp_path: Path, training: Training, every: int, lora: int | LoraShape | None
):
    new_trunk = partial(open_trunk, "tiny-random", FP32, lora)
    whole = new_trunk()
    undisturbed = {step.step: step.metrics for step in training(whole, NO_CHECKPOINTS)}
    checkpoints = Checkpoints(tmp_path / "kept", every)
    cut_off = list(islice(training(new_trunk(), checkpoints), 4))
    resumed = new_trunk()
    rest = list(training(resumed, checkpoints))
    # The fourth step was reported but not saved, so it is taken again.
    assert rest[0].step == (4 if every == 1 else 3)
    both = {step.step: step.metrics for step in [*cut_off, *rest]}
    assert both == undisturbed
    for role in ROLES[training]:
        ends = zip(whole.parameters(role), resumed.parameters(role), strict=True)
        assert all(torch.equal(one, other) for one, other in ends)


def test_best_of_n_asks_for_no_reward_of_answers_that_were_drawn(
    new_trunk: Callable[[], Trunk], tmp_path: Path
):
    """Four of five batches were saved, so one is left to score; judges cost money."""
    checkpoints = Checkpoints(tmp_path / "kept", every=1)
    list(islice(best_of_n(new_trunk(), checkpoints, 10), 5))
    asked: list[int] = []

    def counting(rollouts: Sequence[Rollout]) -> torch.Tensor:
        asked.extend(rollout.prompt_index for rollout in rollouts)
        return share_of_low(rollouts)

    list(best_of_n(new_trunk(), checkpoints, 10, counting))
    assert asked == [8, 8, 8, 9, 9, 9]


def test_drawn_answers_read_back_as_they_were():
    """Prompts and responses are separated by their lengths: (2, 3) and (1, 1)."""
    drawn = DrawnSequences([TokenSequence((7, 8), (3, 4, 2)), TokenSequence((9,), (2,))])
    state = drawn.state()
    assert state["tokens"].tolist() == [7, 8, 3, 4, 2, 9, 2]
    assert state["lengths"].tolist() == [[2, 3], [1, 1]]
    read = DrawnSequences()
    read.load(state)
    assert read == drawn


def test_a_checkpoint_cut_off_while_it_was_written_does_not_count(
    new_trunk: Callable[[], Trunk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    checkpoints = Checkpoints(tmp_path / "kept", every=1)
    list(islice(sft(new_trunk(), checkpoints), 3))

    def cut_off(self: Path, text: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", cut_off)
        with pytest.raises(KeyboardInterrupt):
            list(sft(new_trunk(), checkpoints))
    assert next(sft(new_trunk(), checkpoints)).step == 3


def test_one_checkpoint_is_kept_at_a_time_and_none_after_the_end(
    new_trunk: Callable[[], Trunk], tmp_path: Path
):
    checkpoints = Checkpoints(tmp_path / "kept", every=1)
    list(sft(new_trunk(), checkpoints))
    assert len(list(checkpoints.folder.iterdir())) == 1
    checkpoints.clear()
    assert not checkpoints.folder.exists()
