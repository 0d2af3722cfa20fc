"""The ledger of a run: replies of the judges' models, stored as they arrive."""

import time
from collections.abc import Collection

from judges import Ledger
from rlhf_core.config.compute import ComputeSettings
from rlhf_core.endpoints.budget import Budget
from rlhf_core.records import Response
from rlhf_core.store import Store, queries

ANSWERS_AT_ONCE = 256
SECONDS_AT_MOST = 5.0
"""Replies are stored once there are this many or this much time has passed: a crash loses them."""


class StoreLedger(Ledger):
    """Replies of models in a store, by the hash of the request.

    Args:
        store: Holds the replies.
        budget: Limit on the cost of remote models; None sets no limit.
        may_query: False if a request without a stored reply must not be sent.
        occasion: Name of the occasion on which questions are asked again.
        compute: Device and precision of the judges' own models.
    """

    def __init__(
        self,
        store: Store,
        budget: Budget | None = None,
        may_query: bool = True,
        occasion: str = "",
        compute: ComputeSettings | None = None,
    ) -> None:
        super().__init__(budget, may_query, occasion, compute)
        self._store = store
        self._waiting: dict[str, Response] = {}
        self._stored_at = time.monotonic()

    def known(self, request_hashes: Collection[str]) -> dict[str, Response]:
        return queries.responses_to(self._store, request_hashes)

    def add(self, response: Response) -> None:
        self._waiting[response.request_hash] = response
        is_time = time.monotonic() - self._stored_at > SECONDS_AT_MOST
        if is_time or len(self._waiting) >= ANSWERS_AT_ONCE:
            self.flush()
        self.on_answer(response)

    def flush(self) -> None:
        if self._waiting:
            self._store.append(self._waiting.values())
        self._waiting.clear()
        self._stored_at = time.monotonic()
