"""Queries of the store that do not block the page: in a thread, or in a process of their own."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from rlhf_core.store import Snapshot, reading
from rlhf_core.store.audit.apart import Apart
from rlhf_core.store.limits import QUERY_TIMEOUT_SECONDS

Asked = ParamSpec("Asked")
Found = TypeVar("Found")


class Source:
    """The store that the pages show.

    Args:
        store: Its path or address.
        timeout_seconds: Time limit of a visitor's own statement.
    """

    def __init__(self, store: Path | str, timeout_seconds: float = QUERY_TIMEOUT_SECONDS) -> None:
        self.store = store
        self.timeout_seconds = timeout_seconds
        self.age_seconds = 0.0
        """Age of the snapshot that was read last."""

    async def ask(
        self,
        question: Callable[Concatenate[Snapshot, Asked], Found],
        *args: Asked.args,
        **kwargs: Asked.kwargs,
    ) -> Found:
        """Return the result of a query function of rlhf_core/store, run in a thread.

        Raises:
            SolonError: As `reading` and the question do.
        """

        def asked() -> Found:
            with reading(self.store) as snapshot:
                self.age_seconds = snapshot.age_seconds
                return question(snapshot, *args, **kwargs)

        return await asyncio.to_thread(asked)

    async def ask_apart(
        self, question: Callable[..., Found], statement: str, values: Mapping[str, Any]
    ) -> Found:
        """Return the result of a visitor's own statement, run in a process with a time limit.

        Args:
            question: A function at the top of a module, of a snapshot, `statement`, `values` and
                `timeout_seconds`.
            statement: The visitor's SQL.
            values: Its parameters.

        Raises:
            SolonError: As `Apart.answer` does.
        """
        asked: Apart[Found] = Apart(
            self.store,
            partial(
                question,
                statement=statement,
                values=values,
                timeout_seconds=self.timeout_seconds,
            ),
            self.timeout_seconds,
        )
        try:
            result = await asyncio.to_thread(asked.answer)
            self.age_seconds = asked.age_seconds
            return result
        finally:
            asked.end()
