"""The command line that isolates a program with bubblewrap, and the program's start and end.

Each program gets new user, mount, process, network, message, host-name and control-group
namespaces, a read-only view of the interpreter's own libraries, one folder in memory, no
environment, no descriptors but two pipes, a filter on system calls, and limits. It never runs as
root: if root starts it, it runs under a user id that no account has.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from judges.verifiers import cgroup, seccomp
from rlhf_core.errors import ConfigError

NOBODY = 65534
FIRST_FREE_UID = 0x70000000
"""First user id of a range that no account uses; each sandbox gets its own id, so that the kernel
counts its processes alone."""
FOLDER = "/box"
"""Working folder of the code: empty, in memory, and removed afterwards."""
CONTAINED = Path(__file__).with_name("contained")
INSIDE = "/inside"
START = f"import sys; sys.path.append({INSIDE!r}); from contained.main import main; main()"
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
START_SECONDS = 20.0
"""Time that a busy machine may need to start Python, in addition to the time limit."""
END_SECONDS = 5.0
OVERHEAD_BYTES = 64 << 20
"""Memory of Python and the checker, in addition to the answer's."""
INSTALL = "apt-get install bubblewrap"
FORBIDDEN = (
    "user namespaces are forbidden: set kernel.unprivileged_userns_clone=1 (Debian) or "
    "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu) and user.max_user_namespaces above 0; "
    "in a container that forbids them, set `sandbox: docker` on the judge"
)


@dataclass(frozen=True)
class Interpreter:
    """A Python interpreter to run inside: its executable and the folders of its libraries."""

    executable: str
    prefixes: tuple[str, ...]
    """Folders of its environment and of the base installation."""

    @classmethod
    def running(cls) -> "Interpreter":
        """Return the running interpreter."""
        return cls(sys.executable, (sys.prefix, sys.base_prefix))


@dataclass
class SandboxProcess:
    """A running program in the sandbox, which can be ended at any time."""

    process: "subprocess.Popen[bytes]"
    user: int | None = None
    """The user id that the program must switch to; None if it has no privileges to drop."""
    has_own_user: bool = True
    """True if no other program runs under its user id, so that its processes can be limited."""
    init: int | None = None
    """Descriptor of the first process in the sandbox; when that ends, the kernel ends the rest."""

    def end(self) -> None:
        """Kill every process of it, and return when none is left."""
        if self.init is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.init, signal.SIGKILL)
            select.select([self.init], [], [], END_SECONDS)
            os.close(self.init)
            self.init = None
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(END_SECONDS)  # bubblewrap reaps the process that has just ended
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self.process.wait()


