"""The process of a flow run that a worker started: it ends by signals as any command does.

It also ends with its worker: its stages are made to be resumed, and an orphan would hold a GPU that
the next worker waits for.
"""

import os

from flows.terminal import stopping
from flows.terminal.parent import end_with

FLOW_RUN = "PREFECT__FLOW_RUN_ID"
"""Environment variable that Prefect sets in the process of a flow run."""
WORKER = "SOLON_WORKER"
"""Environment variable that `solon worker` sets to the process id of its Prefect worker."""

SERVED = "SOLON_SERVED_BY"
"""Environment variable that `solon serve` sets to its process id."""


def is_deployed() -> bool:
    """Return True if this process runs flows for a worker or for `solon serve`: nobody watches."""
    return FLOW_RUN in os.environ or SERVED in os.environ


def attach() -> None:
    """Handle signals, and end with the worker, if this is the process of one of its flow runs."""
    if FLOW_RUN in os.environ and WORKER in os.environ:
        stopping.listen(is_quiet=True)
        end_with(os.getppid())
