"""Asking the store without holding up the page: in a thread, or in a process of its own."""

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
        store: Where it is.
        timeout_seconds: When a visitor's own statement is stopped.
    """

    def __init__(self, store: Path | str, timeout_seconds: float = QUERY_TIMEOUT_SECONDS) -> None:
        self.store = store
        self.timeout_seconds = timeout_seconds
        self.age_seconds = 0.0
        """Of the snapshot that was asked last."""

    async def ask(
        self,
        question: Callable[Concatenate[Snapshot, Asked], Found],
        *args: Asked.args,
        **kwargs: Asked.kwargs,
    ) -> Found:
        """What a question of rlhf_core/store finds in the snapshot.

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
        """What a visitor's own statement finds, in a process that ends when its time is over.

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
            found = await asyncio.to_thread(asked.answer)
            self.age_seconds = asked.age_seconds
            return found
        finally:
            asked.end()
