"""The pace of requests to a server: rate limits, concurrency that backs off at 429, pauses.

The token buckets are our own. Those of aiolimiter belong to one event loop, while each call here
runs its own loop and a rate must outlive it. They also let a whole minute's requests go at once,
refuse a request larger than the bucket, and cannot be corrected by the server's token counts.

Processes of one user on one machine that query the same model with the same key share their rates
and their pauses. Congestion is each endpoint's own.
"""

import asyncio
import math
import time
from types import TracebackType

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.endpoints.shared_times import OwnTimes, Times, times_of

BURST_SECONDS = 1.0
"""Size of the bucket: servers enforce their limits per minute over shorter spans."""
ROUND_TRIPS_TO_REGAIN = 8
"""Number of round trips without 429 after which the full concurrency is restored from 0."""

REQUESTS, TOKENS, PAUSE = range(3)
TIMES = 3
"""Numbers of the times that processes share: those of the two rates, and the end of a pause."""


class Rate:
    """A token bucket, stored as the time at which all units taken will have been refilled.

    Args:
        per_minute: Units refilled in a minute; None for no limit.
        times: Holds that time; None keeps it in this process.
        number: Number of the time among them.
    """

    def __init__(
        self, per_minute: float | None, times: Times | None = None, number: int = 0
    ) -> None:
        self.seconds_per_unit = 60.0 / per_minute if per_minute else 0.0
        self._times = OwnTimes(1) if times is None or not per_minute else times
        self._number = number if self._times is times else 0

    def take(self, units: float, now: float) -> float:
        """Take units and return the seconds to wait before using them.

        A request larger than the bucket waits until the bucket is full; later requests wait longer.

        Args:
            units: Units to take; a negative number returns units.
            now: Current monotonic time, in seconds.
        """
        oldest, seconds = now - BURST_SECONDS, units * self.seconds_per_unit
        paid_at = self._times.change(self._number, lambda time: max(time, oldest) + seconds)
        return max(0.0, paid_at - now)


class Congestion:
    """Additive increase, multiplicative decrease of the concurrency, as in TCP (RFC 5681).

    Args:
        ceiling: The configured concurrency, which is also the initial one.
    """

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.limit = float(ceiling)
        self._halved_at = -math.inf

    def on_answer(self) -> None:
        """Raise the limit, by a fixed share of the ceiling each round trip of `limit` answers."""
        gain = self.ceiling / ROUND_TRIPS_TO_REGAIN / self.limit
        self.limit = min(float(self.ceiling), self.limit + gain)

    def on_throttle(self, sent_at: float, now: float) -> None:
        """Halve the limit at a 429, unless the request was sent before the last halving.

        Args:
            sent_at: Monotonic time at which the request was sent, in seconds.
            now: Current monotonic time, in seconds.
        """
        if sent_at >= self._halved_at:
            self.limit = max(1.0, self.limit / 2)
            self._halved_at = now


class Pace:
    """Rates and congestion of a server, kept by an endpoint from one call to the next.

    Args:
        settings: Address, model and limits.
        key: The key of the requests; servers limit the rate of each key.
    """

    def __init__(self, settings: EndpointSettings, key: str = "") -> None:
        server = (settings.base_url or "", settings.api_version or "", settings.model, key)
        self._times = times_of(server, TIMES)
        self.requests = Rate(settings.requests_per_minute, self._times, REQUESTS)
        self.tokens = Rate(settings.tokens_per_minute, self._times, TOKENS)
        self.congestion = Congestion(settings.concurrency)

    def pause(self, until: float) -> None:
        """Send no request before a monotonic time, in seconds, from any process."""
        self._times.change(PAUSE, lambda time: max(time, until))

    async def wait_turn(self, tokens: float) -> None:
        """Wait until a request of `tokens` tokens may be sent."""
        now = time.monotonic()
        wait = max(self.requests.take(1.0, now), self.tokens.take(tokens, now))
        try:
            if wait > 0:
                await asyncio.sleep(wait)
            while (wait := self._times.read(PAUSE) - time.monotonic()) > 0:
                await asyncio.sleep(wait)
        except asyncio.CancelledError:
            # Returned, or the next process would wait for requests that were never sent.
            self.requests.take(-1.0, time.monotonic())
            self.tokens.take(-tokens, time.monotonic())
            raise


class Slots:
    """Slots for as many requests in flight as congestion allows; `async with` takes one."""

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
            self._granted -= 1  # drop this slot instead of passing it on
            return
        self._free.release()
        while self._granted < limit:
            self._granted += 1
            self._free.release()
