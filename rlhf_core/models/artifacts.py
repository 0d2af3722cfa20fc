"""Saving and loading trained models: completely or not at all, and only if they read back equal.

A fine-tuned model is saved complete, in Hugging Face format, with the adapter that was merged into
it in a folder of its own. A role is saved as a PEFT adapter on
that model or, with full parameters, complete as well; its head lies beside it. An adapter names its
base by a relative path, so that both can be moved; PEFT loads it onto that base, and `solon merge`
makes one model of the two.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf_core.distributed.folders import shared_whole_folder
from rlhf_core.distributed.ranks import any_rank, failing_together, from_rank_zero, rank
from rlhf_core.distributed.sharding import is_sharded, reshard
from rlhf_core.errors import ModelNotFoundError, TrainingError
from rlhf_core.models.adapter_files import ADAPTER_CONFIG, OWN_ADAPTER, adapter_base
from rlhf_core.models.adapter_roles import AdapterRoles
from rlhf_core.models.device import Compute
from rlhf_core.models.full_roles import FullRoles
from rlhf_core.models.generation import complete_generation_config
from rlhf_core.models.loading import load_language_model, load_tokenizer, read_config
from rlhf_core.models.lora_shape import LoraShape, shape_of, stored_shape
from rlhf_core.models.quantisation import refuse_stored_quantised
from rlhf_core.models.roles import HEADED, Fill, Role, Roles, leave_as_it_is
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.stored_weights import (
    StoredWeights,
    fill_shards,
    first_difference,
    load_for_sharding,
    sharing_weights,
    write_model,
)
from rlhf_core.models.trunk import Trunk

HEAD = "head.safetensors"
NORMALISED = {"normalised": "each head"}
"""Metadata of a head file. In a file without it, several heads share one mean and deviation."""
ROUNDING = {torch.float32: 2**-8}
"""Share of the largest output by which rounding may change outputs; 2^-5 in half precision. Equal
weights elsewhere in memory may be multiplied in another order, and activations of some ten
thousand, which SmolLM2 has, make 2e-4 of that in fp32. Weights are compared exactly."""
PROBE_TOKENS = 8
DEQUANTISED = ("mxfp4", "fp8")
"""Kinds of quantised files that transformers may dequantise, which shows once it is loaded."""


def new_roles(
    load: Callable[[torch.dtype], PreTrainedModel],
    compute: Compute,
    lora: int | LoraShape | None,
    fill: Fill = leave_as_it_is,
) -> Roles:
    """Return roles on a model loaded in the precision that they need.

    Args:
        load: Loads the model in a precision, in evaluation mode, on the compute's device; if its
            layers are to be sharded, on the CPU or without weights, and if they are to be
            quantised, on the CPU.
        compute: Device and precision.
        lora: Shape or rank of each role's adapter; None gives each role full parameters.
        fill: Reads the weights of a model from `load` once it is sharded.

    Returns:
        The roles, with the reference alone.
    """
    shape = shape_of(lora)
    if shape is None:
        return FullRoles(partial(load, torch.float32), compute, fill)
    return AdapterRoles(partial(load, compute.dtype), compute, shape, fill)


def open_trunk(name: str, compute: Compute, lora: int | LoraShape | None) -> Trunk:
    """Load a trunk; with `compute.shard` each rank reads its own shards of the files.

    A model that is to be quantised passes through the CPU's memory in the compute precision.

    Args:
        name: A bundled name, a folder or a hub id.
        compute: Device and precision.
        lora: Shape or rank of each role's adapter; None gives each role full parameters.

    Returns:
        The trunk, with the reference alone.

    Raises:
        ModelNotFoundError: If the model cannot be loaded, its files hold quantised weights, or its
            architecture is not supported.
    """
    refuse_stored_quantised(name, read_config(name), DEQUANTISED)
    if compute.shard:
        load = partial(load_for_sharding, name)
        fill: Fill = partial(fill_shards, name=name, compute=compute)
    else:
        shape = shape_of(lora)
        is_whole = shape is None or shape.quantization is None
        device = compute.device if is_whole else torch.device("cpu")
        load = partial(load_language_model, name, device=device, attention=compute.attention)
        fill = leave_as_it_is
    return Trunk(new_roles(load, compute, lora, fill), load_tokenizer(name), compute)


def save_merged(trunk: Trunk, role: Role, folder: Path, base: str | None = None) -> None:
    """Save a role as a plain model with its tokenizer. The trunk cannot be used afterwards.

    All ranks call this. A sharded model is written by all of them, any other by rank 0.

    Args:
        trunk: Holds the role.
        role: The role to merge with its base.
        folder: Destination; replaced if it exists.
        base: Name of the trunk's model. With it the adapter is kept beside the model, naming that.

    Raises:
        TrainingError: If the saved model does not answer as the one in memory does.
    """
    with _written_adapter(trunk, role, base) as adapter:
        merged = trunk.roles.merge(role)
        if is_sharded(merged):
            save_plain(merged, trunk.tokenizer, folder, adapter)
        else:
            from_rank_zero(lambda: save_plain(merged, trunk.tokenizer, folder, adapter))


@contextmanager
def _written_adapter(trunk: Trunk, role: Role, base: str | None) -> Iterator[Path | None]:
    """Write a role's adapter to a folder that is removed at the end; None if it has none."""
    if base is None or trunk.roles.model(role) is not None:
        yield None
        return
    with TemporaryDirectory() as scratch:
        own = Path(scratch) / OWN_ADAPTER
        own.mkdir()
        with failing_together():
            if rank() == 0:
                trunk.roles.write(role, own, Path(base).expanduser())
        yield own


