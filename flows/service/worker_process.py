"""A Prefect worker as a process that ends with the command that started it.

    python -m flows.service.worker_process PARENT OPTION…

The options are those of `prefect worker start`.
"""

import os
import sys

from flows.service.flow_process import WORKER
from flows.terminal.parent import end_with


def main() -> None:
    """Start the worker."""
    end_with(int(sys.argv[1]))
    os.environ[WORKER] = str(os.getpid())
    from prefect.cli import app

    sys.argv = ["prefect", "worker", "start", *sys.argv[2:]]
    app()


if __name__ == "__main__":
    main()
