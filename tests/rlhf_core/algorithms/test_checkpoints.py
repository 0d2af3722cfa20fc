"""Every training, cut off and gone on from its checkpoint, ends where it would have ended."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch

from rlhf_core.algorithms.checkpoints import NONE_KEPT, Checkpoints
from rlhf_core.algorithms.dpo import train_dpo
from rlhf_core.algorithms.online import train_online
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.algorithms.sft import train_sft
from rlhf_core.config.training import DPOSettings, PPOSettings, RLOOSettings
from rlhf_core.config.tree import RewardModelSettings, SamplingSettings, SFTSettings
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.rlhf_core.algorithms.planted import planted_rankings, random_tokens, share_of_low

Training = Callable[[Trunk, Checkpoints], Iterator[TrainingStep]]
ROLLOUTS = {"steps": 5, "prompts_per_step": 2, "samples_per_prompt": 2, "learning_rate": 1e-2}
TEXTS = [sequence for ranking in planted_rankings(5, 3) for sequence in ranking.sequences]


def prompts() -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(2)
    return [random_tokens(generator, 5) for _ in range(6)]


def sft(trunk: Trunk, checkpoints: Checkpoints) -> Iterator[TrainingStep]:
    settings = SFTSettings(epochs=2, prompts_per_step=2)
    demonstrations = [TokenSequence(prompt[:3], (*prompt[3:], 2)) for prompt in prompts()]
    return train_sft(trunk, demonstrations, settings, 1, checkpoints)


def reward_model(trunk: Trunk, checkpoints: Checkpoints) -> Iterator[TrainingStep]:
    settings = RewardModelSettings(prompts_per_step=4, epochs=2, learning_rate=1e-2)
    return train_reward_model(trunk, planted_rankings(12, 1), settings, 1, checkpoints)


def dpo(trunk: Trunk, checkpoints: Checkpoints) -> Iterator[TrainingStep]:
    trunk.add_role(Role.POLICY, 1)
    settings = DPOSettings(algorithm="dpo", prompts_per_step=4, epochs=2, learning_rate=1e-2)
    return train_dpo(trunk, planted_rankings(12, 1), settings, 1, checkpoints)


def ppo(trunk: Trunk, checkpoints: Checkpoints) -> Iterator[TrainingStep]:
    """With all that moves: a critic, an adaptive coefficient, texts, a moving average."""
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


ROLES: dict[Training, tuple[Role, ...]] = {
    sft: (Role.SFT,),
    reward_model: (Role.REWARD,),
    dpo: (Role.POLICY,),
    ppo: (Role.POLICY, Role.CRITIC),
    rloo: (Role.POLICY,),
}


@pytest.mark.parametrize("training", ROLES)
@pytest.mark.parametrize(("every", "lora_rank"), [(1, 4), (2, 4), (2, None)])
def test_a_training_that_was_cut_off_ends_in_the_same_weights(
    tmp_path: Path, training: Training, every: int, lora_rank: int | None
):
    new_trunk = partial(open_trunk, "tiny-random", FP32, lora_rank)
    whole = new_trunk()
    undisturbed = {step.step: step.metrics for step in training(whole, NONE_KEPT)}
    checkpoints = Checkpoints(tmp_path / "kept", every)
    cut_off = list(islice(training(new_trunk(), checkpoints), 4))
    resumed = new_trunk()
    rest = list(training(resumed, checkpoints))
    # The fourth step was reported but not kept yet, so it is taken again.
    assert rest[0].step == (4 if every == 1 else 3)
    both = {step.step: step.metrics for step in [*cut_off, *rest]}
    assert both == undisturbed
    for role in ROLES[training]:
        ends = zip(whole.parameters(role), resumed.parameters(role), strict=True)
        assert all(torch.equal(one, other) for one, other in ends)


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
