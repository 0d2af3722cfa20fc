"""Programs that try to escape the sandbox, exceed their limits, or forge a verdict.

Each names what must become of it: a pattern for "passed/total reason". Where an attack is a call,
its outcome is what the tests raise, so that an attack that fails for another reason is not taken
for one that was stopped.
"""

import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

CALLS = """
import ctypes, errno, os, signal, socket, sys, time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def call(number, *arguments):
    kinds = [a if isinstance(a, (bytes, ctypes.Array)) else ctypes.c_long(a) for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *kinds)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def outcome():
    try:
        return f"came through: {attack()!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
"""
ASKED = "raise ValueError(outcome())"
SAID = "^0/1 ValueError: "
SQUARE = "assert f(2) == 4\nassert f(3) == 9"
DENIED = SAID + r"PermissionError: \[Errno 1\]"
ABSENT = SAID + r"OSError: \[Errno 38\]"
MISSING = SAID + r"FileNotFoundError: \[Errno 2\]"
UNWRITTEN = SAID + r"\w+: \[Errno (13|30)\]"
CAME = SAID + "came through: "
ENDED = "^0/[12] the code ended before its tests did"
STOPPED = "^0/1 stopped after 1 s"


def nothing_but_python(folder: str) -> str:
    """Return a pattern for a folder's listing: it is missing, or leads only to the interpreter.

    Wherever a user keeps the project, its environment is in the sandbox; so are the folders above.
    """
    names = [
        re.escape(Path(prefix).relative_to(folder).parts[0])
        for prefix in {sys.prefix, sys.base_prefix}
        if Path(prefix).is_relative_to(folder)
    ]
    entry = f"'(?:{'|'.join([*names, 'solon-hostile-[0-9]+'])})'"
    return rf"{MISSING}|{CAME}\[{entry}(?:, {entry})*\]$"


@dataclass(frozen=True)
class Hostile:
    """One program, its tests, and a pattern for the result."""

    name: str
    code: str
    tests: str
    expected: str


def attack(name: str, body: str, expected: str) -> Hostile:
    """Return a program whose attack is a function's body; `expected` matches its refusal."""
    function = "def attack():\n" + textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return Hostile(name, f"{CALLS}\n{function}\n", ASKED, expected)


def forgery(name: str, code: str, expected: str = "^0/2 ", tests: str = SQUARE) -> Hostile:
    return Hostile(name, textwrap.dedent(code), tests, expected)


