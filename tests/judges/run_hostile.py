"""Runs programs in the sandbox as a given user: `python -m tests.judges.run_hostile`.

Reads one request as JSON from standard input and prints what came of each program, how long it
took, and the processes that are left.
"""

import ctypes
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from judges.verifiers import bubblewrap
from judges.verifiers.bubblewrap import Interpreter
from judges.verifiers.sandbox import Limits, run_tests

SUBREAPER = 36
"""Option of prctl: orphans become children of this process, so that none is overlooked."""


def main() -> None:
    request = json.load(sys.stdin)
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    bubblewrap.CONTAINED = Path(request["contained"])
    if request["user"] is not None:
        os.setgroups([])
        os.setresgid(*[request["user"]] * 3)
        os.setresuid(*[request["user"]] * 3)
    interpreter = Interpreter(request["executable"], tuple(request["prefixes"]))
    limits = Limits(timeout_seconds=request["timeout_seconds"], memory_megabytes=256)

    def run(program: list[str]) -> dict[str, Any]:
        began = time.monotonic()
        ran = run_tests(*program, limits, interpreter=interpreter)
        seconds = time.monotonic() - began
        return {"said": f"{ran.passed}/{ran.total} {ran.reason}", "seconds": seconds}

    with ThreadPoolExecutor(request["at_once"]) as pool:
        found = list(pool.map(run, request["programs"]))
    left = [
        f"{process.name()} {process.status()}"
        for process in psutil.Process().children(recursive=True)
    ]
    print(json.dumps({"found": found, "left": left}))


if __name__ == "__main__":
    main()
