"""Checks of trainings: the gradients of a step, resuming, full memory, and host syncs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from accelerate.utils.memory import clear_device_cache
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import LlamaConfig

from rlhf_core.algorithms.checkpoints import Checkpoints
from rlhf_core.algorithms.dpo import train_dpo
from rlhf_core.algorithms.online import ADAM_EPS, add_critic, train_online
from rlhf_core.algorithms.optimisation import TrainingStep, Updater
from rlhf_core.algorithms.policy_update import OnlineTraining, Targets, minibatch_plan, update
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.algorithms.rollouts import Rollout, collect_experience
from rlhf_core.algorithms.sft import train_sft
from rlhf_core.config.training import DPOSettings, PPOSettings
from rlhf_core.config.tree import RewardModelSettings, SamplingSettings, SFTSettings
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.benchmarks.gpu import random_trunk
from tests.gpu_check.box import CPU, TINY_MODEL, Box, stir
from tests.gpu_check.host_syncs import counted_syncs
from tests.gpu_check.report import Figures, Report, require, require_close

PROMPTS, ANSWERS = 8, 2
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
"""Of losses and norms, relative, and of 1 − the cosine of two gradients."""
BUDGETS = {"reward model": 2, "DPO": 2, "SFT": 2, "PPO": 4}
"""Host syncs of one optimizer step over one micro-batch: the metrics, and the gradient's norm. PPO
also reads its experience, and the norms of two roles."""
LARGER = LlamaConfig(
    vocab_size=8192,
    hidden_size=1024,
    intermediate_size=4096,
    num_hidden_layers=8,
    num_attention_heads=16,
    num_key_value_heads=4,
    head_dim=64,
    tie_word_embeddings=True,
)
"""A model whose activations take some GB, many more than what the allocator rounds by."""
PPO = PPOSettings(
    steps=1, prompts_per_step=PROMPTS, samples_per_prompt=ANSWERS, minibatches=1, learning_rate=1e-3
)
Train = Callable[[Trunk], TrainingStep]


def measure(report: Report, box: Box) -> None:
    """Report whether trainings on the device are those of a CPU in fp32."""
    for dtype, tolerance in TOLERANCES.items():
        for name, train in STEPS.items():
            work = partial(check_step, box, train, dtype, tolerance)
            report.check(f"{name} step as on a CPU, {_name(dtype)}", 3, work)
    work = partial(check_step, box, _sft, torch.float32, TOLERANCES[torch.float32], None)
    report.check("SFT step with full weights", 3, work)
    report.check("a resumed training ends in the same weights", 5, lambda: check_resume(box))
    report.check("PPO goes on after memory ran out", 20, lambda: check_memory(box))
    for name in BUDGETS:
        report.check(f"host syncs of a {name} step", 2, partial(check_syncs, box, name))


def check_step(
    box: Box, train: Train, dtype: torch.dtype, tolerance: float, rank: int | None = 4
) -> Figures:
    """Compare the losses and the gradient of one step with those of a CPU in fp32.

    Args:
        box: The device.
        train: Takes one step on a new trunk.
        dtype: Precision on the device.
        tolerance: Largest difference.
        rank: LoRA rank; None trains all weights.
    """
    metrics, gradient = _gradient(train, box.trunk(dtype, rank))
    expected_metrics, expected = _on_cpu(train, rank)
    losses = [
        require_close(name, value, expected_metrics[name], tolerance)
        for name, value in metrics.items()
        if name.endswith("loss")
    ]
    norms = gradient.norm().item(), expected.norm().item()
    require(norms[1] > 0, "the gradient is 0, so nothing was compared")
    require_close("the gradient's norm", norms[0] / norms[1], 1.0, tolerance)
    apart = 1 - F.cosine_similarity(gradient, expected, dim=0).item()
    require(apart <= tolerance, f"the gradients' cosine is {1 - apart:.6f}")
    return {"loss_difference": max(losses), "gradient_angle": apart}


@cache
def _on_cpu(train: Train, rank: int | None) -> tuple[dict[str, float], Tensor]:
    return _gradient(train, Box(CPU.device, is_tiny=True).trunk(rank=rank))


def check_resume(box: Box) -> Figures:
    """Train twice, once killed after two of four steps, and compare the weights."""
    # The faster kernels of a GPU sum gradients in an order that is left to chance.
    with TemporaryDirectory() as folder, sdpa_kernel(SDPBackend.MATH):
        kept = Checkpoints(Path(folder))
        whole = _trained(box.trunk(), Checkpoints(), steps=4)
        _trained(box.trunk(), kept, steps=3)  # the third is not saved any more
        resumed = _trained(box.trunk(), kept, steps=2)
    difference = (whole - resumed).abs().max().item()
    require(difference == 0, f"the weights differ by {difference:.3g}")
    return {"difference": difference}


def _trained(trunk: Trunk, kept: Checkpoints, steps: int) -> Tensor:
    """Return the reward model's weights after so many steps of a training of four."""
    settings = RewardModelSettings(prompts_per_step=PROMPTS // 2, epochs=2)
    list(islice(train_reward_model(trunk, rankings(), settings, 1, kept), steps))
    return _flat(trunk.parameters(Role.REWARD))


def check_memory(box: Box) -> Figures:
    """Let memory run out inside PPO's update, and require that it ends in smaller micro-batches."""
    prompt, answer, tokens = (512, 128, 8192) if box.is_gpu else (8, 4, 128)

    def trained() -> tuple[Trunk, TrainingStep]:
        compute = box.compute(box.best, tokens)
        trunk = random_trunk(LARGER if box.is_gpu else TINY_MODEL, compute)
        return trunk, _ppo_online(trunk, prompt, answer)

    with _little_memory(box, trained):
        trunk, step = trained()
    left = trunk.compute.tokens_per_microbatch
    require(left < tokens, "memory did not run out, so nothing was checked")
    gap = step.metrics["first_log_ratio"]
    require(gap <= 1e-2, f"log-probabilities before and after it differ by {gap:.3g} nats")
    return {"tokens_at_first": tokens, "tokens_that_fit": left, "first_log_ratio": gap}


def check_syncs(box: Box, name: str) -> Figures:
    """Count the host syncs of one step, and require those of the budget."""
    trunk = box.trunk()
    with counted_syncs(trunk, ()) as syncs:
        STEPS[name](trunk)
    counts = {kind: float(count) for kind, count in sorted(syncs.counts.items()) if count}
    require(
        syncs.total <= BUDGETS[name],
        f"{syncs.total} host syncs, and the budget is {BUDGETS[name]}: {dict(syncs.counts)}",
    )
    return {"syncs": syncs.total, **counts}


def rankings() -> list[RankedCandidates]:
    """Return rankings of two answers each; every third is a tie."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for number in range(PROMPTS):
        prompt = _words(generator, 4 + number % 3)
        answers = [TokenSequence(prompt, (*_words(generator, 3 + n), 2)) for n in range(ANSWERS)]
        share = 0.5 if number % 3 == 2 else 1.0
        preferences = torch.tensor([[0.0, share], [1 - share, 0.0]])
        found.append(RankedCandidates(tuple(answers), preferences))
    return found


def _reward_model(trunk: Trunk) -> TrainingStep:
    settings = RewardModelSettings(prompts_per_step=PROMPTS)
    with _stirred():
        return next(train_reward_model(trunk, rankings(), settings, seed=1))


def _dpo(trunk: Trunk) -> TrainingStep:
    trunk.add_role(Role.POLICY, seed=1)
    stir(trunk, Role.POLICY)
    return next(
        train_dpo(trunk, rankings(), DPOSettings(algorithm="dpo", prompts_per_step=PROMPTS), seed=1)
    )


def _sft(trunk: Trunk) -> TrainingStep:
    texts = [ranking.sequences[0] for ranking in rankings()]
    with _stirred():
        return next(train_sft(trunk, texts, SFTSettings(prompts_per_step=PROMPTS), seed=1))


def _ppo(trunk: Trunk) -> TrainingStep:
    """Take one update over fixed answers, advantages and returns."""
    training = _with_roles(trunk)
    rollouts = [
        Rollout(number, sequence, "", (-5.0,) * len(sequence.response_ids), "eos")
        for number, ranking in enumerate(rankings())
        for sequence in ranking.sequences
    ]
    plan = minibatch_plan(rollouts, PPO.minibatches)
    seen = collect_experience(trunk, rollouts, plan, temperature=1.0)
    generator = torch.Generator().manual_seed(3)
    advantages, returns = (torch.randn(seen.mask.shape, generator=generator) for _ in range(2))
    targets = Targets(advantages * seen.mask, returns * seen.mask)
    return TrainingStep(1, 1, update(training, plan, seen, targets))


def _ppo_online(trunk: Trunk, prompt_tokens: int, answer_tokens: int) -> TrainingStep:
    """Take one whole step: sample, score, update."""
    _with_roles(trunk)
    generator = torch.Generator().manual_seed(5)
    prompts = [_words(generator, prompt_tokens) for _ in range(PROMPTS)]
    sampling = SamplingSettings(max_new_tokens=answer_tokens)
    return next(train_online(trunk, prompts, _first_token, PPO, sampling, seed=1))


def _first_token(rollouts: Sequence[Rollout]) -> Tensor:
    return torch.tensor([float(rollout.tokens.response_ids[0] % 7) for rollout in rollouts])


def _with_roles(trunk: Trunk) -> OnlineTraining:
    trunk.add_role(Role.REWARD, seed=2)
    stir(trunk, Role.REWARD)
    trunk.add_role(Role.POLICY, seed=1)
    stir(trunk, Role.POLICY)
    add_critic(trunk, PPO)
    updaters = {
        role: Updater(trunk.parameters(role), 1e-3, 1, eps=ADAM_EPS)
        for role in (Role.POLICY, Role.CRITIC)
    }
    return OnlineTraining(trunk, PPO, SamplingSettings(), updaters, None, PPO.kl.coefficient)


STEPS: dict[str, Train] = {"reward model": _reward_model, "DPO": _dpo, "SFT": _sft, "PPO": _ppo}


def _gradient(train: Train, trunk: Trunk) -> tuple[dict[str, float], Tensor]:
    """Return the metrics of a step, and the gradients before it as one row on the CPU."""
    found: list[Tensor] = []
    step = Updater.step

    def caught(self: Updater) -> tuple[float, float]:
        found.extend(
            torch.zeros(parameter.numel())
            if parameter.grad is None
            else parameter.grad.float().cpu().flatten()
            for parameter in self.parameters
        )
        return step(self)

    with patch.object(Updater, "step", caught):
        metrics = dict(train(trunk).metrics)
    return metrics, torch.cat(found)


@contextmanager
def _stirred() -> Iterator[None]:
    """Move the weights of each role that is added inside the context."""
    add_role = Trunk.add_role

    def added(self: Trunk, role: Role, *arguments: Any, **options: Any) -> None:
        add_role(self, role, *arguments, **options)
        stir(self, role)

    with patch.object(Trunk, "add_role", added):
        yield


@contextmanager
def _little_memory(box: Box, work: Callable[[], object]) -> Iterator[None]:
    """Give less memory than some work needs inside the context.

    On a GPU the work is done once to learn what it needs. On a CPU a backward pass over more than a
    few tokens asks for more memory than there can be.
    """
    if not box.is_gpu:
        with _no_memory_for_long_passes():
            yield
        return
    clear_device_cache(garbage_collection=True)
    before = torch.cuda.memory_allocated(box.device)
    torch.cuda.reset_peak_memory_stats(box.device)
    work()
    need = torch.cuda.max_memory_allocated(box.device) - before
    clear_device_cache(garbage_collection=True)
    total = torch.cuda.get_device_properties(box.device).total_memory
    limit = torch.cuda.memory_reserved(box.device) + 0.6 * need
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), box.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, box.device)


@contextmanager
def _no_memory_for_long_passes(enough: int = 64) -> Iterator[None]:
    backward, hidden_states = Tensor.backward, Trunk.hidden_states
    read: list[int] = []

    def noted(self: Trunk, role: Role, batch: Any) -> Tensor:
        read.append(batch.input_ids.numel())
        return hidden_states(self, role, batch)

    def bounded(self: Tensor, *arguments: Any) -> None:
        backward(self, *arguments)
        if read[-1] > enough:
            torch.empty(2**50)

    with (
        patch.object(Trunk, "hidden_states", noted),
        patch.object(Tensor, "backward", bounded),
    ):
        yield


def _words(generator: torch.Generator, length: int) -> tuple[int, ...]:
    return tuple(torch.randint(3, 250, (length,), generator=generator).tolist())


def _flat(parameters: Iterable[Tensor]) -> Tensor:
    return torch.cat([parameter.detach().cpu().flatten() for parameter in parameters])


def _name(dtype: torch.dtype) -> str:
    return "bf16" if dtype == torch.bfloat16 else "fp32"
