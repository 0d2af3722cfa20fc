"""Runs one answer against its tests and writes the verdict; started by judges/verifiers/sandbox.py.

The order matters. This program reads the request's first line (limits and the answer's code), drops
its privileges, and forks. Only then does the checker read the second line: the tests and a nonce
that its verdict must carry. The answer's process has neither of them, nor the verdict's pipe.

Tests that must share a process with the answer (see `testing.can_run_apart`) run in the answer's
process, which reports to the checker. There, code written against this very file can forge the one
thing that the checker accepts: how many of the tests passed.
"""

import ast
import fcntl
import json
import os
import resource
import signal
import sys
from typing import Any, NoReturn

from . import testing
from .peer import Gone, Peer

ALL = frozenset({"call", "get", "item", "len", "iter", "next"})
CALLS_ONLY = frozenset({"call", "next"})
CHUNK = 1 << 16
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Take over standard input and output, which the answer never gets, and serve the request."""
    # The first process of a sandbox gets no signal from inside that it does not handle.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    inward, outward = _take_over()
    try:
        request = json.loads(_line(inward))
        _limit(request)
    except (OSError, ValueError, KeyError) as error:
        os.write(outward, json.dumps({"refused": f"{error}"}).encode())
        return
    to_answer, from_answer = os.pipe(), os.pipe()
    if os.fork() == 0:
        kept = [_moved(to_answer[0]), _moved(from_answer[1])]
        os.dup2(kept[0], 3)
        os.dup2(kept[1], 4)
        os.closerange(5, 4096)
        os.setpgid(0, 0)  # a signal to its own group is no signal to the checker
        answer(request["code"], Peer(3, 4, ALL))
    os.close(to_answer[0])
    os.close(from_answer[1])
    os.write(outward, b"\n")  # from here on it is the code that fails, not the machine
    second = json.loads(_line(inward))
    verdict = check(second["tests"], Peer(from_answer[0], to_answer[1], CALLS_ONLY))
    os.write(outward, json.dumps({**verdict, "nonce": second["nonce"]}).encode())
    os._exit(0)


def _take_over() -> tuple[int, int]:
    """Return standard input and output as new descriptors; both are /dev/null from now on."""
    inward, outward = _moved(0), _moved(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.close(nothing)
    return inward, outward


def _moved(descriptor: int) -> int:
    """Return a copy of a descriptor, numbered above those that the answer's process keeps."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)


def _line(descriptor: int) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n"):
        part = os.read(descriptor, CHUNK)
        if not part:
            raise ValueError("the request has no end")
        data += part
    return bytes(data)


def _limit(request: dict[str, Any]) -> None:
    """Drop privileges and set limits."""
    memory, disk = (int(request[key]) << 20 for key in ("memory_megabytes", "disk_megabytes"))
    seconds = int(request["timeout_seconds"]) + 1
    own = request.get("user")
    if own is not None:  # started by root, in a user namespace that knows this number
        os.setgroups([])
        os.setresgid(own, own, own)
        os.setresuid(own, own, own)
        _die_with_parent()
    for limit, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, disk),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_NPROC, request["processes"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        if most is None:
            continue
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))
    os.environ.clear()
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.dirname(__file__))]


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends; a change of user had cancelled that.

    If the parent has ended already, the request has no second line, and `main` ends there.
    """
    import ctypes

    if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError("this process cannot be tied to its parent")


def answer(code: str, peer: Peer) -> NoReturn:
    """Run an answer's code, then offer the checker its names, or run the tests for the checker."""
    leave = os._exit
    namespace: dict[str, Any] = {"__name__": "answer"}
    failed: str | None = None
    try:
        exec(compile(code, "answer", "exec", dont_inherit=True), namespace)
    except BaseException as error:  # SystemExit too: the code is to return
        failed = testing.describe(error)

    def names(wanted: list[str]) -> Any:
        return failed or {name: namespace[name] for name in wanted if name in namespace}

    def run_tests(tests: str) -> Any:
        return failed or list(testing.run(ast.parse(tests), namespace))

    peer.kept[:] = [names, run_tests]
    try:
        peer.serve()
    finally:
        leave(0)


def check(tests: str, peer: Peer) -> dict[str, Any]:
    """Run tests on an answer that serves requests at the other end of the pipes."""
    tree = ast.parse(tests)
    total = testing.count_tests(tree)
    passed, reason = 0, ""
    try:
        if testing.can_run_apart(tree):
            own = testing.modules(tree)
            reply = peer.request("call", 0, (testing.wanted_names(tree),))
            if isinstance(reply, dict):
                passed, reason = testing.run(tree, {"__name__": "tests", **reply, **own})
            else:
                reason = reply
        else:
            reply = peer.request("call", 1, (tests,))
            passed, reason = reply if isinstance(reply, list) and len(reply) == 2 else (0, reply)
    except Gone as error:
        reason = str(error)
    except BaseException as error:  # whatever the code raises, SystemExit too
        reason = testing.describe(error)
    is_count = type(passed) is int and 0 <= passed <= total
    words = reason if isinstance(reason, str) else "the code reported nonsense"
    return {"passed": passed if is_count else 0, "total": total, "reason": words[:500]}
