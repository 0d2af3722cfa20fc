"""Saving and loading trained models: completely or not at all, and only if they read back equal.

A fine-tuned model is saved complete, in Hugging Face format. A role is saved as a PEFT adapter on
that model or, with full parameters, complete as well; its head lies beside it. An adapter names its
base by a relative path, so that both can be moved; PEFT loads it onto that base, and `solon merge`
makes one model of the two.
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
from rlhf_core.models.adapter_roles import ADAPTER_CONFIG, AdapterRoles, adapter_base
from rlhf_core.models.architecture import fit_attention
from rlhf_core.models.device import Compute
from rlhf_core.models.full_roles import FullRoles
from rlhf_core.models.generation import complete_generation_config
from rlhf_core.models.loading import load_language_model, load_tokenizer
from rlhf_core.models.roles import Role, Roles
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Trunk

HEAD = "head.safetensors"
HEADED = (Role.CRITIC, Role.REWARD)
"""Roles that cannot work without their head. A policy's head is the shared critic's and is not
saved: the policy's answers do not depend on it."""
NORMALISED = {"normalised": "each head"}
"""Metadata of a head file. In a file without it, several heads share one mean and deviation."""
ROUNDING = {torch.float32: 2**-8}
"""Share of the largest output by which rounding may change outputs; 2^-5 in half precision. Equal
weights elsewhere in memory may be multiplied in another order, and activations of some ten
thousand, which SmolLM2 has, make 2e-4 of that in fp32. The weights themselves are compared exactly.
"""
PROBE_TOKENS = 8


def new_roles(
    load: Callable[[torch.dtype], PreTrainedModel], compute: Compute, lora_rank: int | None
) -> Roles:
    """Return roles on a model loaded in the precision that they need.

    Args:
        load: Loads the model in a precision, in evaluation mode, on the compute's device; on the
            CPU if its layers are to be sharded.
        compute: Device and precision.
        lora_rank: LoRA rank of each role's adapter; None gives each role full parameters.

    Returns:
        The roles, with the reference alone.
    """
    if lora_rank is None:
        return FullRoles(partial(load, torch.float32), compute)
    return AdapterRoles(partial(load, compute.dtype), compute, lora_rank)


def open_trunk(name: str, compute: Compute, lora_rank: int | None) -> Trunk:
    """Load a trunk.

    Args:
        name: A bundled name, a folder or a hub id.
        compute: Device and precision.
        lora_rank: LoRA rank of each role's adapter; None gives each role full parameters.

    Returns:
        The trunk, with the reference alone.

    Raises:
        ModelNotFoundError: If the model cannot be loaded, or its architecture is not supported.
    """

    def load(dtype: torch.dtype) -> PreTrainedModel:
        if not compute.shard:
            return load_language_model(name, dtype, compute.device)
        model = load_language_model(name, dtype, torch.device("cpu"))
        fit_attention(model, compute.device)  # the device it will compute on, not the current one
        return model

    return Trunk(new_roles(load, compute, lora_rank), load_tokenizer(name), compute)


def save_merged(trunk: Trunk, role: Role, folder: Path) -> None:
    """Save a role as a plain model with its tokenizer. The trunk cannot be used afterwards.

    Args:
        trunk: Holds the role.
        role: The role to merge with its base.
        folder: Destination; replaced if it exists.

    Raises:
        TrainingError: If the saved model does not answer as the one in memory does.
    """
    save_plain(trunk.roles.merge(role), trunk.tokenizer, folder)


