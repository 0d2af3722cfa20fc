"""Ending a process when its parent ends, even by SIGKILL."""

import os
import signal
import threading
import time

from flows.terminal.stopping import end_now

POLL_SECONDS = 0.5
GRACE_SECONDS = 3.0


def end_with(parent: int) -> None:
    """End this process soon after the process that started it is gone.

    A process whose parent is gone gets another parent. A thread polls for that, because only Linux
    can send a signal instead.

    Args:
        parent: Process id of the parent.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    end_now(signal.SIGTERM)
