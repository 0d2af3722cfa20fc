"""A hard limit on the cost of remote calls, shared by endpoints and threads.

The highest possible cost of a call is held before it is sent, and settled when its outcome is
known. A call without a usable answer counts in full: its bill is unknown, and the limit is hard.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future, InvalidStateError
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from rlhf_core.config.tree import BudgetSettings
from rlhf_core.errors import BudgetError

ROUNDING_USD = 1e-9
"""A sum of floats that exceeds its limit by less than this counts as equal to it."""


@dataclass(frozen=True)
class Spend:
    usd: float = 0.0
    tokens: int = 0
    calls: int = 0

    def __add__(self, other: "Spend") -> "Spend":
        return Spend(self.usd + other.usd, self.tokens + other.tokens, self.calls + other.calls)

    def __sub__(self, other: "Spend") -> "Spend":
        return Spend(self.usd - other.usd, self.tokens - other.tokens, self.calls - other.calls)


@dataclass
class Hold:
    """The hold of one call; `cost` is the amount that settles it."""

    cost: Spend = Spend()


class Budget:
    """Limits on money, tokens and calls.

    A server that counts more tokens than `max_tokens`, or more input tokens than bytes, can exceed
    a limit by that call; the next call is then refused.

    Args:
        limits: The limits.
        spent: Amount spent before, in a run that is resumed.
    """

    def __init__(self, limits: BudgetSettings, spent: Spend = Spend()) -> None:
        self.limits = limits
        self._spent = spent
        self._held = Spend()
        self._waiting: list[Future[None]] = []
        self._refusal: str | None = None
        self._is_told = False
        self._lock = threading.Lock()

    @property
    def spent(self) -> Spend:
        """The amount that was billed or may have been."""
        return self._spent

    @property
    def refusal(self) -> str | None:
        """Why a call was refused; None if none was."""
        return self._refusal

    def take_refusal(self) -> str | None:
        """Return why the first call was refused, the first time this is asked; else None."""
        with self._lock:
            if self._refusal is None or self._is_told:
                return None
            self._is_told = True
            return self._refusal

    @asynccontextmanager
    async def hold(self, at_most: Spend, is_committed: bool = False) -> AsyncIterator[Hold]:
        """Hold the cost of a call inside the context, and settle it at the end.

        If the cost does not fit at the moment, wait until other calls settle.

        Args:
            at_most: Highest possible cost of the call.
            is_committed: True if the call was sent before; it is then held even if it does not fit.

        Yields:
            The hold, whose `cost` the caller sets to the amount to settle.

        Raises:
            BudgetError: If the call would not fit even if the calls in flight cost nothing.
        """
        while (turn := self._take(at_most, is_committed)) is not None:
            await asyncio.wrap_future(turn)
        hold = Hold()
        try:
            yield hold
        finally:
            self._settle(at_most, hold.cost)

    def _take(self, at_most: Spend, is_committed: bool) -> Future[None] | None:
        """Hold the amount and return None, or return a future to await before the next attempt."""
        with self._lock:
            if not is_committed:
                if refusal := _refusal(self.limits, self._spent, at_most):
                    self._refusal = self._refusal or refusal
                    raise BudgetError(refusal)
                if _refusal(self.limits, self._spent + self._held, at_most):
                    self._waiting.append(Future())
                    return self._waiting[-1]
            self._held += at_most
            return None

    def _settle(self, at_most: Spend, cost: Spend) -> None:
        with self._lock:
            self._held -= at_most
            self._spent += cost
            waiting, self._waiting = self._waiting, []
        for turn in waiting:
            with suppress(InvalidStateError):  # the waiting task was cancelled
                turn.set_result(None)


def _refusal(limits: BudgetSettings, spent: Spend, wanted: Spend) -> str | None:
    total = spent + wanted
    if limits.max_usd is not None and total.usd > limits.max_usd + ROUNDING_USD:
        return (
            f"the budget of {_dollars(limits.max_usd)} is spent; raise budget.max_usd "
            f"({_dollars(spent.usd)} are gone, and this may cost {_dollars(wanted.usd)})"
        )
    if limits.max_tokens is not None and total.tokens > limits.max_tokens:
        return (
            f"the budget of {limits.max_tokens} tokens is spent; raise budget.max_tokens "
            f"({spent.tokens} are gone, and this may take {wanted.tokens})"
        )
    if limits.max_calls is not None and total.calls > limits.max_calls:
        return f"the budget of {limits.max_calls} calls is spent; raise budget.max_calls"
    return None


def _dollars(usd: float) -> str:
    """Return an amount to the cent; below ten cents, to a hundredth of a cent."""
    return f"${usd:.2f}" if usd == 0 or usd >= 0.1 else f"${usd:.4f}"
