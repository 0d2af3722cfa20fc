"""The cache of model replies, the budget and the device, which all judges of a run share.

This one lives in memory; flows/cycle/ledger.py keeps the replies in the store.
"""

from collections.abc import Callable, Collection

from rlhf_core.config.compute import ComputeSettings
from rlhf_core.config.tree import BudgetSettings
from rlhf_core.endpoints.budget import Budget
from rlhf_core.records import Response


class Ledger:
    """Model replies by the hash of their request, so that no request is sent twice.

    Args:
        budget: What remote models may cost; None sets no limit.
        may_query: True if a request without a known reply may be sent; False rereads for free.
        occasion: Name of the occasion on which questions are asked again. A reply of one occasion
            does not answer the same question on another.
        compute: Device and precision of the judges' own models, each of which is whole on one
            device.
    """

    on_answer: Callable[[Response], None] = staticmethod(lambda response: None)
    """Called with each new reply, for a progress bar with its cost."""

    def __init__(
        self,
        budget: Budget | None = None,
        may_query: bool = True,
        occasion: str = "",
        compute: ComputeSettings | None = None,
    ) -> None:
        self.budget = budget or Budget(BudgetSettings())
        self.may_query = may_query
        self.occasion = occasion
        self.compute = (compute or ComputeSettings()).model_copy(update={"shard": False})
        self._known: dict[str, Response] = {}

    def known(self, request_hashes: Collection[str]) -> dict[str, Response]:
        """Return the replies that are already known, by the hash of their request."""
        return {name: self._known[name] for name in request_hashes if name in self._known}

    def add(self, response: Response) -> None:
        """Keep a reply as soon as it arrives, so that a later crash loses nothing."""
        self._known[response.request_hash] = response
        self.on_answer(response)

    def flush(self) -> None:
        """Write every added reply to permanent storage."""
