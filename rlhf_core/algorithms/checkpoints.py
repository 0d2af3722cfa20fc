"""Where a training stands, so that one that was killed goes on as if it had not been, to the bit.

A checkpoint holds parameters, moments, steps taken, and whatever else moves. Nothing random is in
it: each draw's seed follows from the training's seed and the step.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf_core.algorithms.optimisation import MovingAverage, Updater
from rlhf_core.models.artifacts import whole_folder
from rlhf_core.models.ranks import of_first, rank
from rlhf_core.models.trunk import Role

TENSORS, NUMBERS = "state.safetensors", "numbers.json"


@dataclass
class Standing:
    """The parts of a training that move, by name; a checkpoint is taken of all of them."""

    updaters: Mapping[Role, Updater]
    average: MovingAverage | None = None


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
        tensors = {
            f"{name}/{key}": value.contiguous()
            for name, updater in standing.updaters.items()
            for key, value in updater.state().items()
        }
        if standing.average is not None:
            averages = standing.average.averages
            tensors |= {f"average/{n}": value for n, value in enumerate(averages)}
        target = self.folder / f"step-{step:08d}"
        with whole_folder(target) as unfinished:
            save_file(tensors, unfinished / TENSORS)
            (unfinished / NUMBERS).write_text(json.dumps(numbers))
        for older in self._found():
            if older != target:
                shutil.rmtree(older)

    def resume(self, standing: Standing) -> tuple[int, dict[str, float]]:
        """Put the parts where the last checkpoint left them.

        Returns:
            The step it was taken after, 0 where there is none, and the numbers.
        """
        found = of_first(self._found)
        if not found:
            return 0, {}
        tensors = load_file(found[-1] / TENSORS)
        for name, updater in standing.updaters.items():
            updater.load(_under(tensors, name))
        if standing.average is not None:
            for number, value in _under(tensors, "average").items():
                standing.average.averages[int(number)].copy_(value)
        numbers = json.loads((found[-1] / NUMBERS).read_text())
        return int(found[-1].name.removeprefix("step-")), numbers

    def clear(self) -> None:
        """Remove what is kept: the training has ended."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob("step-*")) if self.folder is not None else []


NONE_KEPT = Checkpoints()


def _under(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}/"
    return {key.removeprefix(prefix): v for key, v in tensors.items() if key.startswith(prefix)}


def after(steps: Iterator[list[int]], done: int) -> Iterator[tuple[int, list[int]]]:
    """The steps that are left, with their numbers from 1."""
    for step, indices in enumerate(steps, start=1):
        if step > done:
            yield step, indices
