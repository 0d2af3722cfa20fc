"""Sharded full weights against one process; the fast tests have a group of one rank."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as distributed
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor

from rlhf_core.algorithms.checkpoints import Checkpoints
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.algorithms.scoring import sequence_logprobs
from rlhf_core.distributed.gradients import clip_gradients
from rlhf_core.distributed.sharding import gathered
from rlhf_core.errors import TrainingError
from rlhf_core.models import artifacts
from rlhf_core.models.artifacts import load_role, open_trunk, save_merged, save_role
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.rlhf_core.algorithms.test_ranks import launch
from tests.rlhf_core.algorithms.two_ranks import reward, train
from tests.rlhf_core.distributed.same_training import require_same_training

SHARDED = replace(FP32, shard=True)
BF16 = replace(FP32, dtype=torch.bfloat16)


@pytest.fixture
def group() -> Iterator[None]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def whole_weights(trunk: Trunk, role: Role) -> dict[str, torch.Tensor]:
    return {name: gathered(weight) for name, weight in trunk.roles.weights(role).items()}


def whole_weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: gathered(weight) for name, weight in model.state_dict().items()}


def final(steps: Iterator[TrainingStep]) -> dict[str, float]:
    return dict(list(steps)[-1].metrics)


@pytest.mark.usefixtures("group")
def test_a_sharded_role_is_trained_saved_and_resumed_as_a_whole_one(tmp_path: Path):
    whole, sharded, resumed = (
        open_trunk("tiny-random", compute, None) for compute in (FP32, SHARDED, SHARDED)
    )
    assert all(isinstance(weight, DTensor) for weight in sharded.language_model.parameters())
    expected, checkpoints = final(reward(whole)), Checkpoints(tmp_path / "checkpoints")
    next(halted := reward(sharded, checkpoints))
    next(halted)
    halted.close()
    found = final(reward(resumed, checkpoints))
    assert found == pytest.approx(expected, abs=1e-5)
    weights = whole_weights(resumed, Role.REWARD)
    torch.testing.assert_close(weights, whole_weights(whole, Role.REWARD), atol=1e-6, rtol=1e-5)
    save_role(resumed, Role.REWARD, tmp_path / "reward", tmp_path)
    assert load_file(tmp_path / "reward" / "model.safetensors").keys() <= weights.keys()
    load_role(sharded, Role.CRITIC, tmp_path / "reward")
    torch.testing.assert_close(whole_weights(sharded, Role.CRITIC), weights, atol=0, rtol=0)


@pytest.mark.usefixtures("group")
def test_in_half_precision_the_base_keeps_its_embedding_though_its_output_is_rounded():
    """The tiny model ties the two, and its file holds one of them."""
    sequences = [TokenSequence((3, 4, 5), (6, 7)), TokenSequence((8, 9), (10, 11, 12))]
    found = []
    for compute in (BF16, replace(BF16, shard=True)):
        trunk = open_trunk("tiny-random", compute, None)
        weights = whole_weights_of(trunk.language_model)
        assert weights["model.embed_tokens.weight"].dtype == torch.float32
        assert weights["lm_head.weight"].dtype == torch.bfloat16
        trunk.add_role(Role.SFT, 1)
        said = [sequence_logprobs(trunk, role, sequences) for role in (Role.REFERENCE, Role.SFT)]
        found.append((weights, said))
    torch.testing.assert_close(found[1], found[0], atol=0, rtol=0)


@pytest.mark.slow
@pytest.mark.usefixtures("group")
def test_a_sharded_checkpoint_is_resumed_whole_and_a_whole_one_sharded(tmp_path: Path):
    for first, then in ((SHARDED, FP32), (FP32, SHARDED)):
        checkpoints = Checkpoints(tmp_path / f"{first.shard}")
        next(halted := reward(open_trunk("tiny-random", first, None), checkpoints))
        next(halted)
        halted.close()
        found = final(reward(open_trunk("tiny-random", then, None), checkpoints))
        assert found == pytest.approx(
            final(reward(open_trunk("tiny-random", FP32, None))), abs=1e-5
        )


@pytest.mark.usefixtures("group")
def test_an_adapter_on_a_sharded_base_is_merged_as_on_a_whole_one(tmp_path: Path):
    trunks = [open_trunk("tiny-random", compute, 4) for compute in (FP32, SHARDED)]
    for trunk, name in zip(trunks, ("whole", "sharded"), strict=True):
        trunk.add_role(Role.SFT, 1)
        for parameter in trunk.parameters(Role.SFT):
            torch.nn.init.constant_(parameter, 0.01)
        save_merged(trunk, Role.SFT, tmp_path / name)
    one, other = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "sharded"))
    torch.testing.assert_close(one, other, atol=0, rtol=0)


@pytest.mark.usefixtures("group")
def test_a_shard_that_reads_back_differently_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trunk = open_trunk("tiny-random", SHARDED, None)
    trunk.add_role(Role.SFT, 1)
    write = artifacts.write_model

    def disturbed(model: torch.nn.Module, folder: Path) -> None:
        write(model, folder)
        with torch.no_grad():
            gathered_bias = next(iter(trunk.parameters(Role.SFT)))
            gathered_bias += 1e-3

    monkeypatch.setattr(artifacts, "write_model", disturbed)
    with pytest.raises(TrainingError, match="read back differently; not kept"):
        save_merged(trunk, Role.SFT, tmp_path / "sft")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("group")
def test_the_joint_norm_counts_sharded_and_replicated_gradients_once():
    """‖(3, 0, 4)‖ = 5 over a shard and a replica, and clipping to 1 divides both by 5."""
    sharded = next(iter(open_trunk("tiny-random", SHARDED, None).language_model.parameters()))
    replica = torch.nn.Parameter(torch.zeros(2))
    replica.grad = torch.tensor([0.0, 4.0])
    weight = torch.nn.Parameter(sharded.detach().clone())
    gradient = torch.zeros_like(weight)
    gradient.to_local()[0, 0] = 3.0
    weight.grad = gradient.detach()
    assert clip_gradients([weight, replica], 1.0) == pytest.approx(5.0)
    assert weight.grad.to_local()[0, 0].item() == pytest.approx(0.6, abs=1e-6)
    assert replica.grad.tolist() == pytest.approx([0.0, 0.8], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "processes"), [("sft", 2), ("reward", 2), ("dpo", 2), ("ppo", 2), ("ppo", 4)]
)
def test_processes_with_shards_come_to_the_weights_and_metrics_of_one(
    tmp_path: Path, algorithm: str, processes: int
):
    """Each holds its share; the last rows of 259 by 2 or 4 are fewer on one of them."""
    one, several = tmp_path / "one.safetensors", tmp_path / "several.safetensors"
    train(algorithm, one, "full")
    launch(processes, algorithm, str(several), "full")
    require_same_training(several, one, world=processes, shards=processes)


@pytest.mark.slow
def test_shards_that_are_killed_and_resumed_come_to_the_same_weights(tmp_path: Path):
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    launch(2, "ppo", str(one), "full", str(tmp_path / "undisturbed"))
    checkpoints = tmp_path / "checkpoints"
    launch(2, "ppo", str(two), "full", str(checkpoints), "2", is_killed=True)
    assert [path.name for path in checkpoints.iterdir()] == ["step-00000001"]
    launch(2, "ppo", str(two), "full", str(checkpoints))
    torch.testing.assert_close(load_file(two), load_file(one), atol=0, rtol=0)