FILES = [
    attack("read passwd", "return open('/etc/passwd').read()", MISSING),
    attack("read shadow", "return open('/etc/shadow').read()", MISSING),
    attack("read an ssh key", "return open('{secret}').read()", MISSING),
    attack("list root's home", "return os.listdir('/root/.ssh')", MISSING),
    attack("list homes", "return os.listdir('/home')", nothing_but_python("/home")),
    attack("list run", "return os.listdir('/run')", nothing_but_python("/run")),
    attack("list tmp", "return os.listdir('/tmp')", nothing_but_python("/tmp")),
    attack("list var", "return os.listdir('/var')", nothing_but_python("/var")),
    attack("list sys", "return os.listdir('/sys')", MISSING),
    attack("read own memory", "return open('/proc/self/mem', 'rb').read(1)", MISSING),
    attack("read the first process's files", "return os.listdir('/proc/1/root/etc')", MISSING),
    attack("read the parent's environment", "return open('/proc/1/environ').read()", MISSING),
    attack("list open descriptors", "return os.listdir('/proc/self/fd')", MISSING),
    attack("climb out by dots", "return open('../../../../etc/passwd').read()", MISSING),
    attack(
        "follow a link out",
        "os.symlink('/etc/passwd', 'link'); return open('link').read()",
        MISSING,
    ),
    attack("write beside Python", "open('/usr/lib/x', 'w')", UNWRITTEN),
    attack("write into the root", "open('/x', 'w')", UNWRITTEN),
    attack("write what runs inside", "open('/inside/contained/x', 'w')", UNWRITTEN),
    attack("write outside", "open('{outside}/written', 'w').write('x')", f"{MISSING}|{UNWRITTEN}"),
    attack("take a device", "os.mknod('disk', 0o60600, os.makedev(8, 0))", DENIED),
    attack("open by handle", "return call(304, -100, bytes(64), 0)", ABSENT),
    attack("find a terminal", "return os.open('/dev/tty', os.O_RDWR)", MISSING),
    attack("list devices", "return [os.listdir('/dev')]", CAME + r"\[\[[^\]]*\]\]$"),
    attack("read physical memory", "return open('/dev/mem', 'rb').read(1)", MISSING),
    attack(
        "use what descriptors were left open",
        """
        import stat
        kinds = []
        for descriptor in range(1024):
            try:
                mode = os.fstat(descriptor).st_mode
            except OSError:
                continue
            if not stat.S_ISCHR(mode):
                kinds.append((descriptor, stat.S_ISFIFO(mode)))
        return kinds
        """,
        CAME + r"\[\(3, True\), \(4, True\)\]$",
    ),
    attack("read the environment", "return dict(os.environ)", CAME + r"\{\}$"),
    attack(
        "run what is set-uid",
        "return [p for p in ('/bin/su', '/usr/bin/su', '/usr/bin/sudo') if os.path.exists(p)]",
        CAME + r"\[\]$",
    ),
    attack("run a shell", "os.execv('/bin/sh', ['sh', '-c', 'id'])", MISSING),
]

NETWORK = [
    attack("reach loopback", "return socket.create_connection(('127.0.0.1', {port}), 1)", DENIED),
    attack("reach a machine", "return socket.create_connection(('192.0.2.1', 80), 1)", DENIED),
    attack("send a datagram", "return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", DENIED),
    attack("speak IPv6", "return socket.socket(socket.AF_INET6)", DENIED),
    attack("speak netlink", "return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", DENIED),
    attack("speak to the hypervisor", "return socket.socket(40)", DENIED),
    attack("speak to the kernel's ciphers", "return socket.socket(38, 5)", DENIED),
    attack("read packets", "return socket.socket(17, socket.SOCK_RAW)", DENIED),
    attack(
        "speak to an agent",
        "s = socket.socket(socket.AF_UNIX); s.settimeout(1); return s.connect('{socket}')",
        MISSING,
    ),
    attack(
        "speak to an abstract socket",
        r"s = socket.socket(socket.AF_UNIX); s.settimeout(1); return s.connect('\0{abstract}')",
        SAID + r"ConnectionRefusedError",
    ),
    attack(
        "speak to docker",
        "s = socket.socket(socket.AF_UNIX); return s.connect('/var/run/docker.sock')",
        MISSING,
    ),
]

