"""A profile of decoding, of the reward model's micro-batch and of PPO's, by PyTorch's profiler."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from rlhf_core.models.trunk import Role, Trunk
from tests.benchmarks.gpu import (
    add_roles,
    draw_answers,
    ppo_update,
    random_trunk,
    reward_model_step,
    words,
)
from tests.gpu_check.box import Box, Shape
from tests.gpu_check.report import Figures, Report

DECODE_STEPS, MOST_KERNELS = 8, 25
SYNCS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


def measure(report: Report, box: Box) -> None:
    """Report kernels a step, the share of time that the device is busy, syncs, and top kernels."""
    shape = box.middle
    trunks: list[Trunk] = []
    report.figure("profile: loading", 3, lambda: _load(trunks, box, shape))
    if not trunks:
        return
    trunk = trunks[0]
    one = replace(shape.load, prompts=max(1, shape.load.prompts // 16))
    works: dict[str, Callable[[], Figures]] = {
        "decode steps": partial(_decode, box, trunk, shape),
        "reward model": lambda: _profiled(box, reward_model_step(trunk, one).step),
        "PPO's update": lambda: _profiled(box, ppo_update(trunk, one).step),
    }
    for name, work in works.items():
        report.figure(f"profile: {name}, {shape.name}", 9, work)


def _load(trunks: list[Trunk], box: Box, shape: Shape) -> Figures:
    trunks.append(random_trunk(shape.config, box.compute(box.best, 131_072)))
    return {}


def _decode(box: Box, trunk: Trunk, shape: Shape) -> Figures:
    """Return the profile of eight decode steps, less that of the prefill and the first token."""
    prompts = [words(trunk, shape.load.prompt_tokens) for _ in range(shape.load.prompts)]

    def drawn(tokens: int) -> Callable[[], object]:
        load = replace(shape.load, answer_tokens=tokens)
        return partial(draw_answers, trunk, prompts, load, Role.POLICY)

    add_roles(trunk)
    before, after = (_profiled(box, drawn(n)) for n in (1, 1 + DECODE_STEPS))
    kernels = (float(after["kernels"]) - float(before["kernels"])) / DECODE_STEPS
    syncs = (float(after["syncs"]) - float(before["syncs"])) / DECODE_STEPS
    return after | {"kernels_a_step": kernels, "syncs_a_step": syncs}


def _profiled(box: Box, work: Callable[[], object]) -> dict[str, float | str]:
    """Return what the device did during some work; on a CPU its operations stand for kernels."""
    work()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if box.is_gpu else [])]
    with profile(activities=activities) as profiler:
        work()
        if box.is_gpu:
            torch.cuda.synchronize(box.device)
    events: list[Any] = list(profiler.events())
    wanted = DeviceType.CUDA if box.is_gpu else DeviceType.CPU
    kernels = [event for event in events if event.device_type == wanted]
    if not box.is_gpu:
        kernels = [event for event in kernels if event.cpu_parent is None]
    times: Counter[str] = Counter()
    for event in kernels:
        times[event.name] += event.time_range.end - event.time_range.start
    begin = min(event.time_range.start for event in events)
    end = max(event.time_range.end for event in events)
    spans = sorted((event.time_range.start, event.time_range.end) for event in kernels)
    busy, reached = 0.0, begin
    for start, stop in spans:
        busy += max(0.0, stop - max(start, reached))
        reached = max(reached, stop)
    top = {
        f"kernel {place}": f"{time / max(1.0, sum(times.values())):.3f} {name[:120]}"
        for place, (name, time) in enumerate(times.most_common(MOST_KERNELS), start=1)
    }
    return {
        "kernels": float(len(kernels)),
        "busy": busy / (end - begin),
        "ms": (end - begin) / 1e3,
        "syncs": float(sum(event.name in SYNCS for event in events)),
        **top,
    }
