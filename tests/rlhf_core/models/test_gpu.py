"""A GPU compared with the CPU in fp32: a training step, attention, sampling, memory.

Everything also runs on the CPU, so that no test rots where there is no GPU.
"""

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rlhf_core.algorithms.optimisation import Updater
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.config.tree import RewardModelSettings
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.kernels.logprobs import chosen_logprobs
from rlhf_core.models.sequences import Batch, TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.local import SamplingLimits, sample
from tests.conftest import FP32
from tests.rlhf_core.algorithms.planted import planted_rankings

WITHOUT_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
PROMPTS = [(10, 11, 12), (20, 21, 22, 23, 24, 25, 26), (30,)]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, WITHOUT_CUDA])])
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


def trunk_on(device: torch.device, dtype: torch.dtype = torch.float32, **changes: object) -> Trunk:
    compute = replace(FP32, device=device, dtype=dtype, **changes)
    return open_trunk("tiny-random", compute, lora_rank=4)


class _Live(TorchDispatchMode):
    """Counts the bytes of the tensors that operations made and that are still there, on a CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.storages: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        place = storage.data_ptr()
        if place in self.storages:
            return
        self.storages.add(place)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, place, storage.nbytes())

    def _forget(self, place: int, size: int) -> None:
        self.storages.discard(place)
        self.now -= size


def peak_bytes(device: torch.device, work: Callable[[], None]) -> int:
    """Return by how much the memory of the device grew at most."""
    if device.type == "cpu":
        with _Live() as live:
            work()
        return live.peak
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() - before


def first_gradient(trunk: Trunk, monkeypatch: pytest.MonkeyPatch) -> tuple[float, torch.Tensor]:
    """Return the loss of the reward model's first step, and its gradient, flat."""
    found: list[torch.Tensor] = []

    def caught(updater: Updater) -> tuple[float, float]:
        found.extend(parameter.grad.float().cpu().flatten() for parameter in updater.parameters)
        return 0.0, 0.0

    monkeypatch.setattr(Updater, "step", caught)
    settings = RewardModelSettings(prompts_per_step=16)
    step = next(train_reward_model(trunk, planted_rankings(16, 1), settings, seed=1))
    return step.metrics["loss"], torch.cat(found)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 5e-2)])
def test_a_training_step_is_that_of_a_cpu_in_fp32(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, tolerance: float
):
    loss, gradient = first_gradient(trunk_on(device, dtype), monkeypatch)
    expected_loss, expected = first_gradient(open_trunk("tiny-random", FP32, 4), monkeypatch)
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    assert gradient.norm().item() == pytest.approx(expected.norm().item(), rel=tolerance)
    assert F.cosine_similarity(gradient, expected, dim=0).item() > 1 - tolerance


def test_answers_in_one_row_score_as_in_rows_of_their_own(device: torch.device):
    """PyTorch's kernels accept the branch mask, and padding does not matter."""
    sequences = [
        TokenSequence(PROMPTS[0], (40, 41, 42)),
        TokenSequence(PROMPTS[1], (50,)),
        TokenSequence(PROMPTS[0], (60,)),
    ]
    trunk = trunk_on(device)
    trunk.add_role(Role.REWARD, 1)
    found = []
    for is_shared in (True, False):
        trunk.compute = replace(trunk.compute, share_prompts=is_shared)
        found.append(trunk.sequence_scores(Role.REWARD, trunk.batch(sequences)))
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("dtype", "gap"), [(torch.float32, 1e-3), (torch.bfloat16, 0.1)])
def test_sampling_says_the_log_probabilities_of_the_training_pass(
    device: torch.device, dtype: torch.dtype, gap: float
):
    trunk = trunk_on(device, dtype)
    limits = SamplingLimits(12, 0.7, trunk.end_ids, trunk.pad_id)
    with trunk.compute.autocast():
        answers = sample(trunk.language_model, PROMPTS, [[1, 2], [3, 4], [5, 6]], limits, 64)
    for prompt, row in zip(PROMPTS, answers, strict=True):
        for answer in row:
            batch = trunk.batch([TokenSequence(prompt, answer.token_ids)])
            trained = trunk.token_logprobs(Role.REFERENCE, batch, 0.7)[0].cpu()
            assert (trained - torch.tensor(answer.logprobs)).abs().mean() < gap


def test_logits_of_a_whole_batch_are_never_in_memory(device: torch.device):
    """Logits of 4096 tokens over 49,152 words take 400 MB in bf16; a sixteenth is there at once.

    A CPU, slow in bf16, does it with 2,048 words in fp32.
    """
    on_cpu = device.type == "cpu"
    words, dtype = (2048, torch.float32) if on_cpu else (49_152, torch.bfloat16)
    states = torch.randn(4096, 64, device=device, dtype=dtype, requires_grad=True)
    weight = torch.randn(words, 64, device=device, dtype=dtype)
    ids = torch.randint(words, (4096,), device=device)

    def work() -> None:
        chosen_logprobs(states, weight, None, ids, 1.0, with_entropy=False)[0].sum().backward()

    assert peak_bytes(device, work) < 4096 * words * dtype.itemsize


def test_gradient_checkpointing_lowers_the_peak(device: torch.device):
    peaks = []
    for is_on in (False, True):
        trunk = trunk_on(device, gradient_checkpointing=is_on)
        trunk.add_role(Role.REWARD, 1)
        batch = trunk.batch([TokenSequence(tuple(range(3, 253)), (9,) * 250)] * 4)

        def work(trunk: Trunk = trunk, batch: Batch = batch) -> None:
            trunk.sequence_scores(Role.REWARD, batch).sum().backward()

        peaks.append(peak_bytes(device, work))
        del trunk, batch, work
    assert peaks[1] < peaks[0]