PROCESSES = [
    attack("kill its group", "os.kill(0, signal.SIGKILL)", ENDED),
    attack("stop its group", "os.kill(0, signal.SIGSTOP); time.sleep(9)", STOPPED),
    attack("kill everything", "os.kill(-1, signal.SIGKILL); return 1", f"{CAME}1|{SAID}Proc"),
    attack("stop everything", "os.kill(-1, signal.SIGSTOP); return 1", f"{CAME}1|{SAID}Proc"),
    attack("kill the checker", "os.kill(os.getppid(), signal.SIGKILL)", CAME + "None"),
    attack("stop the checker", "os.kill(os.getppid(), signal.SIGSTOP)", CAME + "None"),
    attack("interrupt the checker", "os.kill(1, signal.SIGINT); time.sleep(0.1)", CAME + "None"),
    attack("end the checker by time", "os.kill(1, signal.SIGXCPU)", CAME + "None"),
    attack(
        "bear every signal",
        """
        for number in range(1, 65):
            if number not in (9, 19, 32, 33):
                signal.signal(number, signal.SIG_IGN)
        while True:
            pass
        """,
        STOPPED,
    ),
    attack("sleep", "time.sleep(99)", STOPPED),
    attack("spin", "while True: pass", STOPPED),
    attack("spin in C", "return 9 ** 9 ** 9", f"{STOPPED}|{SAID}MemoryError"),
    attack("spin in a pattern", "import re; return re.match('(a+)+b', 'a' * 99)", STOPPED),
    attack(
        "fork without end",
        """
        children = 0
        try:
            while children < 500:
                if os.fork() == 0:
                    time.sleep(60)
                children += 1
        except BlockingIOError:
            return f"stopped at {children}"
        """,
        CAME + "'stopped at [1-7]'",
    ),
    attack(
        "start threads without end",
        """
        import threading
        started = 0
        try:
            while started < 500:
                threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
                started += 1
        except RuntimeError:
            return f"stopped at {started}"
        """,
        CAME + "'stopped at [1-7]'",
    ),
    attack(
        "leave a daemon",
        """
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(600)
            os._exit(0)
        return "left"
        """,
        CAME + "'left'",
    ),
    attack(
        "leave zombies",
        """
        for _ in range(5):
            if os.fork() == 0:
                os._exit(0)
        return "left"
        """,
        CAME + "'left'",
    ),
    attack("type into the terminal", "import fcntl; fcntl.ioctl(0, 0x5412, b'x')", ABSENT),
    attack(
        "type by a request with high bits",
        "return call(16, 0, 0x1_0000_5412, b'x')",
        ABSENT,
    ),
    attack("become root", "os.setuid(0)", DENIED),
    attack("become root by three numbers", "os.setresuid(0, 0, 0)", r"\[Errno (1|22)\]"),
    attack("change groups", "os.setgroups([0])", DENIED),
    attack("clone into namespaces", "return call(56, 0x10000011, 0, 0, 0, 0)", ABSENT),
    attack("clone into a network", "return call(56, 0x40000011, 0, 0, 0, 0)", ABSENT),
    attack(
        "lift its own limits",
        "import resource as r; r.setrlimit(r.RLIMIT_AS, (-1, -1))",
        SAID + "ValueError: not allowed",
    ),
    attack(
        "lift another's limits",
        "import resource as r; r.prlimit(os.getppid(), r.RLIMIT_CPU)",
        SAID + r"\w+: .*(denied|not impl)|Errno 38",
    ),
    attack(
        "make calls of another processor mode",
        """
        import mmap
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(bytes.fromhex("b814000000cd80c3"))  # getpid by int 0x80
        place = ctypes.addressof(ctypes.c_char.from_buffer(page))
        return ctypes.CFUNCTYPE(ctypes.c_int)(place)()
        """,
        ENDED,
    ),
    attack("make x32 calls", "return call(0x40000000 | 39)", ENDED),
]

MEMORY = [
    attack("take the heap", "return len('a' * (1 << 30))", SAID + "MemoryError"),
    attack(
        "share memory",
        "import mmap; return mmap.mmap(-1, 1 << 30)",
        SAID + r"OSError: \[Errno 12\]",
    ),
    attack("lock memory", "return call(149, 0, 4096)", ABSENT),
    attack(
        "fill a file", "open('x', 'wb').write(bytes(17 << 20))", SAID + r"OSError: \[Errno 27\]"
    ),
    attack(
        "fill the folder",
        "[open(str(n), 'wb').write(bytes(4 << 20)) for n in range(9)]",
        SAID + r"OSError: \[Errno 28\]",
    ),
    attack(
        "open without end",
        "return [os.open('.', 0) for _ in range(99)]",
        SAID + r"OSError: \[Errno 24\]",
    ),
    attack("fill shared memory", "open('/dev/shm/x', 'wb').write(bytes(1 << 20))", MISSING),
    attack(
        "fill pipes",
        """
        import fcntl
        ends = []
        for _ in range(20):
            r, w = os.pipe()
            os.set_blocking(w, False)
            fcntl.fcntl(w, 1031, 1 << 20)
            ends.append(os.write(w, bytes(1 << 20)))
        return sum(ends)
        """,
        f"{CAME}|{SAID}(PermissionError|MemoryError)",
    ),
    attack("print without end", "while True: print('a' * 100_000)", STOPPED),
    attack(
        "write to every descriptor without end",
        """
        for descriptor in (0, 1, 2, 5, 6, 7, 8, 9, 10, 11):
            try:
                os.write(descriptor, b"x" * 1_000_000)
            except OSError:
                pass
        """,
        CAME + "None",
    ),
]

