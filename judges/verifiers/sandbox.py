"""Runs code that nobody trusts against unit tests, shut off from the machine.

bubblewrap.py shuts it off, container.py does where that is forbidden, and contained/ runs
inside. The code sees no network, no environment, no files but Python's own, and an empty folder in
memory; time, memory, processes and what it writes are bounded; all of it is gone after. README.md
says what this does not protect from.
"""

import ast
import contextlib
import json
import logging
import os
import re
import secrets
import select
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from judges.verifiers import bubblewrap, container, seccomp
from judges.verifiers.bubblewrap import Interpreter, Started
from rlhf_core.errors import ConfigError

logger = logging.getLogger(__name__)

Kind = Literal["bubblewrap", "docker", "off"]
LONGEST_VERDICT = 16384
"""Bytes."""
REASON_CHARACTERS = 500
FENCED = re.compile(r"^```(?:python|py)[ \t]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
Count = Annotated[int, Field(ge=0, le=1_000_000)]


@dataclass(frozen=True)
class Limits:
    """What code may take."""

    timeout_seconds: float
    memory_megabytes: int
    """Of each of its processes; of all together, where a control group can be made."""
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


class Verdict(BaseModel):
    """What may come out of a sandbox; anything else is no verdict."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    nonce: str
    passed: Count
    total: Annotated[Count, Field(ge=1)]
    reason: Annotated[str, Field(max_length=REASON_CHARACTERS)]

    @model_validator(mode="after")
    def _is_possible(self) -> "Verdict":
        if self.passed > self.total:
            raise ValueError("more tests passed than there are")
        return self


class Refusal(BaseModel):
    """Why the program inside did not begin."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    refused: Annotated[str, Field(max_length=REASON_CHARACTERS)]


class NotStarted(Exception):
    """Nothing was run, and the message says why."""


def run_tests(
    code: str,
    tests: str,
    limits: Limits,
    kind: Kind = "bubblewrap",
    interpreter: Interpreter | None = None,
) -> TestRun:
    """Run code and then its tests, shut off from everything.

    Args:
        code: The answer's Python.
        tests: The tests' Python, which is as little trusted.
        limits: What both together may take.
        kind: How they are shut off.
        interpreter: The Python that runs them; the running one by default.
    """
    if sys.platform != "linux":
        return TestRun(None, 0, "it needs Linux")
    nonce = secrets.token_hex(16)
    try:
        with _started(kind, limits, interpreter or Interpreter.running()) as started:
            most = limits.processes + 1  # the checker, which has the same user
            asked = {
                **asdict(limits),
                "code": code,
                "user": started.user,
                "processes": most if started.has_own_user else None,
            }
            _begin(started, asked)
            deadline = time.monotonic() + limits.timeout_seconds
            said = _finish(started, {"tests": tests, "nonce": nonce}, deadline)
    except NotStarted as error:
        return TestRun(None, 0, str(error))
    except (OSError, ConfigError) as error:
        return TestRun(None, 0, f"{type(error).__name__}: {error}"[:200])
    if said is None:
        return TestRun(0, 1, f"stopped after {limits.timeout_seconds:g} s")
    return _read_verdict(said, nonce)


def _started(
    kind: Kind, limits: Limits, interpreter: Interpreter
) -> AbstractContextManager[Started]:
    memory, disk = limits.memory_megabytes << 20, limits.disk_megabytes << 20
    if kind == "bubblewrap":
        return bubblewrap.started(interpreter, memory, disk, limits.processes)
    if kind == "docker":
        return container.started(memory, disk, limits.processes)
    return container.started_without(interpreter)


def _begin(started: Started, request: dict[str, object]) -> None:
    """Send the code, and wait until the program inside has shut itself in.

    Raises:
        NotStarted: If it could not; with what it, or what was to start it, said.
    """
    deadline = time.monotonic() + bubblewrap.START_SECONDS
    said = _exchange(started, json.dumps(request).encode() + b"\n", deadline, until=b"\n")
    if said is None:
        raise NotStarted(f"it did not start within {bubblewrap.START_SECONDS:g} s")
    if said.startswith(b"\n"):
        return
    with contextlib.suppress(ValidationError):
        raise NotStarted(Refusal.model_validate_json(said).refused)
    assert started.process.stderr is not None
    complaints = started.process.stderr.fileno()
    is_there = select.select([complaints], [], [], 1.0)[0]
    words = os.read(complaints, 4096).decode(errors="replace").strip() if is_there else ""
    raise NotStarted((words or "it ended before the code began")[-REASON_CHARACTERS:])


def _finish(started: Started, request: dict[str, str], deadline: float) -> bytes | None:
    """Send the tests and return what the program inside says; None where its time is up."""
    return _exchange(started, json.dumps(request).encode() + b"\n", deadline, until=None)


def _exchange(
    started: Started, message: bytes, deadline: float, until: bytes | None
) -> bytes | None:
    """Write a message while reading what comes.

    Args:
        started: The program to speak to.
        message: Written as far as the program reads it.
        deadline: On the monotonic clock, in seconds.
        until: The bytes to stop at; None for the end of what is said.

    Returns:
        What was said, cut at its longest; None where the deadline passed.
    """
    assert started.process.stdin is not None
    assert started.process.stdout is not None
    write, read = started.process.stdin.fileno(), started.process.stdout.fileno()
    os.set_blocking(write, False)
    said, unsent = b"", memoryview(message)
    while len(said) < LONGEST_VERDICT and not (until and until in said):
        left = deadline - time.monotonic()
        ready = select.select([read], [write] if unsent else [], [], left) if left > 0 else None
        if ready is None or not any(ready):
            return None
        if ready[1]:
            try:
                unsent = unsent[os.write(write, unsent) :]
            except BrokenPipeError:
                unsent = unsent[:0]
        if ready[0]:
            part = os.read(read, LONGEST_VERDICT)
            if not part:
                break
            said += part
    return said


def _read_verdict(said: bytes, nonce: str) -> TestRun:
    """Return what a verdict says; one that is none, or not the checker's, passes no test."""
    try:
        verdict = Verdict.model_validate_json(said)
    except ValidationError:
        return TestRun(0, 1, "the code ended before its tests did")
    if not secrets.compare_digest(verdict.nonce.encode(), nonce.encode()):
        return TestRun(0, 1, "the code ended before its tests did")
    return TestRun(verdict.passed, verdict.total, verdict.reason)


@cache
def check(kind: Kind = "bubblewrap") -> None:
    """Try the sandbox once.

    Raises:
        ConfigError: If this machine does not allow one; code is never run without.
    """
    if kind == "bubblewrap" and sys.platform == "linux":
        bubblewrap.executable()
        seccomp.program()
    tried = run_tests("", "assert True", Limits(timeout_seconds=10, memory_megabytes=256), kind)
    if tried.passed == 1:
        if kind == "off":
            logger.warning("sandbox: off; answers' code can read files and use the network")
        return
    raise ConfigError(
        f"metric: code cannot shut code off on this machine ({tried.reason}); "
        f"{_advice(kind, tried.reason)}"
    )


def _advice(kind: Kind, reason: str) -> str:
    if sys.platform != "linux":
        return "the sandbox is the kernel's"
    if kind == "docker":
        return container.ADVICE
    if "namespace" in reason or "uid map" in reason or "not permitted" in reason.lower():
        return bubblewrap.FORBIDDEN
    return "`sandbox: docker` runs it in a container"


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
