"""The system calls that code in the sandbox may make, as a filter that the kernel runs.

libseccomp translates the names. It is called through ctypes, because its only binding on PyPI has
had no release since 2021 and needs the same library. The list holds what Python and its standard
library need. Every other call, newer ones included, fails as if it did not exist ("function not
implemented"); a few that programs probe for fail with "not permitted".
"""

import ctypes
import errno
import os
import socket
import tempfile
from functools import cache

from rlhf_core.errors import ConfigError

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NOT_EQUAL, EQUAL, MASKED_EQUAL = 1, 4, 7
CLONE_NEW_ANYTHING = 0x7E020000 | 0x80
"""Every flag of clone that makes a namespace."""
TERMINAL_REQUESTS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Allowed ioctl requests: they query a file (TCGETS, TIOCGWINSZ, FIONREAD) or set how it is read
(FIONBIO, FIONCLEX, FIOCLEX). Typing into a terminal (TIOCSTI, TIOCLINUX) is not among them."""
PROCESS_OPTIONS = (1, 15, 16)
"""Allowed prctl options: set the signal sent at the parent's death, set and get a thread's name."""

FILES = (
    "access chdir chmod close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 "
    "chown fadvise64 fallocate fchdir fchmod fchmodat fchown fchownat fcntl fdatasync fgetxattr "
    "flistxattr flock fstat fstatfs fsync ftruncate getcwd getdents getdents64 getxattr lchown "
    "lgetxattr link linkat listxattr llistxattr lseek lstat mkdir mkdirat mknod mknodat newfstatat "
    "open openat pipe pipe2 pread64 preadv pwrite64 pwritev read readlink readlinkat readv rename "
    "renameat renameat2 rmdir sendfile splice stat statfs statx symlink symlinkat sync tee "
    "truncate umask unlink unlinkat utime utimensat utimes write writev"
)
MEMORY = "brk madvise membarrier mincore mmap mprotect mremap msync munmap"
PROCESSES = (
    "arch_prctl capget execve execveat exit exit_group fork futex get_robust_list getcpu getegid "
    "geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid getresuid "
    "getrlimit getrusage getsid gettid getuid kill rseq sched_get_priority_max "
    "sched_get_priority_min sched_getaffinity sched_getparam sched_getscheduler sched_yield "
    "set_robust_list set_tid_address setpgid setpriority setrlimit setsid sysinfo tgkill tkill "
    "uname vfork wait4 waitid"
)
RIGHTS = "setgroups setresgid setresuid"
"""Calls for the process that switches its user before the code begins; the code lacks the rights
to use them."""
SIGNALS_AND_TIME = (
    "alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep pause "
    "restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
    "rt_sigsuspend rt_sigtimedwait setitimer sigaltstack time timer_create timer_delete "
    "timer_getoverrun timer_gettime timer_settime times"
)
WAITING = (
    "epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 "
    "getrandom poll ppoll pselect6 select timerfd_create timerfd_gettime timerfd_settime"
)
SOCKETS = (
    "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg "
    "recvmsg sendmmsg sendmsg sendto setsockopt shutdown"
)
ALLOWED = " ".join((FILES, MEMORY, PROCESSES, RIGHTS, SIGNALS_AND_TIME, WAITING, SOCKETS))
REFUSED = (
    "add_key bpf chroot fsetxattr io_uring_enter io_uring_register io_uring_setup kcmp keyctl "
    "lsetxattr memfd_create memfd_secret mount msgget perf_event_open personality pidfd_getfd "
    "pidfd_open pivot_root process_vm_readv process_vm_writev ptrace request_key semget setgid "
    "setns setuid setxattr shmat shmget umount2 unshare userfaultfd vmsplice"
)
"""Calls that fail with "not permitted", which is clearer than "not implemented". clone3 is not
among them: if it does not exist, glibc calls clone, whose flags a filter can read."""


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


@cache
def program() -> bytes:
    """Return the filter for this machine, as `bwrap --seccomp` reads it.

    Raises:
        ConfigError: If libseccomp is not installed.
    """
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        raise ConfigError(
            "metric: code needs libseccomp, which is not installed: apt-get install libseccomp2"
        ) from None
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ERRNO | errno.ENOSYS))
    try:
        _add_rules(library, context)
        with tempfile.TemporaryFile() as file:
            _must(library.seccomp_export_bpf(context, file.fileno()))
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            return file.read()
    finally:
        library.seccomp_release(context)


def _add_rules(library: ctypes.CDLL, context: ctypes.c_void_p) -> None:
    def rule(action: int, name: str, *conditions: tuple[int, int, int, int]) -> None:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return  # this processor, or an older libseccomp, has no such call
        comparisons = (_Comparison * len(conditions))(*(_Comparison(*each) for each in conditions))
        _must(
            library.seccomp_rule_add_array(
                context, ctypes.c_uint32(action), number, len(conditions), comparisons
            )
        )

    for name in ALLOWED.split():
        rule(ALLOW, name)
    for name in REFUSED.split():
        rule(ERRNO | errno.EPERM, name)
    rule(ALLOW, "clone", (0, MASKED_EQUAL, CLONE_NEW_ANYTHING, 0))
    rule(ALLOW, "prlimit64", (0, EQUAL, 0, 0))  # its own
    for name in ("socket", "socketpair"):
        rule(ALLOW, name, (0, EQUAL, socket.AF_UNIX, 0))
        rule(ERRNO | errno.EPERM, name, (0, NOT_EQUAL, socket.AF_UNIX, 0))
    for request in TERMINAL_REQUESTS:  # the kernel reads 32 bits; the rest could hide another
        rule(ALLOW, "ioctl", (1, MASKED_EQUAL, 0xFFFFFFFF, request))
    for option in PROCESS_OPTIONS:
        rule(ALLOW, "prctl", (0, MASKED_EQUAL, 0xFFFFFFFF, option))


def _must(result: int) -> None:
    if result != 0:
        raise OSError(-result, f"libseccomp: {os.strerror(-result)}")
