"""Two ranks write a checkpoint of shards, rank 1 onto a full disk; rank 0 prints what each met."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard

from rlhf_core.algorithms.checkpoints import Checkpoints, TrainingState
from rlhf_core.distributed.ranks import all_gather_mapping, join_ranks, leave_ranks, rank
from rlhf_core.errors import SolonError
from tests.rlhf_core.distributed.full_disk import largest_file


class Part:
    """One sharded weight."""

    def __init__(self) -> None:
        layer = nn.Linear(64, 64, bias=False)
        fully_shard(layer)
        self.parameters: Sequence[nn.Parameter] = list(layer.parameters())

    def state(self) -> dict[str, Tensor]:
        return {"0": self.parameters[0].detach()}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        self.parameters[0].copy_(state["0"])


def main() -> None:
    join_ranks()
    training, checkpoints = TrainingState({"part": Part()}), Checkpoints(Path(sys.argv[1]))
    met = ""
    try:
        with largest_file(1024) if rank() == 1 else nullcontext():
            checkpoints.save(1, training)
    except SolonError as error:
        met = f"{type(error).__name__}: {error}"
    for number, error in sorted(all_gather_mapping({rank(): met}).items()):
        if rank() == 0:
            print(number, error)
    checkpoints.save(2, training)
    step, _ = checkpoints.resume(training)
    if rank() == 0:
        print(step)
    leave_ranks()


if __name__ == "__main__":
    main()