def save_plain(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save a model as transformers loads it.

    Args:
        model: The model, with all its weights in one piece.
        tokenizer: Its tokenizer; the ends of an answer that it knows go into the generation config.
        folder: Destination; replaced if it exists.

    Raises:
        TrainingError: If the saved model does not answer as the one in memory does.
    """
    complete_generation_config(model, tokenizer)
    with whole_folder(folder) as unfinished:
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        saved = load_language_model(str(unfinished), model.dtype, model.device)
        ids = torch.arange(PROBE_TOKENS, device=model.device)[None]
        _require_same_weights(folder, model, saved)
        with torch.no_grad():
            kept, reloaded = (each(input_ids=ids).logits for each in (model, saved))
        _require_equal(folder, kept, reloaded, model.dtype)


def save_role(trunk: Trunk, role: Role, folder: Path, base: Path) -> None:
    """Save a role's weights, and its head if it needs one.

    Args:
        trunk: Holds the role.
        role: The role to save.
        folder: Destination; replaced if it exists.
        base: The trunk's own folder, which an adapter names as its base.

    Raises:
        TrainingError: If the saved role does not answer as the one in memory does.
    """
    with trunk.acting_as(role) as model:
        complete_generation_config(model, trunk.tokenizer)
    with whole_folder(folder) as unfinished:
        trunk.roles.write(role, unfinished, base)
        if role in HEADED:
            save_file(trunk.heads[role].state_dict(), unfinished / HEAD, NORMALISED)
        trunk.tokenizer.save_pretrained(unfinished)
        trunk.roles.read(Role.RELOADED, unfinished)
        if role in HEADED:
            trunk.load_head(Role.RELOADED, load_file(unfinished / HEAD))
        try:
            _require_same_parameters(folder, trunk, role)
            kept, read = (_probe(trunk, each, role in HEADED) for each in (role, Role.RELOADED))
            _require_equal(folder, kept, read, trunk.compute.dtype)
        finally:
            trunk.remove_role(Role.RELOADED)


def load_role(trunk: Trunk, role: Role, folder: Path) -> None:
    """Load a saved role onto a trunk.

    Args:
        trunk: Without that role.
        role: The role to load it as.
        folder: The folder that `save_role` wrote.

    Raises:
        ModelNotFoundError: If the role needs a head and has none, or has several heads that were
            normalised together.
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
            "their differences are no disagreement; train the reward model again"
        )
    trunk.roles.read(role, folder)
    trunk.load_head(role, weights)


def is_reward_model(folder: Path) -> bool:
    """Return True if a folder holds a reward model that Solon saved.

    A head alone is no proof: earlier versions saved a policy with its shared critic's head.
    """
    return (folder / HEAD).exists() and not folder.name.startswith(f"{Role.POLICY}-")


def load_saved(folder: Path, compute: Compute) -> tuple[Trunk, Role]:
    """Load a model that Solon saved: an adapter with its base, or a complete model.

    Args:
        folder: The folder of a fine-tuned model, a policy or a reward model.
        compute: Device and precision.

    Returns:
        A trunk, and the role on it that acts as the saved model, with the head of a reward model.

    Raises:
        ModelNotFoundError: If a part of the model is missing.
    """
    if (folder / ADAPTER_CONFIG).exists():
        adapter = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        trunk = open_trunk(adapter_base(folder), compute, adapter["r"])
        role = Role.RELOADED
        trunk.roles.read(role, folder)
    else:
        trunk, role = open_trunk(str(folder), compute, None), Role.REFERENCE
    if is_reward_model(folder):
        trunk.load_head(role, load_file(folder / HEAD))
    return trunk, role


@torch.no_grad()
def _probe(trunk: Trunk, role: Role, has_score: bool) -> torch.Tensor:
    """Return a role's output on a probe; of a sharded trunk its weights, as no rank runs alone."""
    if is_sharded(trunk.language_model):
        return torch.cat([weights.flatten() for weights in trunk.parameters(role)])
    batch = trunk.batch([TokenSequence(tuple(range(PROBE_TOKENS)), (trunk.eos_id,))])
    if has_score:
        return trunk.sequence_scores(role, batch)
    return trunk.token_logprobs(role, batch, temperature=1.0)


def _require_same_weights(folder: Path, kept: PreTrainedModel, reloaded: PreTrainedModel) -> None:
    read = reloaded.state_dict()
    for name, weights in kept.state_dict().items():
        if name not in read or not torch.equal(weights, read[name]):
            raise TrainingError(f"{folder}: the weights {name} read back differently; not kept")


def _require_same_parameters(folder: Path, trunk: Trunk, role: Role) -> None:
    if is_sharded(trunk.language_model):
        return  # the probe compares them
    saved = trunk.parameters if role in HEADED else trunk.roles.parameters
    kept, read = (list(saved(each)) for each in (role, Role.RELOADED))
    if len(kept) != len(read) or not all(map(torch.equal, kept, read)):
        raise TrainingError(f"{folder}: the weights of {role} read back differently; not kept")


def _require_equal(
    folder: Path, kept: torch.Tensor, reloaded: torch.Tensor, dtype: torch.dtype
) -> None:
    """Refuse outputs that differ by more than rounding: in bf16, equal weights may round apart."""
    difference = (kept - reloaded).abs().max().item()
    if not difference <= ROUNDING.get(dtype, 2**-5) * max(1.0, kept.abs().max().item()):
        raise TrainingError(f"{folder} reads back differently (by {difference:.2g}); not kept")
