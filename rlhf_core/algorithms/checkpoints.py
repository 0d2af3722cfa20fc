"""Where a training stands, so that one that was killed goes on as if it had not been, to the bit.

A checkpoint holds parameters, moments, steps taken, answers drawn, and whatever else moves. Nothing
random is in it: each draw's seed follows from the training's seed and the step.
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


class Moving(Protocol):
    """What changes while a training goes on, and can be put back."""

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state of the same kind."""


class DrawnSequences(list[TokenSequence]):
    """Answers that were drawn and are still to be learnt from."""

    def state(self) -> dict[str, Tensor]:
        """All tokens in one line, and the lengths of each prompt and response, (N, 2)."""
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
class Standing:
    """The parts of a training that move, by name; a checkpoint is taken of all of them."""

    parts: Mapping[str, Moving]

    def state(self) -> dict[str, Tensor]:
        return {
            f"{name}/{key}": value.contiguous()
            for name, part in self.parts.items()
            for key, value in part.state().items()
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        for name, part in self.parts.items():
            prefix = f"{name}/"
            found = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
            part.load(found)


class Checkpoints:
    """The last checkpoint of one training, in a folder of its own; every one is whole or absent.

    Args:
        folder: Of this training alone; None keeps nothing.
        every: Steps from one to the next.
    """

    def __init__(self, folder: Path | None = None, every: int = 1) -> None:
        self.folder = folder
        self.every = every

    def save(self, step: int, standing: Standing, **numbers: float) -> None:
        """Keep how things stand after that step, if it is one of every so many.

        Args:
            step: From 1.
            standing: All parts that move.
            numbers: Others, such as an adaptive coefficient.
        """
        if self.folder is None or step % self.every or rank() > 0:
            return
        target = self.folder / f"step-{step:08d}"
        with whole_folder(target) as unfinished:
            save_file(standing.state(), unfinished / TENSORS)
            (unfinished / NUMBERS).write_text(json.dumps(numbers))
        for older in self._found():
            if older != target:
                shutil.rmtree(older)

    def resume(self, standing: Standing) -> tuple[int, dict[str, float]]:
        """Put the parts where the last checkpoint left them.

        Returns:
            The step it was taken after, 0 where there is none, and the numbers.
        """
        found = from_rank_zero(self._found)
        if not found:
            return 0, {}
        standing.load(load_file(found[-1] / TENSORS))
        numbers = json.loads((found[-1] / NUMBERS).read_text())
        return int(found[-1].name.removeprefix("step-")), numbers

    def clear(self) -> None:
        """Remove what is kept: the training has ended."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob("step-*")) if self.folder is not None else []


NONE_KEPT = Checkpoints()


def after(steps: Iterator[list[int]], done: int) -> Iterator[tuple[int, list[int]]]:
    """The steps that are left, with their numbers from 1."""
    for step, indices in enumerate(steps, start=1):
        if step > done:
            yield step, indices
