"""Ending a command by a signal: Ctrl-C, SIGTERM or a closed terminal.

The command prints one line, exits with the signal's code (130, 143 or 129) and leaves nothing
behind. A thread receives the signal, whatever the main thread does and whoever installed another
handler: Prefect installs its own while a flow runs. Then the main thread unwinds. If it does not
within a few seconds, the process exits as it is; every stage is made to survive that.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

import psutil

from rlhf_core.errors import TimeLimitError
from rlhf_core.files.whole import remove_unfinished

GRACE_SECONDS = 10.0
AGAIN_SECONDS = 1.0
"""Seconds after which a time limit rings again if an event loop has not raised it yet."""
CHILDREN_SECONDS = 1.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@dataclass
class _Listener:
    """The state of signal handling: the signal that came, and the reaction to it."""

    is_listening: bool = False
    number: int = 0
    doing: str = ""
    place: str = ""
    resume: str = ""
    is_quiet: bool = False
    unwinds: bool = False
    """True while an exception would end the main thread's work."""
    is_ending: bool = False
    """True once the work is done and the process is about to end by itself."""
    instead: Callable[[], None] | None = None
    """Called by the thread instead of unwinding the main thread."""
    is_said: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


_listener = _Listener()


def listen(*, is_quiet: bool = False) -> None:
    """Start to end by SIGNALS. A signal that is ignored, such as SIGHUP under nohup, stays ignored.

    Args:
        is_quiet: True if another process prints what was stopped.
    """
    if _listener.is_listening or threading.current_thread() is not threading.main_thread():
        return
    _listener.is_listening, _listener.is_quiet = True, is_quiet
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, interrupt)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_receive, args=(reading,), daemon=True, name="signals").start()


def describe(doing: str, resume: str = "") -> None:
    """Set the name of the work for the last line, and how to resume it."""
    _listener.doing, _listener.resume = doing, resume or _listener.resume


def at(place: str) -> None:
    """Set the place that the work has reached, for the last line."""
    _listener.place = f" in {place}"


def stop_by(stop: Callable[[], None]) -> None:
    """Set a function that the thread calls on a signal, instead of unwinding the main thread."""
    _listener.instead = stop


@contextmanager
def unwinding() -> Iterator[None]:
    """Let a signal end the block by an exception; at the end of the block the process exits."""
    _listener.unwinds, _listener.is_ending = True, False
    try:
        yield
        _listener.unwinds, _listener.is_ending = False, True
    except BaseException as error:
        _listener.unwinds = False
        if isinstance(error, KeyboardInterrupt) and not _listener.number:
            _listener.number = signal.SIGINT  # the thread is about to receive it
        if _listener.number:
            end_now(_listener.number)
        raise


class _TimeUp(KeyboardInterrupt):
    """Unwinds the main thread at the end of a time limit; event loops let it pass, as Ctrl-C."""


class _Alarm:
    """Raises _TimeUp in the main thread once; in an event loop, between two of its steps.

    Raised in the loop's own code it would lose the task that is about to be stepped, and
    `asyncio.run` would wait for that task for ever.
    """

    def __init__(self) -> None:
        self._has_raised = False

    def ring(self, number: int, frame: FrameType | None) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None:
            self._raise()
            return
        loop.call_soon_threadsafe(self._raise)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)  # the loop may end before that

    def _raise(self) -> None:
        if not self._has_raised:  # what unwinds may run the loop once more
            self._has_raised = True
            raise _TimeUp


@contextmanager
def time_limit(seconds: float | None, what: str) -> Iterator[None]:
    """Stop the block by an exception when it takes too long, as Ctrl-C would stop it.

    Prefect's own time limits end a flow's thread between two tasks only.

    Args:
        seconds: Longest time that it may take; None for no limit.
        what: Name of the work and of the setting, for the message.

    Raises:
        TimeLimitError: If it took longer.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    before = signal.signal(signal.SIGALRM, _Alarm().ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _TimeUp:
        raise TimeLimitError(f"{what}; what was done is kept, and the next run resumes") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def untimed() -> Iterator[None]:
    """Stop the clock of a time limit inside the block, which waits for others."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)


def end_now(number: int) -> None:
    """End this process and its children with a signal's exit code, without unwinding."""
    _say(number)
    remove_unfinished()
    _end_children()
    os._exit(128 + number)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handle a signal in the main thread: unwind it, or block it if `stop_by` was called."""
    _listener.number = _listener.number or number
    if _listener.instead is not None:
        threading.Event().wait()
    if _listener.unwinds:
        raise KeyboardInterrupt


def _receive(reading: int) -> None:
    is_first = True
    while True:
        for number in os.read(reading, 64):
            if number not in SIGNALS:
                continue
            if is_first:
                is_first, _listener.number = False, number
                threading.Thread(target=_stop, args=(number,), daemon=True, name="stop").start()
            elif number == signal.SIGINT:  # Ctrl-C once more; SIGTERM is what Prefect repeats
                end_now(number)


def _stop(number: int) -> None:
    if _listener.is_ending:
        time.sleep(GRACE_SECONDS)
    _say(number)
    logging.disable(logging.CRITICAL)
    deadline = time.monotonic() + GRACE_SECONDS
    if _listener.instead is not None:
        with suppress(Exception):  # the process has to end, also when its server is gone
            _listener.instead()
    else:
        while _listener.unwinds and time.monotonic() < deadline:
            time.sleep(0.05)
    end_now(number)


def _say(number: int) -> None:
    with _listener.lock:
        if _listener.is_said or _listener.is_quiet:
            return
        _listener.is_said = True
    what = (_listener.doing or "it") + _listener.place
    resume = f"; {_listener.resume}" if _listener.resume else ""
    start = "\r\033[K" if sys.stderr.isatty() else ""
    line = f"{start}solon: {NAMES[signal.Signals(number)]} stopped {what}{resume}\n"
    with suppress(OSError):  # nobody reads; sys.stderr may be locked by another thread
        os.write(2, line.encode())


def _end_children() -> None:
    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.Error):
            child.terminate()
    _, alive = psutil.wait_procs(children, timeout=CHILDREN_SECONDS)
    for child in alive:
        with suppress(psutil.Error):
            child.kill()
