"""Runs untrusted code against unit tests, isolated from the machine.

bubblewrap.py isolates the code, or container.py if bubblewrap is forbidden; contained/ runs inside.
The code sees no network, no environment, no files but Python's own, and an empty folder in memory.
Its time, memory, processes and files are limited, and nothing of it remains. README.md lists the
attacks that this does not stop.
"""

import ast
import contextlib
import json
import logging
import os
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
from judges.verifiers.bubblewrap import Interpreter, SandboxProcess
from rlhf_core.errors import ConfigError

logger = logging.getLogger(__name__)

Kind = Literal["bubblewrap", "docker", "off"]
LONGEST_VERDICT = 16384
"""Most bytes read from the program inside."""
REASON_CHARACTERS = 500
Count = Annotated[int, Field(ge=0, le=1_000_000)]


@dataclass(frozen=True)
class Limits:
    """Limits on the resources of code."""

    timeout_seconds: float
    memory_megabytes: int
    """Memory of each process; of all together, if a control group can be made."""
    processes: int = 8
    """Number of processes and threads at once."""
    disk_megabytes: int = 16
    """Size of its folder, which is in memory too."""


@dataclass(frozen=True)
class TestRun:
    """The result of the tests; if `passed` is None, nothing was run, and `reason` says why."""

    passed: int | None
    total: int
    reason: str


class Verdict(BaseModel):
    """The only message that counts as a verdict from a sandbox."""

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
    """The message of a program inside that could not begin."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    refused: Annotated[str, Field(max_length=REASON_CHARACTERS)]


class NotStarted(Exception):
    """The sandbox did not start; the message says why."""


def run_tests(
    code: str,
    tests: str,
    limits: Limits,
    kind: Kind = "bubblewrap",
    interpreter: Interpreter | None = None,
) -> TestRun:
    """Run code and its tests in isolation.

    Args:
        code: The answer's Python code.
        tests: The tests' Python code, which is untrusted too.
        limits: Limits on both together.
        kind: Kind of isolation.
        interpreter: The Python that runs them; the running one by default.

    Returns:
        The number of tests that passed, or the reason why nothing was run.
    """
    if sys.platform != "linux":
        return TestRun(None, 0, "it needs Linux")
    nonce = secrets.token_hex(16)
    try:
        with _start(kind, limits, interpreter or Interpreter.running()) as program:
            most = limits.processes + 1  # the checker, which has the same user
            request = {
                **asdict(limits),
                "code": code,
                "user": program.user,
                "processes": most if program.has_own_user else None,
            }
            _begin(program, request)
            deadline = time.monotonic() + limits.timeout_seconds
            message = _finish(program, {"tests": tests, "nonce": nonce}, deadline)
    except NotStarted as error:
        return TestRun(None, 0, str(error))
    except (OSError, ConfigError) as error:
        return TestRun(None, 0, f"{type(error).__name__}: {error}"[:200])
    if message is None:
        return TestRun(0, 1, f"stopped after {limits.timeout_seconds:g} s")
    return _read_verdict(message, nonce)


def _start(
    kind: Kind, limits: Limits, interpreter: Interpreter
) -> AbstractContextManager[SandboxProcess]:
    memory, disk = limits.memory_megabytes << 20, limits.disk_megabytes << 20
    if kind == "bubblewrap":
        return bubblewrap.start(interpreter, memory, disk, limits.processes)
    if kind == "docker":
        return container.start(memory, disk, limits.processes)
    return container.start_unisolated(interpreter)


def _begin(program: SandboxProcess, request: dict[str, object]) -> None:
    """Send the code, and wait until the program inside has dropped its privileges.

    Raises:
        NotStarted: If it could not; the message quotes the program, or the one that starts it.
    """
    deadline = time.monotonic() + bubblewrap.START_SECONDS
    reply = _exchange(program, json.dumps(request).encode() + b"\n", deadline, until=b"\n")
    if reply is None:
        raise NotStarted(f"it did not start within {bubblewrap.START_SECONDS:g} s")
    if reply.startswith(b"\n"):
        return
    with contextlib.suppress(ValidationError):
        raise NotStarted(Refusal.model_validate_json(reply).refused)
    assert program.process.stderr is not None
    errors = program.process.stderr.fileno()
    is_ready = select.select([errors], [], [], 1.0)[0]
    words = os.read(errors, 4096).decode(errors="replace").strip() if is_ready else ""
    raise NotStarted((words or "it ended before the code began")[-REASON_CHARACTERS:])


def _finish(program: SandboxProcess, request: dict[str, str], deadline: float) -> bytes | None:
    """Send the tests and return the program's reply; None if its time is up."""
    return _exchange(program, json.dumps(request).encode() + b"\n", deadline, until=None)


def _exchange(
    program: SandboxProcess, message: bytes, deadline: float, until: bytes | None
) -> bytes | None:
    """Write a message and read the reply at the same time.

    Args:
        program: The program inside.
        message: The message; the program need not read all of it.
        deadline: Time on the monotonic clock, in seconds.
        until: Bytes that end the reply; None to read to its end.

    Returns:
        The reply, cut at its greatest length; None if the deadline passed.
    """
    assert program.process.stdin is not None
    assert program.process.stdout is not None
    write, read = program.process.stdin.fileno(), program.process.stdout.fileno()
    os.set_blocking(write, False)
    reply, unsent = b"", memoryview(message)
    while len(reply) < LONGEST_VERDICT and not (until and until in reply):
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
            reply += part
    return reply


def _read_verdict(message: bytes, nonce: str) -> TestRun:
    """Return the checker's verdict; a message that is not the checker's passes no test."""
    try:
        verdict = Verdict.model_validate_json(message)
    except ValidationError:
        return TestRun(0, 1, "the code ended before its tests did")
    if not secrets.compare_digest(verdict.nonce.encode(), nonce.encode()):
        return TestRun(0, 1, "the code ended before its tests did")
    return TestRun(verdict.passed, verdict.total, verdict.reason)


@cache
def check(kind: Kind = "bubblewrap") -> None:
    """Try the sandbox once.

    Raises:
        ConfigError: If this machine cannot isolate code; code never runs without isolation.
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
        f"metric: code cannot isolate code on this machine ({tried.reason}); "
        f"{_advice(kind, tried.reason)}"
    )


def _advice(kind: Kind, reason: str) -> str:
    if sys.platform != "linux":
        return "the sandbox needs the Linux kernel"
    if kind == "docker":
        return container.ADVICE
    if "namespace" in reason or "uid map" in reason or "not permitted" in reason.lower():
        return bubblewrap.FORBIDDEN
    return "`sandbox: docker` runs it in a container"


def is_test_code(text: str) -> bool:
    """Return True if a text is Python that can fail; "42", a reference answer, tests nothing."""
    try:
        nodes = ast.walk(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.Assert | ast.Raise | ast.Call) for node in nodes)
