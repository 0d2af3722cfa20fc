"""A program that ends with the command that started it; of any environment, also without Solon.

    python -m flows.service.watched_process PARENT PROGRAM ARGUMENT…

It starts the program, and stops it at SIGTERM, or when its parent is gone, even by SIGKILL.
"""

import os
import signal
import subprocess
import sys
from types import FrameType

from flows.terminal.parent import end_with

NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "RANK", "WORLD_SIZE", "LOCAL_RANK")
"""Variables of Solon's own environment, and of torchrun's, that would mislead the program."""


def main() -> None:
    """Run the program until it ends, SIGTERM comes, or the parent is gone."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    end_with(parent)
    kept = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    program = subprocess.Popen(command, env=kept)

    def stop(number: int, frame: FrameType | None) -> None:
        program.terminate()

    signal.signal(signal.SIGTERM, stop)
    sys.exit(program.wait())


if __name__ == "__main__":
    main()
