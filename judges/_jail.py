"""Run inside the sandbox: shuts itself off, then runs code that nobody trusts.

Standard library only. Started by _sandbox.py as a script of its own, with a request as JSON on
standard input; it prints what came of it, as JSON. Order matters: namespaces, a file system of its
own, limits, and only then the code. Linux alone offers this; where a step is not allowed, nothing
is run.
"""

import ast
import contextlib
import ctypes
import json
import os
import resource
import secrets
import select
import signal
import stat
import sys
import time
from typing import Any

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER = 0x20000, 0x8000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
PR_SET_NO_NEW_PRIVS = 38
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1
CAPABILITIES_3 = 0x20080522
NOBODY = 65534
FIRST_FREE_UID = 0x70000000
"""Of a range no account has; each sandbox takes one, so that processes are counted for it alone."""

FOLDER = "/box"
"""Where the code runs: empty, and gone afterwards."""
VERDICT_BYTES = 16384
REASON_CHARACTERS = 500

libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The machine does not allow a step."""


def must(result: int, step: str) -> None:
    if result != 0:
        raise Refused(f"{step}: {os.strerror(ctypes.get_errno())}")


def leave_namespaces() -> None:
    """New network, processes, mounts and messages; as a plain user, in a user namespace."""
    uid, gid = os.geteuid(), os.getegid()
    flags = CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC
    must(libc.unshare(flags | (CLONE_NEWUSER if uid else 0)), "a new network namespace")
    if uid:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{NOBODY} {uid} 1"),
            ("gid_map", f"{NOBODY} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    arguments = [text.encode() if text is not None else None for text in (source, target, kind)]
    must(libc.mount(*arguments, flags, options.encode()), f"mounting {target}")


def enter_root(megabytes: int) -> None:
    """A read-only file system of Python and its libraries; only FOLDER, in memory, is written."""
    root = "/tmp"  # hidden from here on, and itself again for the rest of the machine
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    prefixes = {os.path.realpath(path) for path in (sys.prefix, sys.base_prefix)}
    shared = ["/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null", "/dev/urandom"]
    kept = [path for path in [*shared, *sorted(prefixes)] if os.path.exists(path)]
    opened = {path: os.open(path, os.O_PATH) for path in kept}
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    for path, handle in opened.items():
        _bind(handle, root + path)
    os.mkdir(root + FOLDER)
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY, 0, 0, 0)
    size = ctypes.sizeof(attributes)
    where = ctypes.c_char_p(root.encode())
    set_attributes = (SYS_MOUNT_SETATTR, AT_FDCWD, where, AT_RECURSIVE, attributes, size)
    must(libc.syscall(*set_attributes), "a read-only file system")
    mount("tmpfs", root + FOLDER, "tmpfs", MS_NOSUID | MS_NODEV, f"size={megabytes}m,mode=1777")
    for handle in opened.values():
        os.close(handle)
    os.chroot(root)
    os.chdir(FOLDER)


def _bind(handle: int, target: str) -> None:
    if os.path.exists(target):
        return  # it lies in one that is there already
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if stat.S_ISDIR(os.fstat(handle).st_mode):
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
    mount(f"/proc/self/fd/{handle}", target, None, MS_BIND | MS_REC)


def drop_rights(request: dict[str, Any]) -> None:
    """Limits first, then every capability goes, for good."""
    memory, disk = (request[key] << 20 for key in ("memory_megabytes", "disk_megabytes"))
    seconds = int(request["timeout_seconds"]) + 1
    for limit, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, disk),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_NPROC, request["processes"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setresuid(*[request["own_uid"]] * 3)
    must(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "giving up new privileges")
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_3, 0)
    must(libc.capset(header, (ctypes.c_uint32 * 6)()), "giving up capabilities")


def run_tests(code: str, tests: str) -> dict[str, Any]:
    """How many tests pass: each top-level `assert`, and each `test_` function, is one.

    Test code that has neither is one test: to run to its end. Where the code itself or any other
    statement of the tests fails, none has passed.
    """
    tree = ast.parse(tests)
    total = sum(_is_test(node) for node in tree.body)
    reasons: list[str] = []
    namespace: dict[str, Any] = {"__name__": "answer"}
    try:
        exec(compile(code, "answer", "exec", dont_inherit=True), namespace)
        for node in tree.body:
            try:
                _run(node, namespace)
            except Exception as error:
                if not _is_test(node):
                    raise
                reasons.append(f"test of line {node.lineno}: {_described(error)}")
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: the code is to return
        return {"passed": 0, "total": total or 1, "reason": _described(error)}
    passed = (total or 1) - len(reasons)
    return {"passed": passed, "total": total or 1, "reason": "".join(reasons[:1])}


def _is_test(node: ast.stmt) -> bool:
    is_function = isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    return is_function or isinstance(node, ast.Assert)


def _run(node: ast.stmt, namespace: dict[str, Any]) -> None:
    exec(compile(ast.Module([node], []), "tests", "exec", dont_inherit=True), namespace)
    if isinstance(node, ast.FunctionDef) and _is_test(node):
        namespace[node.name]()


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:REASON_CHARACTERS]
    except BaseException:  # an exception may have a __str__ of its own
        return "an exception without words"


def inside(request: dict[str, Any], nonce_fd: int, verdict_fd: int) -> None:
    """The first process of the new namespaces: becomes harmless, runs the tests, says how many."""
    read, write, leave = os.read, os.write, os._exit  # as they are before the code touches them
    dumps = json.JSONEncoder().encode
    try:
        enter_root(request["disk_megabytes"])
        drop_rights(request)
    except (OSError, Refused, ValueError) as error:
        write(verdict_fd, dumps({"refused": str(error)}).encode())
        leave(0)
    write(verdict_fd, b"\n")  # from here on it is the code that fails, not the machine
    nothing = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.environ.clear()
    found = run_tests(request["code"], request["tests"])
    nonce = read(nonce_fd, 64).decode()  # only now: while the code ran, it was not in this process
    write(verdict_fd, dumps({**found, "nonce": nonce}).encode()[:VERDICT_BYTES])
    leave(0)


def outside(verdict_fd: int, nonce: str, timeout_seconds: float) -> dict[str, Any]:
    """What the process in the sandbox says before its time is up."""
    said, deadline = b"", time.monotonic() + timeout_seconds
    while len(said) < VERDICT_BYTES:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([verdict_fd], [], [], left)[0]:
            return {"passed": 0, "total": 1, "reason": f"stopped after {timeout_seconds:g} s"}
        chunk = os.read(verdict_fd, VERDICT_BYTES)
        if not chunk:
            break
        said += chunk
    refusal, started, verdict = said.partition(b"\n")
    if not started:
        return json.loads(refusal or b'{"refused": "the sandbox ended before the code began"}')
    with contextlib.suppress(ValueError):
        found = json.loads(verdict)
        if isinstance(found, dict) and found.pop("nonce", None) == nonce:
            return found
    return {"passed": 0, "total": 1, "reason": "the code ended before its tests did"}


def main() -> None:
    request, nonce = json.load(sys.stdin), secrets.token_hex(16)
    request["own_uid"] = FIRST_FREE_UID + os.getpid()
    try:
        leave_namespaces()
    except (OSError, Refused) as error:
        print(json.dumps({"refused": str(error)}))
        return
    verdict_out, verdict_in = os.pipe()
    nonce_out, nonce_in = os.pipe()
    os.write(nonce_in, nonce.encode())
    child = os.fork()
    if child == 0:
        del nonce
        inside(request, nonce_out, verdict_in)
    os.close(verdict_in)
    try:
        found = outside(verdict_out, nonce, request["timeout_seconds"])
    finally:
        os.kill(child, signal.SIGKILL)  # the first process takes the whole namespace with it
        os.waitpid(child, 0)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