NUMBERS = {
    "trace its parent": (101, 16, "parent", 0, 0),
    "read its parent's memory": (310, "parent", 0, 0, 0, 0, 0),
    "write its parent's memory": (311, "parent", 0, 0, 0, 0, 0),
    "hold its parent": (434, "parent", 0),
    "take its parent's descriptors": (438, 0, 0, 0),
    "compare with its parent": (312, "parent", "parent", 0, 0, 0),
    "join a keyring": (250, 1, 0),
    "read the session's keyring": (250, 11, -3, 0, 0),
    "leave a key": (248, b"user", b"left", b"x", 1, -3),
    "request a key": (249, b"user", b"kerberos", 0, -3),
    "make shared memory": (29, 0, 1 << 26, 0o1600),
    "make semaphores": (64, 0, 1, 0o1600),
    "make a message queue": (68, 0, 0o1600),
    "make a file without a name": (319, b"x", 0),
    "make secret memory": (447, 0),
    "load a program into the kernel": (321, 0, 0, 0),
    "watch the processor": (298, 0, 0, -1, -1, 0),
    "handle page faults": (323, 0),
    "make a ring": (425, 1, 0),
    "mount": (165, b"none", b"/box", b"tmpfs", 0, 0),
    "unmount": (166, b"/box", 2),
    "change the root": (155, b"/box", b"/box"),
    "change its root": (161, b"/box"),
    "leave its namespaces": (272, 0x10000000),
    "enter others": (308, 0, 0),
    "change its personality": (135, 0x0040000),
}
"""System calls that are refused, by their x86-64 numbers."""
UNKNOWN = {
    "clone by structure": (435, 0, 0),
    "open a tree": (428, -100, b"/", 1),
    "open a file system": (430, b"proc", 0),
    "change a mount": (442, -100, b"/", 0, 0, 0),
    "load a module": (175, 0, 0, b""),
    "load another kernel": (246, 0, 0, 0, 0),
    "restart the machine": (169, 0xFEE1DEAD, 672274793, 0x1234567, 0),
    "read the kernel's log": (103, 3, 0, 0),
    "set the clock": (227, 0, 0),
    "name the machine": (170, b"x", 1),
    "use ports": (172, 3),
    "change its descriptor table": (154, 0, 0, 0),
    "watch files": (294, 0),
    "watch all files": (300, 0, 0),
    "filter itself": (317, 0, 0, 0),
    "become untraceable": (157, 4, 0, 0, 0, 0),
    "outlive by prctl": (157, 36, 1, 0, 0, 0),
    "set capabilities": (126, 0, 0),
    "share pages": (216, 0, 0, 0, 0, 0),
    "call what is not there yet": (9999,),
}
"""System calls that fail as if they did not exist."""


def _call(arguments: tuple[int | bytes | str, ...]) -> str:
    texts = ["os.getppid()" if each == "parent" else repr(each) for each in arguments]
    return f"return call({', '.join(texts)})"


SYSTEM_CALLS = [
    *(attack(name, _call(arguments), DENIED) for name, arguments in NUMBERS.items()),
    *(attack(name, _call(arguments), ABSENT) for name, arguments in UNKNOWN.items()),
]
