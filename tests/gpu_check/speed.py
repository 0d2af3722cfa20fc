"""Speeds of three sizes of models against what the hardware can do at most; weights are random."""

from collections.abc import Callable
from functools import partial

import torch

from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.capacity import sampling_tokens
from tests.benchmarks.gpu import (
    Work,
    experience,
    ppo_update,
    random_trunk,
    reward_model_step,
    rollout,
)
from tests.benchmarks.hardware import peak_of
from tests.benchmarks.ratio import seconds
from tests.gpu_check.box import Box, Shape
from tests.gpu_check.report import Figures, Report

SMALL, LARGE = 3072, 131_072
"""Tokens of a micro-batch: the default, and more than fit, so that memory sets the number."""
TURNS = 3
"""One to warm up, and two that are timed."""
SHARES = {"training": 0.1, "rollout": 0.15}
"""Of a shape's seconds: one training figure, of six; one rollout, of four."""


def measure(report: Report, box: Box) -> None:
    """Report the training steps and the rollouts of each shape; one model serves all of them."""
    for shape in box.shapes:
        trunks: list[Trunk] = []
        report.figure(f"{shape.name}: loading", 2, partial(_load, trunks, box, shape))
        if trunks:
            _measure_shape(report, box, shape, trunks[0])


def _measure_shape(report: Report, box: Box, shape: Shape, trunk: Trunk) -> None:
    for name, prepare in (
        ("reward model's step", partial(reward_model_step, turns=TURNS)),
        ("PPO's experience", experience),
        ("PPO's update", partial(ppo_update, turns=TURNS)),
    ):
        for tokens in (SMALL, LARGE):
            wanted = f"{shape.name}: {name}, " + ("default" if tokens == SMALL else "largest")
            work = partial(_training, box, shape, trunk, prepare, tokens)
            report.figure(f"{wanted} micro-batch", SHARES["training"] * shape.seconds, work)
    for role, name in ((Role.REFERENCE, "base"), (Role.POLICY, "LoRA")):
        for rows in ("few rows", "rows that fit"):
            work = partial(_rollout, box, shape, trunk, role, rows == "few rows")
            report.figure(
                f"{shape.name}: rollout, {name}, {rows}", SHARES["rollout"] * shape.seconds, work
            )


def _load(trunks: list[Trunk], box: Box, shape: Shape) -> Figures:
    trunks.append(random_trunk(shape.config, box.compute(box.best, SMALL)))
    parameters = sum(weight.numel() for weight in trunks[0].language_model.parameters())
    return {"parameters": float(parameters)}


def _training(
    box: Box, shape: Shape, trunk: Trunk, prepare: Callable[..., Work], tokens: int
) -> Figures:
    trunk.compute = trunk.compute.with_microbatches_of(tokens)
    work = prepare(trunk, shape.load)
    found = _timed(box, work, work.step)
    found["microbatch_tokens"] = float(trunk.compute.tokens_per_microbatch)
    return found


def _rollout(box: Box, shape: Shape, trunk: Trunk, role: Role, is_few: bool) -> Figures:
    """Draw all answers, in the rows that a micro-batch of a CPU would have or in those that fit."""
    length = shape.load.prompt_tokens + shape.load.answer_tokens
    compute = trunk.compute.with_microbatches_of(SMALL)
    fitting = sampling_tokens(trunk.language_model, compute, length)
    room = compute.forward_tokens if is_few else fitting
    work = rollout(trunk, shape.load, role, room)
    found = _timed(box, work, None)
    found["rows"] = float(min(shape.load.prompts * shape.load.answers, max(1, room // length)))
    found["ms_a_step"] = found["seconds"] * 1e3 * found["rows"] / work.tokens
    return found


def _timed(box: Box, work: Work, warm_up: Callable[[], object] | None) -> dict[str, float]:
    """Return tokens a second, the share of the bound, and the peak: of one turn without warm-up."""
    if box.is_gpu:
        torch.cuda.reset_peak_memory_stats(box.device)
    turns = 1
    if warm_up is not None:
        warm_up()
        turns = TURNS - 1
    took = sum(seconds(work.step) for _ in range(turns)) / turns
    found = {"tokens_per_s": work.tokens / took, "seconds": took}
    peak = peak_of(box.name)
    if peak is not None:
        found |= {"of_bound": work.least_seconds(peak) / took, "goal": work.goal}
    if box.is_gpu:
        found["peak_gb"] = torch.cuda.max_memory_allocated(box.device) / 1e9
    return found
