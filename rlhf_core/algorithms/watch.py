"""A watch over a training: it may end it, with the best weights so far instead of the last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from rlhf_core.distributed.collective import RankZeroOnly
from rlhf_core.distributed.ranks import from_rank_zero
from rlhf_core.distributed.sharding import as_shard_of, own_shard


@dataclass(frozen=True)
class StepVerdict:
    """The verdict of a watch on a step."""

    is_best: bool = False
    """True if the weights that sampled the step's answers are the best so far."""
    is_last: bool = False
    """True if the training has to end, with the best weights."""


class Watch(Protocol):
    """Judges each step that a training yields; it lives on rank 0."""

    def verdict(self) -> StepVerdict:
        """Return the verdict on the last step that was yielded."""


class WatchedWeights:
    """The best weights of a watched training so far; at first those that it began from.

    The copies are in the memory of the CPU, of a sharded policy each rank's shards on its own, and
    a checkpoint holds the best one.

    Args:
        parameters: The policy's parameters.
        watch: The watch, on rank 0.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], watch: RankZeroOnly[Watch]) -> None:
        self.parameters = parameters
        self.watch = watch
        self.best = self.sampling = _copies(parameters)

    def state(self) -> dict[str, Tensor]:
        pairs = zip(self.parameters, self.best, strict=True)
        return {
            str(n): as_shard_of(parameter, weights) for n, (parameter, weights) in enumerate(pairs)
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.best = _copies([state[str(number)] for number in range(len(self.best))])

    def begin_step(self) -> None:
        """Copy the weights that sample the answers of a step, before any update."""
        self.sampling = _copies(self.parameters)

    @torch.no_grad()
    def end_step(self) -> bool:
        """Ask the watch about the step; return True if the training ends, with the best weights."""
        verdict = from_rank_zero(self._verdict)
        if verdict.is_best:
            self.best = self.sampling
        if verdict.is_last:
            for parameter, weights in zip(self.parameters, self.best, strict=True):
                own_shard(parameter).copy_(weights)
        return verdict.is_last

    def _verdict(self) -> StepVerdict:
        assert self.watch.value is not None, "the watch is on rank 0"
        return self.watch.value.verdict()


def _copies(weights: Sequence[Tensor]) -> list[Tensor]:
    """Return copies on the CPU; of a sharded weight, of this rank's shard."""
    return [own_shard(weight.detach()).to("cpu", copy=True) for weight in weights]
