"""Rolling out by transformers itself, on the prompts and the model of our rollouts."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig, PreTrainedModel

from rlhf_core.models.trunk import Role, Trunk
from tests.benchmarks.gpu import draw_answers, random_trunk, words
from tests.benchmarks.ratio import seconds
from tests.gpu_check.box import Box, Shape
from tests.gpu_check.report import Figures, Report

Draw = Callable[[PreTrainedModel, list[tuple[int, ...]]], object]


def measure(report: Report, box: Box) -> None:
    """Report tokens a second of ours and of three ways of transformers, on the base model."""
    shape = box.middle
    trunks: list[Trunk] = []
    report.figure("peers: loading", 3, lambda: _load(trunks, box, shape))
    if not trunks:
        return
    trunk = trunks[0]
    prompts = [words(trunk, shape.load.prompt_tokens) for _ in range(shape.load.prompts)]
    settings = _settings(trunk, shape)
    static = {"cache_implementation": "static", "disable_compile": not box.is_gpu}
    # Its cache would otherwise fill the memory of the machine.
    cache: dict[str, Any] = (
        {"num_blocks": 8, "max_batch_tokens": 64, "page_size": 16} if box.is_tiny else {}
    )
    ways: dict[str, tuple[float, Draw]] = {
        "ours": (6, lambda _, chosen: draw_answers(trunk, chosen, shape.load, Role.REFERENCE)),
        "generate": (10, partial(_generate, settings)),
        "generate, static and compiled": (25, partial(_generate, settings | static)),
        "generate_batch": (15, partial(_generate_batch, settings, cache)),
    }
    for name, (expected, draw) in ways.items():
        report.figure(
            f"peers: {name}, {shape.name}", expected, partial(_rate, trunk, shape, prompts, draw)
        )


def _load(trunks: list[Trunk], box: Box, shape: Shape) -> Figures:
    trunks.append(random_trunk(shape.config, box.compute(box.best)))
    return {}


def _settings(trunk: Trunk, shape: Shape) -> dict[str, Any]:
    """Return what makes answers of full length, drawn from all words at temperature 1."""
    return {
        "do_sample": True,
        "top_k": 0,
        "top_p": 1.0,
        "temperature": 1.0,
        "num_return_sequences": shape.load.answers,
        "max_new_tokens": shape.load.answer_tokens,
        "min_new_tokens": shape.load.answer_tokens,
        "pad_token_id": trunk.pad_id,
        "eos_token_id": trunk.eos_id,
    }


def _rate(trunk: Trunk, shape: Shape, prompts: list[tuple[int, ...]], draw: Draw) -> Figures:
    """Return tokens a second of a second turn; the first may compile."""
    with trunk.acting_as(Role.REFERENCE) as model, trunk.compute.autocast(), torch.no_grad():
        first = seconds(lambda: draw(model, prompts))
        took = seconds(lambda: draw(model, prompts))
    tokens = len(prompts) * shape.load.answers * shape.load.answer_tokens
    return {"tokens_per_s": tokens / took, "first_seconds": first, "seconds": took}


def _generate(
    settings: dict[str, Any], model: PreTrainedModel, prompts: list[tuple[int, ...]]
) -> None:
    ids = torch.tensor(prompts, device=model.device)
    generate: Any = model.generate
    generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)


def _generate_batch(
    settings: dict[str, Any],
    cache: dict[str, Any],
    model: PreTrainedModel,
    prompts: list[tuple[int, ...]],
) -> None:
    """Draw by continuous batching, which takes each answer as a request and no end of its own."""
    answers, unknown = settings["num_return_sequences"], ("num_return_sequences", "min_new_tokens")
    config = GenerationConfig(
        **{name: value for name, value in settings.items() if name not in unknown}
        | {"eos_token_id": -1}
    )
    former = model.config._attn_implementation
    model.set_attn_implementation("sdpa")
    generate_batch: Any = model.generate_batch
    try:
        inputs = [list(prompt) for prompt in prompts for _ in range(answers)]
        generate_batch(
            inputs=inputs,
            generation_config=config,
            continuous_batching_config=ContinuousBatchingConfig(**cache),
            progress_bar=False,
        )
    finally:
        model.set_attn_implementation(former)
