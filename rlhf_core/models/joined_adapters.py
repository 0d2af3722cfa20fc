"""A trained model as one adapter on the model that its line began with, for PEFT and its users.

An SFT model is its base with an adapter merged into it, which its folder keeps, and a policy is an
adapter on that model. W + s₁ B₁ A₁ + s₂ B₂ A₂ = W + [s₁ B₁, s₂ B₂] [A₁; A₂], so the two are one
adapter on W, whose rank is the sum of theirs. Whoever has W, as from a hub, needs nothing else.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf_core.errors import ModelNotFoundError, TrainingError
from rlhf_core.files.whole import whole_folder
from rlhf_core.models.adapter_files import ADAPTER, ADAPTER_CONFIG, OWN_ADAPTER, adapter_base
from rlhf_core.models.artifacts import is_reward_model, load_saved
from rlhf_core.models.bundled import bundled_folder
from rlhf_core.models.device import Compute
from rlhf_core.models.loading import load_tokenizer
from rlhf_core.models.lora_folder import is_adapter
from rlhf_core.models.merging import divergence, probe_logprobs, stored_precision

DOWN, UP = ".lora_A.weight", ".lora_B.weight"
OTHER_FORMS = ("use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "modules_to_save")
"""Options of PEFT that Solon never sets, which one rank and one scale do not describe."""
MOST_NATS = 0.05
"""Largest KL a token from the saved model: an SFT model in half precision was rounded."""


@dataclass(frozen=True)
class JoinedAdapter:
    """The base, size and accuracy of a written adapter."""

    base: str
    rank: int
    size_bytes: int
    divergence_nats: float | None
    """KL from the saved model, mean over the tokens of one sentence: the effect of rounding. None
    if they were not compared."""


def write_joined(
    folder: Path, out: Path, compute: Compute | None, base: str | None = None
) -> JoinedAdapter:
    """Write a saved model as one adapter on its line's first model, and compare the two.

    Args:
        folder: Folder of a policy, or of an SFT model.
        out: Destination; replaced if it exists.
        compute: Device to compare on; None does not load the models, and compares nothing.
        base: Name for the base in the adapter's config; None is the name that the line began with.

    Returns:
        The base's name, and the figures.

    Raises:
        ModelNotFoundError: If the folder holds a reward model or full weights, or an adapter
            between it and the line's first model is missing.
        TrainingError: If the written adapter does not answer as the saved model does.
    """
    if is_reward_model(folder):
        raise ModelNotFoundError(f"{folder.name} is a reward model: its head is no part of PEFT's")
    chain = _chain(folder)
    with whole_folder(out) as unfinished:
        first = adapter_base(chain[0])
        config = _join(chain, unfinished, first)
        nats = _compare(folder, unfinished, compute) if compute is not None else None
        load_tokenizer(str(folder)).save_pretrained(unfinished)
        named = base or str(bundled_folder(first) or first)
        replace(config, base_model_name_or_path=named).save_pretrained(str(unfinished))
    return JoinedAdapter(named, config.r, (out / ADAPTER).stat().st_size, nats)


def _chain(folder: Path) -> list[Path]:
    """Return the folders of the adapters between a line's first model and a trained one, in order.

    Raises:
        ModelNotFoundError: If there is none, or one was not kept.
    """
    last = folder if is_adapter(folder) else folder / OWN_ADAPTER
    if not is_adapter(last):
        raise ModelNotFoundError(
            f"{folder.name} holds no adapter: its weights were trained in full (policy.weights); "
            "`solon merge` writes it as a model"
        )
    chain = [last]
    while (base := Path(adapter_base(chain[0])).expanduser()).is_dir():
        if is_adapter(base):
            chain.insert(0, base)
        elif is_adapter(base / OWN_ADAPTER):
            chain.insert(0, base / OWN_ADAPTER)
        else:
            break
    if is_adapter(folder) and len(chain) == 1:
        raise ModelNotFoundError(
            f"{folder.name}: its SFT model {base.name} keeps no adapter, so it is no adapter on "
            "another model; `solon merge` writes it as a model"
        )
    return chain


def _join(folders: Sequence[Path], out: Path, base: str) -> LoraConfig:
    """Write adapters, each trained on the model with those before merged into it, as one.

    Args:
        folders: Folders of the adapters.
        out: An existing folder.
        base: Name of the first one's base.

    Returns:
        The config that was written.
    """
    configs = [_read_config(folder) for folder in folders]
    ranks = [int(config["r"]) for config in configs]
    scales = [float(config["lora_alpha"]) / int(config["r"]) for config in configs]
    weights = [load_file(folder / ADAPTER) for folder in folders]
    layers = sorted({name.removesuffix(DOWN) for each in weights for name in each if DOWN in name})
    joined: dict[str, Tensor] = {}
    for layer in layers:
        parts = [
            (each[layer + DOWN].float(), scale * each[layer + UP].float())
            for each, scale in zip(weights, scales, strict=True)
            if layer + DOWN in each
        ]
        down, up = torch.cat([a for a, _ in parts]), torch.cat([b for _, b in parts], dim=1)
        missing = sum(ranks) - len(down)  # of an adapter that leaves this layer out
        joined[layer + DOWN] = torch.cat([down, down.new_zeros(missing, down.shape[1])])
        joined[layer + UP] = torch.cat([up, up.new_zeros(len(up), missing)], dim=1)
    save_file(joined, out / ADAPTER, {"format": "pt"})
    config = LoraConfig(
        r=sum(ranks),
        lora_alpha=sum(ranks),  # the scales are in the factors
        target_modules=sorted({layer.rpartition(".")[2] for layer in layers}),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
        inference_mode=True,
    )
    config.save_pretrained(str(out))
    return config


def _read_config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    if other := [name for name in OTHER_FORMS if config.get(name)]:
        raise ModelNotFoundError(
            f"adapter {str(folder)!r} has {', '.join(other)}, so it cannot be joined with another; "
            "`solon merge` writes the model as a whole"
        )
    return config


def _compare(folder: Path, joined: Path, compute: Compute) -> float:
    """Return the KL of a joined adapter from the saved model, and refuse a large one."""
    held = replace(compute, dtype=stored_precision(folder), shard=False)
    trunk, role = load_saved(folder, held)
    tokenizer = trunk.tokenizer
    with trunk.acting_as(role) as model, held.autocast():
        expected = probe_logprobs(model, tokenizer, held.device)
    del trunk, model  # one model at a time
    trunk, role = load_saved(joined, held)
    with trunk.acting_as(role) as model, held.autocast():
        nats = divergence(expected, probe_logprobs(model, tokenizer, held.device))
    if nats > MOST_NATS:
        raise TrainingError(f"{folder} joins wrongly (by {nats:.2g} nats a token); not written")
    return nats
