"""Work that one process does at a time, on whichever machine: a line's stage, a shared model.

A stage that is started twice runs once: the second process waits for the first, says for whom, and
then finds nothing missing.
"""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rlhf_core.store import Store
from rlhf_core.store.disk.claims import Holder

SAY_AGAIN_SECONDS = 60.0


@contextmanager
def claim_work(store: Store, work: str, logger: logging.Logger) -> Iterator[None]:
    """Yield as the only process that does a piece of work, after waiting for any other.

    Args:
        store: Store that the work is done on.
        work: Name of the work.
        logger: Gets a line a minute while this process waits.
    """
    said_at = -math.inf

    def say(holder: Holder) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= SAY_AGAIN_SECONDS:
            said_at = time.monotonic()
            logger.info("waits: %s is under way in %s", work, holder)

    with store.claimed(work, say):
        yield
