"""Weights in a model's safetensors files, read one by one: whole, or this rank's shard alone.

A model is first built without weights. So loading never holds more of it than the rank keeps, and a
saved model is compared with the one in memory without a second copy of it.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import torch
from accelerate import init_empty_weights
from huggingface_hub import snapshot_download
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from rlhf_core.distributed.ranks import failing_together, rank
from rlhf_core.distributed.sharding import (
    as_shard_of,
    gathered,
    is_sharded,
    own_shard,
    reshard,
    rows_of_rank,
    shard_alike,
)
from rlhf_core.models.architecture import fit_attention
from rlhf_core.models.device import Compute
from rlhf_core.models.loading import load_language_model, locate, read_config
from rlhf_core.models.lora_folder import is_adapter

logger = logging.getLogger(__name__)

WEIGHTS, INDEX, GENERATION = (
    "model.safetensors",
    "model.safetensors.index.json",
    "generation_config.json",
)
FILE_BYTES = 2 * 2**30
"""Largest file that a sharded model is written to, which rank 0 holds in memory."""


class StoredWeights:
    """The weights in the safetensors files of a folder.

    Args:
        folder: A folder as transformers writes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def files(self) -> Mapping[str, str]:
        """The name of the file that holds each weight."""
        if (self.folder / INDEX).exists():
            index = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))
            return dict(index["weight_map"])
        if not (self.folder / WEIGHTS).exists():
            return {}
        with safe_open(self.folder / WEIGHTS, "pt") as file:
            return dict.fromkeys(file.keys(), WEIGHTS)

    def holds(self, model: nn.Module) -> bool:
        """Return True if every weight of a model is stored under one of its names, in its shape."""
        return all(
            any(self._shape(name) == list(weight.shape) for name in names)
            for names, weight in unique_weights(model)
        )

    def read(self, names: tuple[str, ...], like: Tensor) -> Tensor:
        """Return a weight as it is stored; of a sharded one, the rows of this rank's shard.

        Args:
            names: The names that the weight has in a model, of which one is stored.
            like: The weight in the model, with any values.
        """
        name = next(name for name in names if name in self.files)
        with safe_open(self.folder / self.files[name], "pt") as file:
            if not isinstance(like, DTensor):
                return file.get_tensor(name)
            return file.get_slice(name)[rows_of_rank(like)]

    def _shape(self, name: str) -> list[int] | None:
        if name not in self.files:
            return None
        with safe_open(self.folder / self.files[name], "pt") as file:
            return list(file.get_slice(name).get_shape())


