"""Checkpoints of a training: a killed training resumes and ends in the same weights, to the bit.

A checkpoint holds parameters, moments, steps taken, answers drawn, and all other state that
changes. It holds no random state: each seed follows from the training's seed and the step.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf_core.distributed.ranks import from_rank_zero, rank
from rlhf_core.files.whole import whole_folder
from rlhf_core.models.sequences import TokenSequence

TENSORS, NUMBERS = "state.safetensors", "numbers.json"


class Stateful(Protocol):
    """A part of a training whose state can be saved and loaded."""

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load a state that the same kind of object returned."""


class DrawnSequences(list[TokenSequence]):
    """Answers that were drawn and will be learnt from."""

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
        """Save a checkpoint if one is due after this step. Only rank 0 saves.

        Args:
            step: Number of the step, from 1.
            training: All stateful parts.
            numbers: Further numbers, such as an adaptive coefficient.
        """
        if self.folder is None or step % self.every or rank() > 0:
            return
        target = self.folder / f"step-{step:08d}"
        with whole_folder(target) as unfinished:
            save_file(training.state(), unfinished / TENSORS)
            (unfinished / NUMBERS).write_text(json.dumps(numbers))
        for older in self._folders():
            if older != target:
                shutil.rmtree(older)

    def resume(self, training: TrainingState) -> tuple[int, dict[str, float]]:
        """Load the last checkpoint into the parts, if there is one.

        Returns:
            The step after which it was saved, 0 if there is none, and its numbers.
        """
        folders = from_rank_zero(self._folders)
        if not folders:
            return 0, {}
        last = folders[-1]
        training.load(load_file(last / TENSORS))
        numbers = json.loads((last / NUMBERS).read_text())
        return int(last.name.removeprefix("step-")), numbers

    def clear(self) -> None:
        """Remove all checkpoints, after the training has ended."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("step-*")) if self.folder is not None else []


NO_CHECKPOINTS = Checkpoints()


def remaining_steps(steps: Iterator[list[int]], done: int) -> Iterator[tuple[int, list[int]]]:
    """Yield the steps after the first `done`, with their numbers from 1."""
    for step, indices in enumerate(steps, start=1):
        if step > done:
            yield step, indices
