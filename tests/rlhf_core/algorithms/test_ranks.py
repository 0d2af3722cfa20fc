"""Two real ranks over gloo compared with this process alone, on the same data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlhf_core.distributed import ranks
from tests.conftest import ROOT
from tests.rlhf_core.algorithms.two_ranks import train


def launch(processes: int, *arguments: str, is_killed: bool = False) -> None:
    """Train in several processes under torchrun."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        "--nproc-per-node", str(processes),
        "-m", "tests.rlhf_core.algorithms.two_ranks", *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert (ended.returncode != 0) == is_killed, ended.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "reward", "reward_short", "dpo"])
def test_two_processes_come_to_the_weights_and_metrics_of_one(tmp_path: Path, algorithm: str):
    """They agree after several optimizer steps, so every gradient on the way was equal."""
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    train(algorithm.removesuffix("_short"), one)
    launch(2, algorithm, str(two))
    alone, both = (json.loads(path.with_suffix(".json").read_text()) for path in (one, two))
    assert (alone["world"], both["world"]) == (1, 2)
    torch.testing.assert_close(load_file(two), load_file(one), atol=1e-5, rtol=1e-4)
    for ours, theirs in zip(both["metrics"], alone["metrics"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-3)


def test_alone_nothing_is_shared_and_sums_are_what_they_were():
    assert ranks.share_of_rank([1, 2, 3]) == [1, 2, 3]
    assert ranks.all_reduce_report({"a": 1.5}) == {"a": 1.5}
    assert ranks.all_gather_mapping({1: "x"}) == {1: "x"}
    assert torch.equal(ranks.all_reduce(torch.ones(2)), torch.ones(2))
