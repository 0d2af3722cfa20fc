"""Checkpoints of a training: a killed training resumes and ends in the same weights, to the bit.

A checkpoint holds parameters, moments, steps taken, answers drawn, and all other state that
changes. It holds no random state: each seed follows from the training's seed and the step.

Of a sharded training each rank writes its own shards (torch.distributed.checkpoint). It may resume
on another number of ranks, then no longer to the bit.
"""

import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.state_dict_loader import load as load_shards
from torch.distributed.checkpoint.state_dict_saver import save as save_shards
from torch.distributed.checkpoint.storage import WriteResult
from torch.distributed.tensor import DTensor
from torch.futures import Future

from rlhf_core.distributed.folders import shared_whole_folder
from rlhf_core.distributed.ranks import failing_together, from_rank_zero, rank, world_size
from rlhf_core.distributed.sharding import as_shard_of, rows_of_rank
from rlhf_core.files.whole import whole_folder
from rlhf_core.models.sequences import TokenSequence

TENSORS, NUMBERS = "state.safetensors", "numbers.json"


class Stateful(Protocol):
    """A part of a training whose state can be saved and loaded."""

    @property
    def parameters(self) -> Sequence[nn.Parameter]:
        """Parameters by number: state whose name ends in a number is sharded as that one is."""

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load a state that the same kind of object returned."""


class DrawnSequences(list[TokenSequence]):
    """Answers that were drawn and will be learnt from."""

    parameters = ()

    def state(self) -> dict[str, Tensor]:
        """Return all tokens in one row, and the lengths of each prompt and response, (N, 2)."""
        tokens = [token for s in self for token in (*s.prompt_ids, *s.response_ids)]
        lengths = [(len(s.prompt_ids), len(s.response_ids)) for s in self]
        return {"tokens": torch.tensor(tokens), "lengths": torch.tensor(lengths)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        tokens = iter(state["tokens"].tolist())
        self[:] = [
            TokenSequence(tuple(islice(tokens, prompt)), tuple(islice(tokens, response)))
            for prompt, response in state["lengths"].tolist()
        ]


@dataclass
class TrainingState:
    """The stateful parts of a training by name; a checkpoint saves all of them."""

    parts: Mapping[str, Stateful]

    def state(self) -> dict[str, Tensor]:
        return {
            f"{name}/{key}": value.contiguous()
            for name, part in self.parts.items()
            for key, value in part.state().items()
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        for name, part in self.parts.items():
            prefix = f"{name}/"
            own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            part.load(own)

    def shard(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return whole tensors of a state sharded as those of this training are."""
        sharded = dict(state)
        for key, value in state.items():
            like = self._like(key, value.shape)
            if isinstance(like, DTensor):
                sharded[key] = as_shard_of(like, value[rows_of_rank(like)])
        return sharded

    def empty(self, sizes: Mapping[str, TensorStorageMetadata]) -> dict[str, Tensor]:
        """Return a state without values, sharded as this training is, to read a checkpoint into."""
        state: dict[str, Tensor] = {}
        for key, stored in sizes.items():
            like, dtype = self._like(key, stored.size), stored.properties.dtype
            if like is None:
                state[key] = torch.empty(stored.size, dtype=dtype)
            else:
                state[key] = torch.empty_like(like, dtype=dtype, requires_grad=False)
        return state

    def _like(self, key: str, size: torch.Size) -> nn.Parameter | None:
        """Return the parameter that a part of the state belongs to, if it has its size."""
        name, _, own = key.partition("/")
        number = own.rpartition(".")[2]
        parameters = self.parts[name].parameters
        if not number.isdecimal() or int(number) >= len(parameters):
            return None
        parameter = parameters[int(number)]
        return parameter if parameter.shape == size else None


class Checkpoints:
    """The last checkpoint of one training, in a folder of its own; it is complete or absent.

    Args:
        folder: A folder for this training alone; None saves nothing.
        every: Number of steps from one checkpoint to the next.
    """

    def __init__(self, folder: Path | None = None, every: int = 1) -> None:
        self.folder = folder
        self.every = every

    def save(self, step: int, training: TrainingState, **numbers: float) -> None:
        """Save a checkpoint if one is due after this step; all ranks call this.

        Rank 0 writes what is replicated, and every rank its shards.

        Args:
            step: Number of the step, from 1.
            training: All stateful parts.
            numbers: Further numbers, such as an adaptive coefficient.
        """
        if self.folder is None or step % self.every:
            return
        target, state = self.folder / f"step-{step:08d}", training.state()
        if any(isinstance(tensor, DTensor) for tensor in state.values()):
            with shared_whole_folder(target) as unfinished:
                with _first_failure():
                    save_shards(state, storage_writer=_ShardWriter(unfinished))
                if rank() == 0:
                    (unfinished / NUMBERS).write_text(json.dumps(numbers))
        else:
            from_rank_zero(partial(_write_whole, target, state, numbers))
        from_rank_zero(partial(self._remove_all_but, target))

    def resume(self, training: TrainingState) -> tuple[int, dict[str, float]]:
        """Load the last checkpoint into the parts, if there is one.

        Returns:
            The step after which it was saved, 0 if there is none, and its numbers.
        """
        folders = from_rank_zero(self._folders)
        if not folders:
            return 0, {}
        last = folders[-1]
        with failing_together():
            numbers = json.loads((last / NUMBERS).read_text())
            is_whole = (last / TENSORS).exists()
            whole = training.shard(load_file(last / TENSORS)) if is_whole else {}
        training.load(whole if is_whole else _read_shards(last, training))
        return int(last.name.removeprefix("step-")), numbers

    def clear(self) -> None:
        """Remove all checkpoints, after the training has ended."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _remove_all_but(self, last: Path) -> None:
        for folder in self._folders():
            if folder != last:
                shutil.rmtree(folder)

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("step-*")) if self.folder is not None else []


def _write_whole(target: Path, state: Mapping[str, Tensor], numbers: Mapping[str, float]) -> None:
    with whole_folder(target) as unfinished:
        save_file(dict(state), unfinished / TENSORS)
        (unfinished / NUMBERS).write_text(json.dumps(numbers))


def _read_shards(folder: Path, training: TrainingState) -> dict[str, Tensor]:
    """Return the state in a sharded checkpoint; each rank reads what it holds."""
    with failing_together():
        sizes = FileSystemReader(folder).read_metadata().state_dict_metadata
        state = training.empty(
            {key: size for key, size in sizes.items() if isinstance(size, TensorStorageMetadata)}
        )
    with warnings.catch_warnings(), _first_failure():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")  # on purpose, alone
        load_shards(state, checkpoint_id=folder, no_dist=world_size() == 1)
    return state


class _ShardWriter(FileSystemWriter):
    """Writer of a rank's shards that raises the system's error, which PyTorch hides by its own."""

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        try:
            return super().write_data(plan, planner)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


@contextmanager
def _first_failure() -> Iterator[None]:
    """Raise the error of the first rank that failed, on all ranks, instead of PyTorch's report."""
    try:
        yield
    except CheckpointException as report:
        error, _ = report.failures[min(report.failures)]
        raise error from None


NO_CHECKPOINTS = Checkpoints()


def remaining_steps(steps: Iterator[list[int]], done: int) -> Iterator[tuple[int, list[int]]]:
    """Yield the steps after the first `done`, with their numbers from 1."""
    for step, indices in enumerate(steps, start=1):
        if step > done:
            yield step, indices
