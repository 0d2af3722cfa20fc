"""How fast a server is asked: rates, concurrency that gives way to 429, pauses it asks for.

Own token buckets, because aiolimiter's belong to one event loop (each call here runs its own, and
a rate must outlive it), let a whole minute's worth go at once, refuse a request that is larger than
the bucket, and cannot be corrected by what the server counted.
"""

import asyncio
import math
import threading
import time
from types import TracebackType

from rlhf_core.config.tree import EndpointSettings

BURST_SECONDS = 1.0
"""Servers enforce their limits per minute over shorter spans, so no more than this is saved up."""
ROUND_TRIPS_TO_REGAIN = 8
"""After so many without 429 the full concurrency is back, from nothing."""


class Rate:
    """A token bucket, kept as the time at which all that was taken will have flowed in.

    Args:
        per_minute: How many units flow in a minute; None for no limit.
    """

    def __init__(self, per_minute: float | None) -> None:
        self.seconds_per_unit = 60.0 / per_minute if per_minute else 0.0
        self._paid_at = -math.inf
        self._lock = threading.Lock()

    def take(self, units: float, now: float) -> float:
        """Take units, even before they have flowed in; the seconds to wait until they have.

        A request that is larger than the bucket goes as soon as the bucket is full, and those
        after it wait the longer. A negative number gives back.
        """
        with self._lock:
            paid_at = max(self._paid_at, now - BURST_SECONDS)
            self._paid_at = paid_at + units * self.seconds_per_unit
            return max(0.0, paid_at - now)


class Congestion:
    """Additive increase, multiplicative decrease of the concurrency, as TCP does (RFC 5681).

    Args:
        ceiling: The concurrency that is configured, and the one to begin with.
    """

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.limit = float(ceiling)
        self.paused_until = -math.inf
        self._halved_at = -math.inf

    def answered(self) -> None:
        """Regain a fixed share of the ceiling with each round trip, of `limit` answers."""
        gain = self.ceiling / ROUND_TRIPS_TO_REGAIN / self.limit
        self.limit = min(float(self.ceiling), self.limit + gain)

    def throttled(self, sent_at: float, now: float) -> None:
        """Halve; a 429 to a request from before the last halving tells nothing new."""
        if sent_at >= self._halved_at:
            self.limit = max(1.0, self.limit / 2)
            self._halved_at = now

    def pause(self, until: float) -> None:
        """Ask nothing at all before then."""
        self.paused_until = max(self.paused_until, until)


class Pace:
    """What an endpoint knows of its server's limits, from one call to the next."""

    def __init__(self, settings: EndpointSettings) -> None:
        self.requests = Rate(settings.requests_per_minute)
        self.tokens = Rate(settings.tokens_per_minute)
        self.congestion = Congestion(settings.concurrency)

    async def turn(self, tokens: float) -> None:
        """Wait until a request of that many tokens may be sent."""
        now = time.monotonic()
        wait = max(self.requests.take(1.0, now), self.tokens.take(tokens, now))
        if wait > 0:
            await asyncio.sleep(wait)
        while (wait := self.congestion.paused_until - time.monotonic()) > 0:
            await asyncio.sleep(wait)


class Slots:
    """At most as many requests in flight as congestion allows; `async with` takes one of them."""

    def __init__(self, congestion: Congestion) -> None:
        self._congestion = congestion
        self._granted = int(congestion.limit)
        self._free = asyncio.Semaphore(self._granted)

    async def __aenter__(self) -> None:
        await self._free.acquire()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        limit = int(self._congestion.limit)
        if self._granted > limit:
            self._granted -= 1  # this slot is given up, not passed on
            return
        self._free.release()
        while self._granted < limit:
            self._granted += 1
            self._free.release()
