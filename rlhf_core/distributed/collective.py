"""Calls that all ranks make at the same time: rank 0 leads, the others follow.

Under torchrun rank 0 runs the stages, and it alone has Prefect, the store, the judges and the
screen. It makes the expensive calls through `on_all_ranks`: every other rank receives the function
and its arguments, makes the same call in lockstep, keeps the result and waits for the next call.
These ranks know neither the config nor the store. They end with rank 0, or when any rank fails by
itself; a call that fails on all ranks leaves them waiting for the next one.

The result of such a call (a trunk, a reward) may be an argument of a later one: each rank then uses
its own. All other arguments travel as pickles, so they are plain data; files must be readable from
every machine under the same path. With one rank, `on_all_ranks` is the call itself.
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
from rlhf_core.distributed.launch import launched_world_size
from rlhf_core.errors import FailedRankError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Value = TypeVar("Value")


@dataclass(frozen=True)
class RankZeroOnly(Generic[Value]):
    """An argument that stays on rank 0, such as an open ledger; the other ranks receive None."""

    value: Value | None

    def __reduce__(self) -> tuple[Any, ...]:
        return RankZeroOnly, (None,)


@dataclass(frozen=True)
class _Call:
    """A call as rank 0 broadcasts it."""

    number: int
    pickled: bytes
    freed: list[int]
    """Numbers of earlier calls whose results rank 0 no longer holds."""


@dataclass
class _Lead:
    """The calls that rank 0 has made so far."""

    calls: int = 0
    numbers: dict[int, int] = field(default_factory=dict)
    """Number of the call that returned each result still held, by the result's `id()`."""
    freed: list[int] = field(default_factory=list)
    end: Callable[[int], None] = os._exit
    """Ends this process at once, as if by the signal with that number."""
    is_within: bool = False
    """True while a caller is taking the steps of a training."""


_lead = _Lead()


def on_all_ranks(
    work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Make a call on all ranks and return this rank's result.

    A call that returns an iterator, such as the steps of a training, is taken step by step on all
    ranks. The caller may do anything between two steps except make another such call, and must
    exhaust the iterator.

    Args:
        work: An importable function, or a method of an earlier call's result.
        args: Results of earlier calls, or data that pickles.
        kwargs: The same.

    Returns:
        What `work` returns on this rank.

    Raises:
        RuntimeError: If the steps of an earlier call have not been taken to the end.
    """
    if launched_world_size() == 1:
        return work(*args, **kwargs)
    if _lead.is_within:
        raise RuntimeError(f"{work} cannot be called while the steps of a training are taken")
    signal.signal(signal.SIGTERM, _end_at_once)
    with ranks.alone(False):
        freed, _lead.freed = _lead.freed, []
        _send(_Call(_lead.calls, _pickle((work, args, kwargs)), freed))
        result = work(*args, **kwargs)
    if isinstance(result, Iterator):
        _lead.is_within = True
        result = cast(Result, _take_in_lockstep(result))
    _remember(result, _lead.calls)
    _lead.calls += 1
    return result


@contextmanager
def lead(end: Callable[[int], None]) -> Iterator[None]:
    """Lead the other ranks inside the context; they end when it is left.

    Args:
        end: Ends this process without unwinding; takes the number of the signal to end by.
    """
    _lead.end = end
    ranks.join_ranks()
    with ranks.alone():
        yield
    _send(None)
    ranks.leave_ranks()


def _end_at_once(number: int, frame: FrameType | None) -> None:
    """Handle the SIGTERM that torchrun sends when another rank has failed.

    Prefect would raise an exception instead. Raised while Prefect waits for its own threads, it
    ends nothing. Prefect's server is a child of this process and ends with it.
    """
    _lead.end(number)


def follow() -> None:
    """Repeat the calls of rank 0 until it ends; `join_ranks` has connected the ranks."""
    results: dict[int, Any] = {}
    while (call := _receive()) is not None:
        for number in call.freed:
            del results[number]
        gc.collect()
        try:
            results[call.number] = _repeat(call, results)
        except FailedRankError:
            results[call.number] = None  # rank 0 has an error, too, and decides what comes next
    ranks.leave_ranks()


def _repeat(call: _Call, results: dict[int, Any]) -> Any:
    work, args, kwargs = _Unpickler(io.BytesIO(call.pickled), results).load()
    result = work(*args, **kwargs)
    if isinstance(result, Iterator):
        for _ in result:
            pass
        return None
    return result


def _take_in_lockstep(steps: Iterator[Value]) -> Iterator[Value]:
    """Yield the steps, each taken with all ranks; between them this process acts alone."""
    while True:
        with ranks.alone(False):
            try:
                step = next(steps)
            except StopIteration:
                _lead.is_within = False
                return
        yield step


def _send(call: _Call | None) -> None:
    ranks.from_rank_zero(lambda: call)


def _receive() -> _Call | None:
    return ranks.from_rank_zero(lambda: None)


def _remember(result: object, number: int) -> None:
    """Let later calls refer to the result by its call's number, for as long as it is held here."""
    key = id(result)
    try:
        weakref.finalize(result, _forget, key, number).atexit = False
    except TypeError:  # plain data, which is sent as it is
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


def _pickle(call: object) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer).dump(call)
    return buffer.getvalue()


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> int | None:
        return _lead.numbers.get(id(value))


class _Unpickler(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, results: dict[int, Any]) -> None:
        super().__init__(buffer)
        self._results = results

    def persistent_load(self, number: int) -> Any:
        return self._results[number]
