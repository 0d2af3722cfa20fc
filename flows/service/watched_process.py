"""A program that ends with the command that started it; of any environment, also without Solon.

    python -m flows.service.watched_process PARENT PROGRAM ARGUMENT…

It starts the program, and stops it at SIGTERM, or when its parent is gone, even by SIGKILL. The
program has a session of its own: Ctrl-C reaches Solon alone, which then stops it, and whatever the
program started and left behind is killed with it.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from types import FrameType

NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "RANK", "WORLD_SIZE", "LOCAL_RANK")
"""Variables of Solon's own environment, and of torchrun's, that would mislead the program."""
POLL_SECONDS = 0.2
GRACE_SECONDS = 10.0
"""Time between SIGTERM to the program and SIGKILL to all that it started."""
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the program until it ends, SIGTERM comes, or the parent is gone."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    kept = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    program = subprocess.Popen(
        command, env=kept, start_new_session=True, preexec_fn=_end_with_this_process
    )
    kill_at: float | None = None

    def stop(number: int = 0, frame: FrameType | None = None) -> None:
        nonlocal kill_at
        if kill_at is None:
            kill_at = time.monotonic() + GRACE_SECONDS
            program.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    while program.poll() is None and (kill_at is None or time.monotonic() < kill_at):
        if os.getppid() != parent:
            stop()
        with suppress(subprocess.TimeoutExpired):
            program.wait(POLL_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
    sys.exit(program.wait())


def _end_with_this_process() -> None:
    """Have Linux send SIGTERM to the program if this process is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main()
