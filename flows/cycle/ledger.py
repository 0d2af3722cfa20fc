"""The ledger of a run: what judges' models said, kept in the store as it comes."""

import time
from collections.abc import Collection

from judges import Ledger
from rlhf_core.endpoints.budget import Budget
from rlhf_core.records import Response
from rlhf_core.store import Store, queries

ANSWERS_AT_ONCE = 256
SECONDS_AT_MOST = 5.0
"""Answers wait this long or until there are so many, then they are stored: what a crash costs."""


class StoreLedger(Ledger):
    """Answers by the hash of what was asked, in a store.

    Args:
        store: Where they are kept.
        budget: What remote models may cost; None sets no limit.
        may_ask: Whether a question without a known answer may be asked.
    """

    def __init__(self, store: Store, budget: Budget | None = None, may_ask: bool = True) -> None:
        super().__init__(budget, may_ask)
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
