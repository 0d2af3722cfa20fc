"""A flow that a worker runs in tests: it writes its process id, and sleeps."""

import os
import time
from pathlib import Path

from prefect import flow

from flows.service.flow_process import attach
from flows.terminal import stopping


@flow(name="sleeping")
def sleeping(note: str) -> None:
    attach()
    with stopping.unwinding():
        Path(note).write_text(str(os.getpid()))
        time.sleep(300)
