import os
import platform
import subprocess
import sys
import warnings

import pytest
import torch

from rlhf_core.config.compute import ComputeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.models.device import (
    choose_compute,
    default_tokens,
    kept_random_state,
    synchronised_time,
)


def compute(**settings: object):
    return choose_compute(ComputeSettings.model_validate({"device": "cpu", **settings}))


@pytest.mark.parametrize(
    ("instructions", "dtype", "words"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, torch.bfloat16, "cpu, bf16 (the CPU has AMX)"),
        ({"avx512_bf16": True}, torch.bfloat16, "cpu, bf16 (the CPU has AVX-512 BF16)"),
        ({"avx2": True}, torch.float32, "cpu, fp32 (the CPU has no bf16 instructions)"),
    ],
)
def test_precision_follows_what_the_cpu_can_multiply(
    monkeypatch: pytest.MonkeyPatch, instructions: dict[str, bool], dtype: torch.dtype, words: str
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    found = compute()
    assert found.dtype == dtype
    assert str(found) == words


def test_precision_can_be_set():
    assert str(compute(precision="fp32")) == "cpu, fp32 (as configured)"
    assert compute(precision="bf16").dtype == torch.bfloat16


def test_autocast_multiplies_in_the_precision_and_leaves_parameters_alone():
    layer = torch.nn.Linear(2, 2)
    with compute(precision="bf16").autocast():
        assert layer(torch.ones(1, 2)).dtype == torch.bfloat16
    with compute(precision="fp32").autocast():
        assert layer(torch.ones(1, 2)).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("device", "is_sharded", "tokens"),
    [("cpu", False, 3072), ("cuda", False, 32_768), ("cuda", True, 3072), ("mps", False, 3072)],
)
def test_a_gpu_starts_with_large_micro_batches_if_they_can_be_halved(
    device: str, is_sharded: bool, tokens: int
):
    assert default_tokens(torch.device(device), is_sharded) == tokens


def test_a_set_micro_batch_is_kept():
    assert compute().tokens_per_microbatch == 3072
    assert compute(tokens_per_microbatch=100).tokens_per_microbatch == 100


@pytest.mark.parametrize(
    ("tokens", "forward"), [(100, 400), (3072, 12_288), (10_000, 32_768), (40_000, 40_000)]
)
def test_forward_passes_take_more_up_to_a_limit(tokens: int, forward: int):
    assert compute(tokens_per_microbatch=tokens).forward_tokens == forward


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "mps:7"])
def test_a_device_that_is_not_there_is_refused(name: str):
    with pytest.raises(ConfigError, match=rf"compute.device = '{name}'.*use auto or cpu"):
        compute(device=name)


PAGES_TAKEN = """
import resource
from rlhf_core.config.compute import ComputeSettings
from rlhf_core.models.device import choose_compute, kept_random_state, synchronised_time
choose_compute(ComputeSettings(device="cpu"))
bytearray(2**26)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytearray(2**26)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_that_is_freed_is_kept_for_the_next_one():
    """64 MB are 16,384 pages of 4 KiB, which glibc would map and clear every time."""
    ended = subprocess.run(
        [sys.executable, "-c", PAGES_TAKEN], capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) < 1000


PAGES_HELD = """
import sys
from pathlib import Path
from rlhf_core.config.compute import ComputeSettings
from rlhf_core.models.device import choose_compute

def held():
    return int(Path("/proc/self/statm").read_text().split()[1])

choose_compute(ComputeSettings(device="cpu", shard=sys.argv[1] == "sharded"))
bytearray(2**24)
before = held()
blocks = [bytearray(2**24 - 2**12) for _ in range(8)]
del blocks[:7]
print(held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize(("model", "blocks"), [("whole", 7), ("sharded", 1)])
def test_a_rank_with_shards_returns_the_memory_that_it_frees(model: str, blocks: int):
    """Of eight blocks of 16 MiB, which are 4,096 pages, seven are freed; one was kept before."""
    environment = {**os.environ, "WORLD_SIZE": "2"}
    command = [sys.executable, "-c", PAGES_HELD, model]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(ended.stdout) / 4096 == pytest.approx(blocks, abs=0.1)


def test_random_states_are_kept_without_a_warning_on_a_machine_with_many_gpus(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = torch.get_rng_state()
        with kept_random_state(torch.device("cpu")):
            torch.manual_seed(99)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_clock_waits_for_the_device(monkeypatch: pytest.MonkeyPatch):
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    synchronised_time(torch.device("cuda", 1))
    assert synchronised_time(torch.device("cpu")) > 0
    assert waited == [torch.device("cuda", 1)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_auto_takes_the_gpu():
    assert compute(device="auto").device.type == "cuda"


class TestSeveralProcessesOnAMachine:
    @pytest.fixture(autouse=True)
    def _second_of_two(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {"LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
        monkeypatch.setattr(torch, "empty", lambda *size, device: None)

    @pytest.mark.parametrize("name", ["auto", "cuda"])
    def test_each_has_a_gpu_of_its_own(self, name: str):
        assert compute(device=name, precision="fp32").device == torch.device("cuda", 1)

    def test_on_the_cpu_nothing_changes(self):
        assert compute(precision="fp32").device == torch.device("cpu")

    def test_one_gpu_named_for_all_is_refused(self):
        with pytest.raises(ConfigError, match=r"'cuda:0' is one GPU for the 2 processes"):
            compute(device="cuda:0")

    def test_more_processes_than_gpus_are_refused(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        with pytest.raises(ConfigError, match=r"2 processes .* 1 GPUs; use --nproc-per-node 1"):
            compute(device="auto")