def save_plain(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    adapter: Path | None = None,
) -> None:
    """Save a model as transformers loads it; all ranks call this for a sharded one.

    Args:
        model: The model.
        tokenizer: Its tokenizer; the ends of an answer that it knows go into the generation config.
        folder: Destination; replaced if it exists.
        adapter: Folder of an adapter to keep beside the model.

    Raises:
        TrainingError: If the saved model does not answer as the one in memory does.
    """
    complete_generation_config(model, tokenizer)
    with shared_whole_folder(folder) as unfinished:
        write_model(model, unfinished)
        with failing_together():
            if rank() == 0:
                tokenizer.save_pretrained(unfinished)
                if adapter is not None:
                    shutil.copytree(adapter, unfinished / OWN_ADAPTER)
        require_saved(folder, unfinished, model)


def save_role(trunk: Trunk, role: Role, folder: Path, base: Path) -> None:
    """Save a role's weights, and its head if it needs one.

    All ranks call this. A sharded model is written by all of them, any other role by rank 0.

    Args:
        trunk: Holds the role.
        role: The role to save.
        folder: Destination; replaced if it exists.
        base: The trunk's own folder, which an adapter names as its base.

    Raises:
        TrainingError: If the saved role does not answer as the one in memory does.
    """
    model = trunk.roles.model(role)
    if model is not None and is_sharded(model):
        _save_role(trunk, role, folder, base)
    else:
        from_rank_zero(lambda: _save_role(trunk, role, folder, base))


def _save_role(trunk: Trunk, role: Role, folder: Path, base: Path) -> None:
    with trunk.acting_as(role) as model:
        complete_generation_config(model, trunk.tokenizer)
    with shared_whole_folder(folder) as unfinished:
        trunk.roles.write(role, unfinished, base)
        with failing_together():
            if rank() == 0:
                if role in HEADED:
                    save_file(trunk.heads[role].state_dict(), unfinished / HEAD, NORMALISED)
                trunk.tokenizer.save_pretrained(unfinished)
        whole = trunk.roles.model(role)
        if whole is None:
            _require_saved_adapter(folder, unfinished, trunk, role)
            return
        require_saved(folder, unfinished, whole)
        if role in HEADED:
            read = load_file(unfinished / HEAD)
            for name, weight in trunk.heads[role].state_dict().items():
                if not torch.equal(weight.cpu(), read[name]):
                    raise _differs(folder, f"{role} ({HEAD})")


def require_saved(folder: Path, unfinished: Path, model: PreTrainedModel) -> None:
    """Refuse a saved model that is not the one in memory, weight for weight and in its outputs.

    Weights are read and compared one by one, and a second model of the saved config is given those
    in memory. So there is no second copy, except of a model that transformers saves under other
    names.

    Args:
        folder: Destination, for the message.
        unfinished: Where the model was saved.
        model: The model in memory, whole or sharded.

    Raises:
        TrainingError: If the saved model does not answer as the one in memory does.
    """
    if is_sharded(model) or StoredWeights(unfinished).holds(model):
        with failing_together():
            different = first_difference(model, unfinished)
        saved = sharing_weights(str(unfinished), model)
    else:
        saved = load_language_model(str(unfinished), model.dtype, model.device)
        different = _first_unequal(model.state_dict(), saved.state_dict())
    if any_rank(different is not None):
        raise _differs(folder, different or "another rank's shards")
    ids = torch.arange(PROBE_TOKENS, device=model.device)[None]
    with torch.no_grad():
        kept, reloaded = (each(input_ids=ids).logits for each in (model, saved))
    reshard(model)
    _require_equal(folder, kept, reloaded, model.dtype)


def _require_saved_adapter(folder: Path, unfinished: Path, trunk: Trunk, role: Role) -> None:
    """Read an adapter back as a role of its own, and refuse it if weights or outputs differ."""
    trunk.roles.read(Role.RELOADED, unfinished)
    if role in HEADED:
        trunk.load_head(Role.RELOADED, load_file(unfinished / HEAD))
    try:
        if not is_sharded(trunk.language_model):  # the probe compares them
            kept, read = (_weights(trunk, each, role in HEADED) for each in (role, Role.RELOADED))
            if _first_unequal(kept, read) is not None or kept.keys() != read.keys():
                raise _differs(folder, str(role))
        outputs = [_probe(trunk, each, role in HEADED) for each in (role, Role.RELOADED)]
        _require_equal(folder, outputs[0], outputs[1], trunk.compute.dtype)
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
        trunk = open_trunk(adapter_base(folder), compute, stored_shape(folder))
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


def _first_unequal(
    kept: Mapping[str, torch.Tensor], read: Mapping[str, torch.Tensor]
) -> str | None:
    """Return the name of the first weight that is missing or differs."""
    for name, weights in kept.items():
        if name not in read or not torch.equal(weights, read[name]):
            return name
    return None


def _differs(folder: Path, what: str) -> TrainingError:
    return TrainingError(f"{folder}: the weights of {what} read back differently; not kept")


def _weights(trunk: Trunk, role: Role, has_head: bool) -> dict[str, torch.Tensor]:
    head = trunk.heads[role].state_dict() if has_head else {}
    return trunk.roles.weights(role) | {f"{HEAD}/{name}": value for name, value in head.items()}


def _require_equal(
    folder: Path, kept: torch.Tensor, reloaded: torch.Tensor, dtype: torch.dtype
) -> None:
    """Refuse outputs that differ by more than rounding: in bf16, equal weights may round apart."""
    difference = (kept - reloaded).abs().max().item()
    if not difference <= ROUNDING.get(dtype, 2**-5) * max(1.0, kept.abs().max().item()):
        raise TrainingError(f"{folder} reads back differently (by {difference:.2g}); not kept")
