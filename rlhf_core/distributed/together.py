"""Calls that all processes make at the same time: the first one leads, the others follow.

Under torchrun the first process runs the stages, and it alone has Prefect, the store, the judges
and the screen. What is worth spreading it calls through `together`: the others are handed the
function and its arguments, make the same call in step, keep what it returns, and wait for the next.
They know neither the config nor the store, and end with the first, or when any of them fails.

What such a call returned (a trunk, a reward) may be an argument of a later one: each process then
takes its own. All other arguments travel as pickles, so they are plain data; files must be readable
from every machine under the same path. Alone, `together` is the call itself.
"""

import gc
import io
import os
import pickle
import signal
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Generic, ParamSpec, TypeVar, cast

from rlhf_core.distributed import ranks
from rlhf_core.distributed.launch import processes

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Value = TypeVar("Value")


@dataclass(frozen=True)
class FirstOnly(Generic[Value]):
    """An argument that stays with the first process, such as an open ledger."""

    value: Value | None

    def __reduce__(self) -> tuple[Any, ...]:
        return FirstOnly, (None,)


@dataclass(frozen=True)
class _Call:
    """What the others are told: a call, and the results of earlier calls that nobody holds now."""

    number: int
    pickled: bytes
    freed: list[int]


@dataclass
class _Lead:
    """What the first process remembers of its calls."""

    calls: int = 0
    numbers: dict[int, int] = field(default_factory=dict)
    """By the id of a result that is still held, the number of the call that it came from."""
    freed: list[int] = field(default_factory=list)
    end: Callable[[int], None] = os._exit
    """Ends this process by a signal's number, at once."""
    is_within: bool = False
    """Whether the steps of a training are being taken."""


_lead = _Lead()


def together(
    work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Call on all processes; what it returns on this one.

    The steps of a training, an iterator, may be taken one by one, with anything but another such
    call in between, and are to be taken to the end.
    """
    if processes() == 1:
        return work(*args, **kwargs)
    if _lead.is_within:
        raise RuntimeError(f"{work} cannot be called while the steps of a training are taken")
    signal.signal(signal.SIGTERM, _end_at_once)
    with ranks.alone(False):
        freed, _lead.freed = _lead.freed, []
        _tell(_Call(_lead.calls, _pickled((work, args, kwargs)), freed))
        result = work(*args, **kwargs)
    if isinstance(result, Iterator):
        _lead.is_within = True
        result = cast(Result, _in_step(result))
    _remember(result, _lead.calls)
    _lead.calls += 1
    return result


@contextmanager
def leading(end: Callable[[int], None]) -> Iterator[None]:
    """Within it this process leads the others, which end with it.

    Args:
        end: Ends this process without unwinding; takes the number of the signal to end by.
    """
    _lead.end = end
    ranks.join_others()
    with ranks.alone():
        yield
    _tell(None)
    ranks.leave_others()


def _end_at_once(number: int, frame: FrameType | None) -> None:
    """What torchrun's SIGTERM comes to, sent when another process failed.

    Prefect would answer it with an exception, which may come where its own threads are waited for
    and then ends nothing. Its server is a child of this process, and goes with it.
    """
    _lead.end(number)


def follow() -> None:
    """Make the calls that the first process makes, until it ends; the processes have met."""
    made: dict[int, Any] = {}
    while (call := _told()) is not None:
        for number in call.freed:
            del made[number]
        gc.collect()
        made[call.number] = _made(call, made)
    ranks.leave_others()


def _made(call: _Call, results: dict[int, Any]) -> Any:
    work, args, kwargs = _Unpickler(io.BytesIO(call.pickled), results).load()
    result = work(*args, **kwargs)
    if isinstance(result, Iterator):
        for _ in result:
            pass
        return None
    return result


def _in_step(steps: Iterator[Value]) -> Iterator[Value]:
    """The steps, each taken with the others; what is done between them is done alone."""
    while True:
        with ranks.alone(False):
            try:
                step = next(steps)
            except StopIteration:
                _lead.is_within = False
                return
        yield step


def _tell(call: _Call | None) -> None:
    ranks.of_first(lambda: call)


def _told() -> _Call | None:
    return ranks.of_first(lambda: None)


def _remember(result: object, number: int) -> None:
    """Let later calls name the result by its number, for as long as it is held here."""
    key = id(result)
    try:
        weakref.finalize(result, _forget, key, number).atexit = False
    except TypeError:  # plain data, which travels itself
        _lead.freed.append(number)
        return
    if key in _lead.numbers:
        _lead.freed.append(number)
    else:
        _lead.numbers[key] = number


def _forget(key: int, number: int) -> None:
    if _lead.numbers.get(key) == number:
        del _lead.numbers[key]
        _lead.freed.append(number)


def _pickled(call: object) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer).dump(call)
    return buffer.getvalue()


class _Pickler(pickle.Pickler):
    def persistent_id(self, found: object) -> int | None:
        return _lead.numbers.get(id(found))


class _Unpickler(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, results: dict[int, Any]) -> None:
        super().__init__(buffer)
        self._results = results

    def persistent_load(self, number: int) -> Any:
        return self._results[number]
