"""Runs `solon` with these arguments; the process that follows fails at its first optimizer step.

python -m tests.flows.follower_fails error|bug|kill run CONFIG …
"""

import os
import signal
import sys

from flows.cli import main
from rlhf_core.algorithms.optimisation import Updater
from rlhf_core.distributed.launch import launched_rank
from rlhf_core.errors import TrainingError

how = sys.argv.pop(1)


def step(self: Updater) -> tuple[float, float]:
    if how == "error":
        raise TrainingError("the follower has had enough")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise ZeroDivisionError


if launched_rank() == 1:
    Updater.step = step  # type: ignore[method-assign]
main.main()
