"""Runs code that nobody trusts against unit tests: what may happen to it, and what came of it.

_jail.py says how. The code sees no network, no environment, no files but Python's own, and an empty
folder in memory; time, memory, processes and what it writes are bounded; all of it is gone after.

The verdict comes over a pipe of its own, marked by a number that is read only after the last test:
printing, exiting early or raising cannot make one. Code that is written against this very runner
still can, for it shares a process with its tests: it can read them, find that pipe, or answer every
`==` with True. And what separates it from the machine is the kernel alone.
"""

import ast
import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rlhf_core.errors import ConfigError

JAIL = Path(__file__).with_name("_jail.py")
START_SECONDS = 20.0
"""Beyond the time limit: what a busy machine may need to start Python."""
FENCED = re.compile(r"^```(?:python|py)[ \t]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Limits:
    """What code may take."""

    timeout_seconds: float
    memory_megabytes: int
    """Of each of its processes."""
    processes: int = 8
    """At once, threads included."""
    disk_megabytes: int = 16
    """In memory too."""


@dataclass(frozen=True)
class TestRun:
    """What came of the tests; without `passed`, nothing was run, and `reason` says why."""

    passed: int | None
    total: int
    reason: str


def run_tests(code: str, tests: str, limits: Limits) -> TestRun:
    """Run code and then its tests, shut off from everything."""
    if sys.platform != "linux":
        return TestRun(None, 0, "it needs Linux")
    request = json.dumps({"code": code, "tests": tests, **asdict(limits)})
    try:
        ended = subprocess.run(
            [sys.executable, "-I", str(JAIL)],
            input=request.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limits.timeout_seconds + START_SECONDS,
            env={},
            cwd="/",
            start_new_session=True,
            check=False,
        )
        found: dict[str, Any] = json.loads(ended.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return TestRun(None, 0, f"{type(error).__name__}: {error}"[:200])
    if "refused" in found:
        return TestRun(None, 0, found["refused"])
    return TestRun(found["passed"], found["total"], found["reason"])


@cache
def check() -> None:
    """Try the sandbox once.

    Raises:
        ConfigError: If this machine does not allow one; code is never run without.
    """
    tried = run_tests("", "assert True", Limits(timeout_seconds=10, memory_megabytes=256))
    if tried.passed != 1:
        raise ConfigError(
            f"metric: code cannot shut code off on this machine ({tried.reason}); it needs Linux "
            "5.12 or later with user namespaces allowed, or root with CAP_SYS_ADMIN"
        )


def is_test_code(text: str) -> bool:
    """Whether it is Python that can fail: a reference answer "42" is Python, and tests nothing."""
    try:
        nodes = ast.walk(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.Assert | ast.Raise | ast.Call) for node in nodes)


def code_of(text: str) -> str:
    """The last ```python block of an answer; all of it, where there is none."""
    fenced = FENCED.findall(text)
    return str(fenced[-1]) if fenced else text
