"""Asking the store without holding up the page: in a thread, over a snapshot of its own."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from rlhf_core.store import Snapshot, reading

Asked = ParamSpec("Asked")
Found = TypeVar("Found")


class Source:
    """The store that the pages show."""

    def __init__(self, store: Path | str) -> None:
        self.store = store
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
