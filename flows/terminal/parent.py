"""Ending with the process that started this one, however that one ends: also by SIGKILL."""

import os
import signal
import threading
import time

from flows.terminal.stopping import end_now

POLL_SECONDS = 0.5
GRACE_SECONDS = 3.0


def end_with(parent: int) -> None:
    """End this process soon after `parent`, which started it, is gone.

    A process whose parent is gone has another one. A thread looks, for Linux alone could tell it by
    a signal.

    Args:
        parent: Its process id.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    end_now(signal.SIGTERM)
