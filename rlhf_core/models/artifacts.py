"""Saving and loading what was trained: whole or not at all, and only when it reads back right.

A fine-tuned model is saved whole, in Hugging Face format. A role is a PEFT adapter on it or, of
full parameters, whole as well; its head lies beside. An adapter names its base by the way there, so
that both can be moved; PEFT loads it onto that base, and `solon merge` makes one model of the two.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf_core.distributed.sharding import is_sharded
from rlhf_core.errors import ModelNotFoundError, TrainingError
from rlhf_core.files.whole import whole_folder
from rlhf_core.models.adapter_roles import ADAPTER_CONFIG, AdapterRoles, base_of
from rlhf_core.models.architecture import fit_attention
from rlhf_core.models.device import Compute
from rlhf_core.models.full_roles import FullRoles
from rlhf_core.models.loading import load_language_model, load_tokenizer
from rlhf_core.models.roles import Role, Roles
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Trunk
from rlhf_core.models.turn_end import keep_ends

HEAD = "head.safetensors"
HEADED = (Role.CRITIC, Role.REWARD)
"""Roles that are nothing without their head. A policy's is the shared critic's, and is not saved:
what the policy says does not depend on it."""
NORMALISED = {"normalised": "each head"}
"""Metadata of a head. Several of a file without it share one mean and one deviation."""
PROBE_TOKENS = 8


def new_roles(
    load: Callable[[torch.dtype], PreTrainedModel], compute: Compute, lora_rank: int | None
) -> Roles:
    """Roles on a model that is loaded in the precision they need it in.

    Args:
        load: Makes the model, in evaluation mode, on the compute's device; on the CPU where its
            layers are to lie in shards.
        compute: Device and precision.
        lora_rank: Of each role's adapter; None gives each role full parameters of its own.
    """
    if lora_rank is None:
        return FullRoles(partial(load, torch.float32), compute)
    return AdapterRoles(partial(load, compute.dtype), compute, lora_rank)


def open_trunk(name: str, compute: Compute, lora_rank: int | None) -> Trunk:
    """A trunk from anything the loader knows: a bundled model, a folder, a hub id.

    Args:
        name: Of the model.
        compute: Device and precision.
        lora_rank: As for `new_roles`.
    """

    def load(dtype: torch.dtype) -> PreTrainedModel:
        if not compute.shard:
            return load_language_model(name, dtype, compute.device)
        model = load_language_model(name, dtype, torch.device("cpu"))
        fit_attention(model, compute.device)  # where it is to compute, not where it lies now
        return model

    return Trunk(new_roles(load, compute, lora_rank), load_tokenizer(name), compute)


def save_merged(trunk: Trunk, role: Role, folder: Path) -> None:
    """Save the plain model a role amounts to, with its tokenizer. The trunk is used up by it."""
    save_plain(trunk.roles.merged(role), trunk.tokenizer, folder)


def save_plain(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save a model as transformers loads it.

    Raises:
        TrainingError: If the saved model does not answer as the one in memory does.
    """
    keep_ends(model, tokenizer)
    with whole_folder(folder) as unfinished:
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        saved = load_language_model(str(unfinished), model.dtype, model.device)
        ids = torch.arange(PROBE_TOKENS, device=model.device)[None]
        with torch.no_grad():
            _require_equal(folder, model(input_ids=ids).logits, saved(input_ids=ids).logits)


def save_role(trunk: Trunk, role: Role, folder: Path, base: Path) -> None:
    """Save a role's weights, and its head where it has one.

    Args:
        trunk: Holds the role.
        role: Which.
        folder: Where to.
        base: The trunk's own folder, which an adapter names as its base.

    Raises:
        TrainingError: If the saved role does not answer as the one in memory does.
    """
    with trunk.acting_as(role) as model:
        keep_ends(model, trunk.tokenizer)
    with whole_folder(folder) as unfinished:
        trunk.roles.write(role, unfinished, base)
        if role in HEADED:
            save_file(trunk.heads[role].state_dict(), unfinished / HEAD, NORMALISED)
        trunk.tokenizer.save_pretrained(unfinished)
        trunk.roles.read(Role.RELOADED, unfinished)
        if role in HEADED:
            trunk.load_head(Role.RELOADED, load_file(unfinished / HEAD))
        try:
            shown = [_shown(trunk, which, role in HEADED) for which in (role, Role.RELOADED)]
            _require_equal(folder, *shown)
        finally:
            trunk.remove_role(Role.RELOADED)


def load_role(trunk: Trunk, role: Role, folder: Path) -> None:
    """Put a saved role onto the trunk.

    Args:
        trunk: Without the role yet.
        role: Which.
        folder: Where it was saved.

    Raises:
        ModelNotFoundError: If it needs a head and has none, or has several that were normalised
            together.
    """
    if role not in HEADED:
        trunk.roles.read(role, folder)
        return
    if not (folder / HEAD).exists():
        raise ModelNotFoundError(f"{folder} is no {role} model: it holds no {HEAD}")
    weights = load_file(folder / HEAD)
    with safe_open(folder / HEAD, "pt") as file:
        is_normalised = NORMALISED.items() <= (file.metadata() or {}).items()
    heads = len(weights["linear.weight"])
    if heads > 1 and not is_normalised:
        raise ModelNotFoundError(
            f"{folder.name}: its {heads} heads were normalised together, by an earlier version, so "
            "what they differ by is no disagreement; train the reward model anew"
        )
    trunk.roles.read(role, folder)
    trunk.load_head(role, weights)


def is_reward_model(folder: Path) -> bool:
    """Whether a folder holds a reward model of ours.

    Policies that earlier versions trained with a shared critic were saved with its head.
    """
    return (folder / HEAD).exists() and not folder.name.startswith(f"{Role.POLICY}-")


def open_saved(folder: Path, compute: Compute) -> tuple[Trunk, Role]:
    """What a folder of ours holds, adapter or whole model, and the role it acts in; head included.

    Raises:
        ModelNotFoundError: If a part of it is not there.
    """
    if (folder / ADAPTER_CONFIG).exists():
        adapter = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        trunk = open_trunk(base_of(folder), compute, adapter["r"])
        role = Role.RELOADED
        trunk.roles.read(role, folder)
    else:
        trunk, role = open_trunk(str(folder), compute, None), Role.REFERENCE
    if is_reward_model(folder):
        trunk.load_head(role, load_file(folder / HEAD))
    return trunk, role


@torch.no_grad()
def _shown(trunk: Trunk, role: Role, has_score: bool) -> torch.Tensor:
    """What tells a role from others: its answer, or its weights where no process can ask alone."""
    if is_sharded(trunk.language_model):
        return torch.cat([weights.flatten() for weights in trunk.parameters(role)])
    batch = trunk.batch([TokenSequence(tuple(range(PROBE_TOKENS)), (trunk.eos_id,))])
    if has_score:
        return trunk.sequence_scores(role, batch)
    return trunk.token_logprobs(role, batch, temperature=1.0)


def _require_equal(folder: Path, kept: torch.Tensor, reloaded: torch.Tensor) -> None:
    if not torch.allclose(kept, reloaded, atol=1e-4, rtol=1e-4):
        difference = (kept - reloaded).abs().max().item()
        raise TrainingError(f"{folder} reads back differently (by {difference:.2g}); not kept")
