"""A hard limit of what remote calls may cost, shared by endpoints and threads.

The most a call can cost is set aside before it is sent and settled when its outcome is known. What
was sent and not answered usefully counts in full: its bill is not known, and the limit is hard.
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
"""A sum of floats that exceeds its limit by less is equal to it."""


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
    """What was set aside for a call; `cost` is what it is settled with in the end."""

    cost: Spend = Spend()


class Budget:
    """Money, tokens and calls that must not run out unnoticed.

    A server that counts more than its own `max_tokens` or more input tokens than there are bytes
    can pass a limit by that call; the next is then refused.

    Args:
        limits: How much there is.
        spent: What is gone already, of a run that is taken up again.
    """

    def __init__(self, limits: BudgetSettings, spent: Spend = Spend()) -> None:
        self.limits = limits
        self._spent = spent
        self._held = Spend()
        self._waiting: list[Future[None]] = []
        self._lock = threading.Lock()

    @property
    def spent(self) -> Spend:
        """What was billed or may have been."""
        return self._spent

    @asynccontextmanager
    async def hold(self, at_most: Spend, is_committed: bool = False) -> AsyncIterator[Hold]:
        """Set the cost of a call aside; where it would not fit, wait for others to settle.

        Args:
            at_most: What the call can cost.
            is_committed: Whether it is sent already, so that it is held even where it does not fit.

        Raises:
            BudgetError: If it does not fit, whatever becomes of the calls in flight.
        """
        while (turn := self._take(at_most, is_committed)) is not None:
            await asyncio.wrap_future(turn)
        hold = Hold()
        try:
            yield hold
        finally:
            self._settle(at_most, hold.cost)

    def _take(self, at_most: Spend, is_committed: bool) -> Future[None] | None:
        """Nothing, if it is held now; else what to wait for before the next try."""
        with self._lock:
            if not is_committed:
                if refusal := _refusal(self.limits, self._spent, at_most):
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
            with suppress(InvalidStateError):  # it was cancelled meanwhile
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
    """To the cent; what is less than ten cents to the hundredth of one."""
    return f"${usd:.2f}" if usd == 0 or usd >= 0.1 else f"${usd:.4f}"
