"""A GPU compared with the CPU in fp32: a training step, attention, sampling, memory."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from rlhf_core.algorithms.optimisation import Updater
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.config.tree import RewardModelSettings
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.kernels.logprobs import chosen_logprobs
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.local import SamplingLimits, sample
from tests.conftest import FP32
from tests.rlhf_core.algorithms.planted import planted_rankings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
GPU = torch.device("cuda")
PROMPTS = [(10, 11, 12), (20, 21, 22, 23, 24, 25, 26), (30,)]


def trunk_on(dtype: torch.dtype = torch.float32, **changes: object) -> Trunk:
    return open_trunk("tiny-random", replace(FP32, device=GPU, dtype=dtype, **changes), lora_rank=4)


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
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, tolerance: float
):
    loss, gradient = first_gradient(trunk_on(dtype), monkeypatch)
    expected_loss, expected = first_gradient(open_trunk("tiny-random", FP32, 4), monkeypatch)
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    assert gradient.norm().item() == pytest.approx(expected.norm().item(), rel=tolerance)
    assert F.cosine_similarity(gradient, expected, dim=0).item() > 1 - tolerance


def test_answers_in_one_row_score_as_in_rows_of_their_own():
    """PyTorch's kernels accept the branch mask, and padding does not matter."""
    sequences = [
        TokenSequence(PROMPTS[0], (40, 41, 42)),
        TokenSequence(PROMPTS[1], (50,)),
        TokenSequence(PROMPTS[0], (60,)),
    ]
    trunk = trunk_on()
    trunk.add_role(Role.REWARD, 1)
    found = []
    for is_shared in (True, False):
        trunk.compute = replace(trunk.compute, share_prompts=is_shared)
        found.append(trunk.sequence_scores(Role.REWARD, trunk.batch(sequences)))
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("dtype", "gap"), [(torch.float32, 1e-3), (torch.bfloat16, 0.1)])
def test_sampling_says_the_log_probabilities_of_the_training_pass(dtype: torch.dtype, gap: float):
    trunk = trunk_on(dtype)
    limits = SamplingLimits(12, 0.7, trunk.end_ids, trunk.pad_id)
    with trunk.compute.autocast():
        answers = sample(trunk.language_model, PROMPTS, [[1, 2], [3, 4], [5, 6]], limits)
    for prompt, row in zip(PROMPTS, answers, strict=True):
        for answer in row:
            batch = trunk.batch([TokenSequence(prompt, answer.token_ids)])
            trained = trunk.token_logprobs(Role.REFERENCE, batch, 0.7)[0].cpu()
            assert (trained - torch.tensor(answer.logprobs)).abs().mean() < gap


def test_logits_of_a_whole_batch_are_never_in_memory():
    """Logits of 4096 tokens over 49,152 words take 400 MB in bf16; a sixteenth is there at once."""
    states = torch.randn(4096, 64, device=GPU, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(49_152, 64, device=GPU, dtype=torch.bfloat16)
    ids = torch.randint(49_152, (4096,), device=GPU)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    chosen_logprobs(states, weight, None, ids, 1.0, with_entropy=False)[0].sum().backward()
    assert torch.cuda.max_memory_allocated() - before < 4096 * 49_152 * 2


def test_gradient_checkpointing_lowers_the_peak():
    peaks = []
    for is_on in (False, True):
        trunk = trunk_on(gradient_checkpointing=is_on)
        trunk.add_role(Role.REWARD, 1)
        batch = trunk.batch([TokenSequence(tuple(range(3, 253)), (9,) * 250)] * 4)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        trunk.sequence_scores(Role.REWARD, batch).sum().backward()
        peaks.append(torch.cuda.max_memory_allocated() - before)
        del trunk, batch
    assert peaks[1] < peaks[0]