def executable() -> str:
    """Return the path of bubblewrap.

    Raises:
        ConfigError: If it is not installed; the message names the command that installs it.
    """
    path = shutil.which("bwrap", path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/local/bin")
    if path is None:
        raise ConfigError(f"metric: code needs bubblewrap, which is not installed: {INSTALL}")
    return path


def command(interpreter: Interpreter, disk_bytes: int, user: int | None) -> list[str]:
    """Return the command that runs the contained program, without its descriptor numbers.

    Args:
        interpreter: The Python to run it with.
        disk_bytes: Size of its folder.
        user: The user id that it switches to if root starts it; None for other users.
    """
    identity = ["--cap-drop", "ALL"]
    if user is None:
        identity += ["--uid", str(NOBODY), "--gid", str(NOBODY)]
    else:
        identity += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    devices = [part for path in DEVICES for part in ("--dev-bind-try", path, path)]
    return [
        executable(),
        *("--unshare-all", "--unshare-user", "--unshare-cgroup", "--hostname", "sandbox"),
        *("--new-session", "--as-pid-1", "--die-with-parent"),
        "--clearenv",
        *identity,
        *_libraries(interpreter),
        *("--perms", "0755", "--dir", "/dev"),
        *devices,
        *("--ro-bind", str(CONTAINED), f"{INSIDE}/contained"),
        *("--perms", "1777", "--size", str(disk_bytes), "--tmpfs", FOLDER),
        *("--remount-ro", "/", "--chdir", FOLDER),
    ]


@cache
def _libraries(interpreter: Interpreter) -> tuple[str, ...]:
    """Return read-only binds of the files that the interpreter loads, and of nothing else."""
    wanted: dict[str, str] = {}
    for path in ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64"):
        _want(wanted, path)
    for prefix in interpreter.prefixes:
        for part in ("bin", "lib", "lib64", "pyvenv.cfg"):
            if prefix != "/usr" or part != "bin":
                _want(wanted, os.path.join(prefix, part))
                _want(wanted, os.path.join(os.path.realpath(prefix), part))
    link = interpreter.executable
    _want(wanted, link)
    while os.path.islink(link):  # as a virtual environment's python is, to the system's python3
        link = os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
        _want(wanted, link)
    arguments: list[str] = []
    covered: list[str] = []
    parents: dict[str, None] = {}
    for path, source in sorted(wanted.items()):
        if os.path.islink(path) and path.count("/") == 1:
            arguments += ["--symlink", os.readlink(path), path]
        elif not any(path.startswith(f"{above}/") for above in covered):
            arguments += ["--ro-bind", source, path]
            covered.append(path)
            parents.update(dict.fromkeys(str(each) for each in reversed(Path(path).parents)))
    # Made here, bare and open to all; bubblewrap would give /root the mode of the machine's own.
    made = [part for path in parents if path != "/" for part in ("--perms", "0755", "--dir", path)]
    arguments = made + arguments
    base = os.path.realpath(interpreter.prefixes[-1])
    if base != "/usr":
        arguments += ["--setenv", "LD_LIBRARY_PATH", os.path.join(base, "lib")]
    return tuple(arguments)


def _want(wanted: dict[str, str], path: str) -> None:
    if os.path.lexists(path):
        wanted[path] = os.path.realpath(path)


@contextlib.contextmanager
def start(
    interpreter: Interpreter, memory_bytes: int, disk_bytes: int, processes: int
) -> Iterator[SandboxProcess]:
    """Start the contained program; on exit, kill it and remove everything it left.

    Args:
        interpreter: The Python to run it with.
        memory_bytes: Most memory of all its processes, if a control group can be made.
        disk_bytes: Size of its folder, which is in memory.
        processes: Most processes and threads of the answer.

    Yields:
        The running program.

    Raises:
        ConfigError: If bubblewrap or libseccomp is not installed.
        OSError: If it cannot be started.
    """
    user = FIRST_FREE_UID + os.getpid() if _can_map(FIRST_FREE_UID) else None
    info, release, rules = os.pipe(), os.pipe(), os.pipe()
    ends = {*info, *release, *rules}
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: _close(ends))
        os.write(rules[1], seccomp.program())
        _close(ends, rules[1])
        block = "--block-fd" if user is None else "--userns-block-fd"
        numbers = {"--info-fd": info[1], block: release[0], "--seccomp": rules[0]}
        arguments = [text for key, number in numbers.items() for text in (key, str(number))]
        call = [*command(interpreter, disk_bytes, user), *arguments]
        most = memory_bytes + disk_bytes + OVERHEAD_BYTES
        group = stack.enter_context(cgroup.control_group(most, processes + 4))
        process = subprocess.Popen(
            [*call, "--", interpreter.executable, "-I", "-B", "-c", START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=list(numbers.values()),
            env={},
            cwd="/",
        )
        running = SandboxProcess(process, user)
        stack.callback(running.end)
        _close(ends, *numbers.values())
        pid = _first_process(info[0], START_SECONDS)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                running.init = os.pidfd_open(pid)
                if user is not None:
                    _map(pid, user)
                if group is not None:
                    group.add(pid)
            with contextlib.suppress(BrokenPipeError):
                os.write(release[1], b"1")
        yield running


def _close(ends: set[int], *which: int) -> None:
    """Close some of the pipes' ends, or all that are still open."""
    for end in which or tuple(ends):
        os.close(end)
        ends.discard(end)


def _first_process(info: int, seconds: float) -> int | None:
    """Return the host's process id of the sandbox's first process; None if it did not start."""
    text = b""
    while b"}" not in text:
        is_ready = select.select([info], [], [], seconds)[0]
        part = os.read(info, 4096) if is_ready else b""
        if not part:
            return None
        text += part
    return int(json.loads(text)["child-pid"])


def _map(pid: int, user: int) -> None:
    """Map root, which builds the view of files, and the program's own id into a user namespace."""
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{pid}/{name}").write_text(f"0 0 1\n{user} {user} 1\n")


@cache
def _can_map(user: int) -> bool:
    """Return True if this process is root and may map that user id."""
    if os.geteuid() != 0:
        return False
    status = Path("/proc/self/status").read_text()
    rights = int(status.split("CapEff:")[1].split()[0], 16)
    both = (1 << 6) | (1 << 7)  # CAP_SETGID, CAP_SETUID
    ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    is_known = any(int(first) <= user < int(first) + int(many) for first, _, many in ranges)
    return rights & both == both and is_known
