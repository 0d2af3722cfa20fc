"""How a command ends when it is told to: by Ctrl-C, SIGTERM or a closed terminal.

In one line, with the exit code of the signal (130, 143, 129) and nothing left behind. A thread
hears of the signal, whatever the main thread is in the middle of and whoever put a handler there:
Prefect puts its own while a flow runs. Then the main thread unwinds, or else, and for good after a
few seconds, the process ends as it is, which every stage is made for.
"""

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

from rlhf_core.files.whole import remove_unfinished

GRACE_SECONDS = 10.0
CHILDREN_SECONDS = 1.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@dataclass
class _Listener:
    """What is known of a signal that came, and what is done about it."""

    is_listening: bool = False
    number: int = 0
    doing: str = ""
    place: str = ""
    resume: str = ""
    is_quiet: bool = False
    unwinds: bool = False
    """Whether the main thread is where an exception ends it."""
    is_ending: bool = False
    """Whether the work is done, and the process about to end by itself."""
    instead: Callable[[], None] | None = None
    """Done by the thread in place of unwinding the main one."""
    is_said: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


_listener = _Listener()


def listen(*, is_quiet: bool = False) -> None:
    """End by these signals from now on. One that is ignored, as SIGHUP under nohup, stays so.

    Args:
        is_quiet: Whether another process says what was stopped.
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
    threading.Thread(target=_hear, args=(reading,), daemon=True, name="signals").start()


def describe(doing: str, resume: str = "") -> None:
    """Say what would be stopped now, and how one goes on from there."""
    _listener.doing, _listener.resume = doing, resume or _listener.resume


def at(place: str) -> None:
    """Say how far the work has come."""
    _listener.place = f" in {place}"


def stop_by(stop: Callable[[], None]) -> None:
    """Have the thread call this when a signal comes, instead of unwinding the main thread."""
    _listener.instead = stop


@contextmanager
def unwinding() -> Iterator[None]:
    """A block that a signal ends with an exception; where it comes out, the process ends."""
    _listener.unwinds, _listener.is_ending = True, False
    try:
        yield
        _listener.unwinds, _listener.is_ending = False, True
    except BaseException as error:
        _listener.unwinds = False
        if isinstance(error, KeyboardInterrupt) and not _listener.number:
            _listener.number = signal.SIGINT  # the thread is about to hear of it
        if _listener.number:
            end_now(_listener.number)
        raise


def end_now(number: int) -> None:
    """End this process and its children by a signal, without unwinding."""
    _say(number)
    remove_unfinished()
    _end_children()
    os._exit(128 + number)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handle a signal in the main thread: unwind it, or keep it from starting anything new."""
    _listener.number = _listener.number or number
    if _listener.instead is not None:
        threading.Event().wait()
    if _listener.unwinds:
        raise KeyboardInterrupt


def _hear(reading: int) -> None:
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
        with suppress(Exception):
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
    with suppress(OSError):  # nobody reads; not through sys.stderr, which another thread may hold
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
