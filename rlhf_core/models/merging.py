"""Merging of a saved model of any form into one plain folder for transformers."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf_core.errors import ModelNotFoundError, TrainingError
from rlhf_core.models.adapter_files import adapter_base
from rlhf_core.models.artifacts import load_saved, save_plain
from rlhf_core.models.device import Compute
from rlhf_core.models.loading import read_config
from rlhf_core.models.lora_folder import is_adapter

PROBE = "The capital of France is Paris, and the river that runs through it is the Seine."
MAX_NATS = {True: 1e-4, False: 0.05}
"""Largest KL a token of a merged model: in fp32 throughout, where only the order of sums changes,
and with weights in half precision, which are rounded. Every layer is checked exactly as well."""


@dataclass(frozen=True)
class MergedModel:
    """The size and accuracy of a merged model."""

    precision: str
    parameters: int
    size_bytes: int
    """Size of the weights on disk."""
    divergence_nats: float
    """KL from the saved model, mean over the tokens of one sentence: the effect of rounding."""


def merge_saved(folder: Path, out: Path, compute: Compute) -> MergedModel:
    """Write a saved model as one plain model, its adapter merged, and read it back.

    The base is held in the precision that it is stored in, and merged one layer at a time, each in
    fp32 and rounded once.

    Args:
        folder: Folder of a fine-tuned model or a policy.
        out: Destination; replaced if it exists.
        compute: Device, and the precision to round to.

    Returns:
        The size of the merged model, and its KL from the saved one.

    Raises:
        ModelNotFoundError: If the folder holds a reward model, or a part of it is missing.
        TrainingError: If the merged model does not answer as base and adapter do.
    """
    held = replace(compute, dtype=stored_precision(folder))
    trunk, role = load_saved(folder, held)
    if role in trunk.heads:
        raise ModelNotFoundError(
            f"{folder.name} is a reward model: plain transformers would lose its head; the judge "
            "`reward_model` reads it as it is"
        )
    with trunk.acting_as(role) as model, held.autocast():
        expected = probe_logprobs(model, trunk.tokenizer, compute.device)
    merged = trunk.roles.merge(role, compute.dtype)
    nats = divergence(expected, probe_logprobs(merged, trunk.tokenizer, compute.device))
    if nats > MAX_NATS[held.dtype == compute.dtype == torch.float32]:
        raise TrainingError(f"{folder} merges wrongly (by {nats:.2g} nats a token); not written")
    save_plain(merged, trunk.tokenizer, out)  # which reads it back
    return MergedModel(
        precision=str(compute.dtype).removeprefix("torch."),
        parameters=sum(parameter.numel() for parameter in merged.parameters()),
        size_bytes=sum(file.stat().st_size for file in out.glob("*.safetensors")),
        divergence_nats=nats,
    )


def stored_precision(folder: Path) -> torch.dtype:
    """Return the precision of the weights that a model, or an adapter's base, is stored in."""
    base = adapter_base(folder) if is_adapter(folder) else str(folder)
    dtype = read_config(base).dtype
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


@torch.no_grad()
def probe_logprobs(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, device: torch.device
) -> Tensor:
    """Return the log-probabilities of every next token of one sentence.

    Args:
        model: The model that reads it.
        tokenizer: Its tokenizer.
        device: Its device.

    Returns:
        In nats, (T, V).
    """
    ids = torch.tensor([tokenizer(PROBE)["input_ids"]], device=device)
    return torch.log_softmax(model(input_ids=ids).logits[0].float(), dim=-1)


def divergence(exact: Tensor, other: Tensor) -> float:
    """Return KL(exact‖other), mean over tokens, in nats."""
    return (exact.exp() * (exact - other)).sum(dim=-1).mean().item()