def unique_weights(model: nn.Module) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Yield each weight of a model once, with all names that it has; tied weights have several."""
    names: dict[int, list[str]] = {}
    weights: dict[int, Tensor] = {}
    for name, weight in model.state_dict(keep_vars=True).items():
        names.setdefault(id(weight), []).append(name)
        weights[id(weight)] = weight
    for key, weight in weights.items():
        yield tuple(names[key]), weight


def empty_model(name: str, dtype: torch.dtype) -> PreTrainedModel:
    """Return a causal language model without weights: parameters on meta, buffers on the CPU.

    Args:
        name: A bundled name, a folder or a hub id.
        dtype: Precision of the weights.

    Raises:
        ModelNotFoundError: If its config cannot be loaded.
    """
    with init_empty_weights(include_buffers=False):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            read_config(name), dtype=dtype, attn_implementation="eager", trust_remote_code=False
        )
    model.tie_weights()
    folder = _weights_folder(name)
    if folder is not None and (folder / GENERATION).exists():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return model.eval()


def load_for_sharding(name: str, dtype: torch.dtype) -> PreTrainedModel:
    """Return a model to shard: without weights if its files can be read in shards, else whole.

    Args:
        name: A bundled name, a folder or a hub id.
        dtype: Precision of the weights.

    Raises:
        ModelNotFoundError: If it cannot be loaded.
    """
    folder = _weights_folder(name)
    if folder is not None:
        model = empty_model(name, dtype)
        if StoredWeights(folder).holds(model):
            return model
    logger.info("%s: its files cannot be read in shards, so each process reads all of them", name)
    return load_language_model(name, dtype, torch.device("cpu"))


def fill_shards(model: PreTrainedModel, name: str, compute: Compute) -> None:
    """Read this rank's shards of a sharded model's weights, and choose its attention.

    Args:
        model: From `load_for_sharding`, sharded since; its parameters keep their precision.
        name: The name that it was loaded by.
        compute: Device of this rank.
    """
    folder = _weights_folder(name)
    if folder is not None and any(parameter.is_meta for parameter in model.parameters()):
        stored, stored_as = StoredWeights(folder), _names_of_tied(name, model)
        assign(
            model,
            {
                names: stored.read(stored_as[names[0]], weight).to(compute.device, weight.dtype)
                for names, weight in unique_weights(model)
            },
        )
    model.to(compute.device)  # type: ignore[arg-type]  # their wrapper hides `to`
    with compute.autocast():  # some weights may be rounded to its precision, and others not
        fit_attention(model, compute.device, compute.attention)
    reshard(model)  # after the pass that chose the attention


def _names_of_tied(name: str, model: PreTrainedModel) -> dict[str, tuple[str, ...]]:
    """Return all names of the stored weight that each weight of a model is.

    An output embedding that is rounded on its own is tied no more, and stored as the input's.

    Args:
        name: The name that the model was loaded by.
        model: The model, whose weights may be tied no more.
    """
    tied = empty_model(name, model.dtype)
    return {each: names for names, _ in unique_weights(tied) for each in names}


def assign(model: PreTrainedModel, values: Mapping[tuple[str, ...], Tensor]) -> None:
    """Make tensors the weights of a model, without a copy.

    Args:
        model: Its weights may be on meta.
        values: By all names of a weight, its values; of a sharded one, those of this rank's shard.
    """
    former = model.state_dict(keep_vars=True)
    state: dict[str, Tensor] = {}
    for names, value in values.items():
        weight = former[names[0]]
        value = as_shard_of(weight, value)
        if isinstance(weight, nn.Parameter):
            value = nn.Parameter(value, weight.requires_grad)
        state |= dict.fromkeys(names, value)
    model.load_state_dict(state, assign=True)


def sharing_weights(name: str, model: PreTrainedModel) -> PreTrainedModel:
    """Return a model of a stored config with the weights of another, which it shares.

    Args:
        name: Folder of the config.
        model: Whole, or sharded; then all ranks call this.
    """
    with failing_together():
        other = empty_model(name, model.dtype)
    if is_sharded(model):
        shard_alike(other, model)
    weights = unique_weights(model)
    assign(other, {names: own_shard(weight.detach()) for names, weight in weights})
    other.to(model.device)  # type: ignore[arg-type]  # their wrapper hides `to`
    fit_attention(other, model.device)
    return other


def write_model(model: PreTrainedModel, folder: Path) -> None:
    """Save a model as transformers loads it; all ranks call this for a sharded one.

    Args:
        model: Whole, or sharded: then one file after another is gathered, and rank 0 writes it.
        folder: An existing folder.
    """
    if not is_sharded(model):
        model.save_pretrained(folder)
        return
    files = _files(model)
    names = [_file_name(number, len(files)) for number in range(1, len(files) + 1)]
    for name, weights in zip(names, files, strict=True):
        whole = {weight_name: gathered(weight.detach()) for weight_name, weight in weights.items()}
        with failing_together():
            if rank() == 0:
                cpu = {key: weight.cpu().contiguous() for key, weight in whole.items()}
                save_file(cpu, folder / name, {"format": "pt"})
    with failing_together():
        if rank() == 0:
            _write_index(dict(zip(names, files, strict=True)), folder)
            _write_config(model, folder)


def _write_index(files: Mapping[str, Mapping[str, Tensor]], folder: Path) -> None:
    """Write which of several files holds each weight."""
    if len(files) > 1:
        places = {key: name for name, weights in files.items() for key in weights}
        total = sum(_size(weight) for weights in files.values() for weight in weights.values())
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def _write_config(model: PreTrainedModel, folder: Path) -> None:
    model.config.dtype = str(model.dtype).removeprefix("torch.")
    model.config.architectures = [type(model).__name__.removeprefix("FSDP")]
    model.config.save_pretrained(folder)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(folder)


def first_difference(model: PreTrainedModel, folder: Path) -> str | None:
    """Return the name of a weight that a folder holds otherwise than a model; None without any.

    Args:
        model: Whole or sharded; then each rank compares its own shards.
        folder: The folder that the model was saved to.
    """
    stored = StoredWeights(folder)
    for names, weight in unique_weights(model):
        mine = own_shard(weight.detach())
        if not any(name in stored.files for name in names):
            return names[0]
        read = stored.read(names, weight).to(mine.device)
        if read.dtype != mine.dtype or not torch.equal(read, mine):
            return names[0]
    return None


def _weights_folder(name: str) -> Path | None:
    """Return the folder of a model's files, downloaded if need be; None for an adapter's."""
    location = locate(name)
    folder = Path(location)
    if not folder.is_dir():
        folder = Path(snapshot_download(location, allow_patterns=["*.safetensors", "*.json"]))
    return None if is_adapter(folder) else folder


def _files(model: PreTrainedModel) -> list[dict[str, Tensor]]:
    """Return the weights of each file that a model is written to, by their first name."""
    files: list[dict[str, Tensor]] = [{}]
    size = 0
    for names, weight in unique_weights(model):
        if files[-1] and size + _size(weight) > FILE_BYTES:
            files.append({})
            size = 0
        files[-1][names[0]] = weight
        size += _size(weight)
    return files


def _file_name(number: int, count: int) -> str:
    return WEIGHTS if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"


def _size(weight: Tensor) -> int:
    return weight.numel() * weight.element_size()
