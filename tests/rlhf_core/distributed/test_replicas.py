"""Shards within each machine, and a replica on every machine: two machines of two ranks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as distributed
from safetensors.torch import load_file
from torch import nn
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from rlhf_core.algorithms.checkpoints import Checkpoints
from rlhf_core.config.compute import ComputeSettings
from rlhf_core.distributed.gradients import clip_gradients
from rlhf_core.distributed.ranks import leave_ranks, mesh_of_ranks
from rlhf_core.distributed.sharding import is_first_replica, rows_of_rank
from rlhf_core.errors import ConfigError
from rlhf_core.models.device import choose_compute
from tests.rlhf_core.algorithms.two_ranks import train
from tests.rlhf_core.distributed.launching import run_ranks
from tests.rlhf_core.distributed.same_training import require_same_training

TRAINING = "tests.rlhf_core.algorithms.two_ranks"


@pytest.fixture
def last_of_four(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make this process rank 3 of 4, two on each machine, with others that do not answer."""
    for name, value in {"WORLD_SIZE": 4, "LOCAL_WORLD_SIZE": 2, "RANK": 3, "LOCAL_RANK": 1}.items():
        monkeypatch.setenv(name, str(value))
    distributed.init_process_group("fake", store=FakeStore(), rank=3, world_size=4)
    yield
    leave_ranks()


def sharded_rows(rows: int, replicas: int) -> DTensor:
    layer = nn.Linear(2, rows, bias=False)
    fully_shard(layer, mesh=mesh_of_ranks("cpu", replicas))
    weight = layer.weight
    assert isinstance(weight, DTensor)
    return weight


@pytest.mark.usefixtures("last_of_four")
def test_the_last_rank_holds_the_last_half_of_the_second_copy():
    """5 rows over 2 ranks are 3 and 2; over all 4 they are 2, 2, 1 and 0."""
    halves, quarters = sharded_rows(5, replicas=2), sharded_rows(5, replicas=1)
    assert (rows_of_rank(halves), rows_of_rank(quarters)) == (slice(3, 5), slice(5, 5))
    assert (halves.to_local().shape, quarters.to_local().shape) == ((2, 2), (0, 2))
    assert (is_first_replica(halves), is_first_replica(quarters)) == (False, True)
    assert mesh_of_ranks("cpu", 2) is halves.device_mesh  # so there are no further process groups


@pytest.mark.usefixtures("last_of_four")
def test_the_joint_norm_leaves_out_further_copies():
    """Of ‖(3, 4)‖ this rank's 3 belongs to the second copy, and nobody answers for the first."""
    weight, replica = sharded_rows(4, replicas=2), nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros_like(weight)
    weight.grad.to_local()[0, 0] = 3.0
    replica.grad = torch.tensor([4.0])
    assert clip_gradients([nn.Parameter(weight), replica], 8.0) == pytest.approx(4.0)


@pytest.mark.usefixtures("last_of_four")
@pytest.mark.parametrize(("shard", "replicas"), [(True, 1), ("node", 2)])
def test_every_machine_holds_a_copy_if_models_are_sharded_within_it(shard: object, replicas: int):
    settings = ComputeSettings.model_validate({"device": "cpu", "shard": shard})
    compute = choose_compute(settings)
    assert (compute.shard, compute.replicas) == (True, replicas)


@pytest.mark.usefixtures("last_of_four")
@pytest.mark.parametrize(("local", "place"), [(3, 1), (2, 0)])
def test_machines_with_unequal_numbers_of_ranks_are_refused(
    monkeypatch: pytest.MonkeyPatch, local: int, place: int
):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(local))
    monkeypatch.setenv("LOCAL_RANK", str(place))
    with pytest.raises(ConfigError, match=f"this one has {local} of 4.*--nproc-per-node"):
        choose_compute(ComputeSettings(device="cpu", shard="node"))


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["sft", "ppo"])
def test_two_machines_come_to_the_weights_and_metrics_of_one_process(
    tmp_path: Path, algorithm: str
):
    one, four = tmp_path / "one.safetensors", tmp_path / "four.safetensors"
    train(algorithm, one, "full")
    run_ranks(TRAINING, algorithm, str(four), "node", machines=2)
    require_same_training(four, one, world=4, shards=2)


@pytest.mark.slow
def test_a_killed_training_of_two_machines_is_resumed_by_one_process(tmp_path: Path):
    """Its files hold each shard once, although both machines have it, and nothing beside them."""
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    train("ppo", one, "full")
    checkpoints = tmp_path / "checkpoints"
    arguments = ("ppo", str(other), "node", str(checkpoints), "2")
    run_ranks(TRAINING, *arguments, machines=2, is_killed=True)
    [folder] = checkpoints.iterdir()
    assert folder.name == "step-00000001"
    read = FileSystemReader(folder).read_metadata().storage_data.values()
    written = sum(path.stat().st_size for path in folder.glob("*.distcp"))
    assert written == sum(shard.length for shard in read)
    train("ppo", other, "full", Checkpoints(checkpoints))
    torch.testing.assert_close(load_file(other), load_file(one), atol=1e-5, rtol=1e-4)
