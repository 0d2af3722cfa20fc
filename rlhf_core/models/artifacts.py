"""Saving and loading what was trained: whole or not at all, and only when it reads back right.

A fine-tuned model is saved merged, in Hugging Face format. A role is a PEFT adapter on it, with
its head beside it: transformers loads a policy's folder as it is.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from rlhf_core.errors import TrainingError
from rlhf_core.models.device import Compute
from rlhf_core.models.loading import load_language_model, load_tokenizer
from rlhf_core.models.sequences import Batch, TokenSequence
from rlhf_core.models.sharding import is_sharded
from rlhf_core.models.trunk import Role, Trunk

ADAPTER, HEAD = "adapter_model.safetensors", "head.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
PROBE_TOKENS = 8


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into that takes its name only when everything is in it.

    What an interrupted run left behind is cleared away first.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    unfinished.mkdir()
    try:
        yield unfinished
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def open_trunk(name: str, compute: Compute, lora_rank: int) -> Trunk:
    """A trunk from anything the loader knows: a bundled model, a folder, a hub id."""
    device = torch.device("cpu") if compute.shard else compute.device
    model = load_language_model(name, compute.dtype, device)
    return Trunk(model, load_tokenizer(name), compute, lora_rank)


def save_merged(trunk: Trunk, role: Role, folder: Path) -> None:
    """Save the plain model a role amounts to, with its tokenizer. The trunk is used up by it."""
    if is_sharded(trunk.language_model):
        trunk = _whole(trunk, role)
    model = trunk.merged(role)
    with whole_folder(folder) as unfinished:
        model.save_pretrained(unfinished)
        trunk.tokenizer.save_pretrained(unfinished)
        saved = load_language_model(str(unfinished), trunk.compute.dtype, trunk.compute.device)
        ids = torch.arange(PROBE_TOKENS, device=trunk.compute.device)[None]
        with torch.no_grad():
            _require_equal(folder, model(input_ids=ids).logits, saved(input_ids=ids).logits)


def save_role(trunk: Trunk, role: Role, folder: Path, base: Path) -> None:
    """Save a role's adapter, and its head where it has one.

    Args:
        trunk: Holds the role.
        role: Which.
        folder: Where to.
        base: The trunk's own folder, which the adapter names as its base.

    Raises:
        TrainingError: If the saved role does not answer as the one in memory does.
    """
    with whole_folder(folder) as unfinished:
        save_file(trunk.adapter(role), unfinished / ADAPTER)
        trunk.write_adapter_config(unfinished, base)
        if role in trunk.heads:
            save_file(trunk.heads[role].state_dict(), unfinished / HEAD)
        trunk.tokenizer.save_pretrained(unfinished)
        if is_sharded(trunk.language_model):
            # One process alone cannot ask it anything.
            _require_same_weights(folder, trunk.adapter(role), load_file(unfinished / ADAPTER))
            return
        load_role(trunk, Role.RELOADED, unfinished)
        probe = [TokenSequence(tuple(range(PROBE_TOKENS)), (trunk.eos_id,))]
        batch = trunk.batch(probe)
        try:
            _require_equal(
                folder, _answer(trunk, role, batch), _answer(trunk, Role.RELOADED, batch)
            )
        finally:
            trunk.remove_role(Role.RELOADED)


def load_role(trunk: Trunk, role: Role, folder: Path) -> None:
    """Put a saved role onto the trunk."""
    trunk.add_role(role, seed=0)
    trunk.load_adapter(role, load_file(folder / ADAPTER))
    if (folder / HEAD).exists():
        trunk.load_head(role, load_file(folder / HEAD))


def _whole(trunk: Trunk, role: Role) -> Trunk:
    """The trunk on the CPU, from where its weights came, with that role alone."""
    name = str(trunk.language_model.name_or_path)
    compute = replace(trunk.compute, device=torch.device("cpu"), shard=False)
    whole = open_trunk(name, compute, trunk.lora_rank)
    whole.add_role(role, seed=0)
    whole.load_adapter(role, {key: value.cpu() for key, value in trunk.adapter(role).items()})
    return whole


@torch.no_grad()
def _answer(trunk: Trunk, role: Role, batch: Batch) -> torch.Tensor:
    if role in trunk.heads:
        return trunk.sequence_scores(role, batch)
    return trunk.token_logprobs(role, batch, temperature=1.0)


def _require_same_weights(
    folder: Path, kept: dict[str, torch.Tensor], reloaded: dict[str, torch.Tensor]
) -> None:
    for name, weights in kept.items():
        _require_equal(folder, weights.cpu(), reloaded[name])


def _require_equal(folder: Path, kept: torch.Tensor, reloaded: torch.Tensor) -> None:
    if not torch.allclose(kept, reloaded, atol=1e-4, rtol=1e-4):
        difference = (kept - reloaded).abs().max().item()
        raise TrainingError(f"{folder} reads back differently (by {difference:.2g}); not kept")
