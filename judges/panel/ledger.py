"""What models were asked already, and what asking may still cost: shared by the judges of a run.

This one forgets when it is dropped; flows/cycle/ledger.py keeps what was said in the store.
"""

from collections.abc import Callable, Collection

from rlhf_core.config.tree import BudgetSettings
from rlhf_core.endpoints.budget import Budget
from rlhf_core.records import Response


class Ledger:
    """Answers by the hash of what was asked, so that nothing is asked twice.

    Args:
        budget: What remote models may cost; None sets no limit.
        may_ask: Whether a question without a known answer may be asked; False rereads for free.
    """

    on_answer: Callable[[Response], None] = staticmethod(lambda response: None)
    """Called with each new answer, for a progress bar with its cost."""

    def __init__(self, budget: Budget | None = None, may_ask: bool = True) -> None:
        self.budget = budget or Budget(BudgetSettings())
        self.may_ask = may_ask
        self._known: dict[str, Response] = {}

    def known(self, request_hashes: Collection[str]) -> dict[str, Response]:
        """Those of the questions that were answered before, by their hash."""
        return {name: self._known[name] for name in request_hashes if name in self._known}

    def add(self, response: Response) -> None:
        """Keep an answer as soon as it is there: a crash after it costs nothing."""
        self._known[response.request_hash] = response
        self.on_answer(response)

    def flush(self) -> None:
        """See to it that all that was added is safe."""
