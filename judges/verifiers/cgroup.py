"""A control group for one sandbox: a common limit on the memory and number of its processes.

Only root outside a container, or a user to whom a folder of the hierarchy was delegated, can make
one. Elsewhere only the limits of each process apply.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

V1, V2 = ("memory.limit_in_bytes", "pids.max"), ("memory.max", "pids.max")
REMOVAL_SECONDS = 2.0
"""Time to wait until a group's processes are gone and it can be removed."""


class ControlGroup:
    """A control group: one folder under version 2, one folder per controller under version 1."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self.folders = folders

    def add(self, pid: int) -> None:
        """Move a process, and with it every process it starts later, into the group."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))


@contextlib.contextmanager
def control_group(memory_bytes: int, processes: int) -> Iterator[ControlGroup | None]:
    """Make a group and remove it afterwards.

    Args:
        memory_bytes: Most memory of all its processes, files in memory included.
        processes: Most processes and threads at once.

    Yields:
        The group; None if none can be made.
    """
    name = f"solon-{os.getpid()}-{time.monotonic_ns()}"
    folders: list[Path] = []
    limits = {"memory": str(memory_bytes), "pids": str(processes)}
    _sweep()
    try:
        for parent, files in _parents():
            folder = parent / name
            folder.mkdir()
            folders.append(folder)
            for file in files:
                (folder / file).write_text(limits[file.split(".")[0]])
            with contextlib.suppress(OSError):
                (folder / "memory.swap.max").write_text("0")
    except OSError:
        _remove(folders)
        folders = []
    try:
        yield ControlGroup(tuple(folders)) if folders else None
    finally:
        _remove(folders)


@cache
def _sweep() -> None:
    """Remove the empty groups that killed processes left behind."""
    for parent, _ in _parents():
        for folder in parent.glob("solon-*-*"):
            owner = folder.name.split("-")[1]
            if owner.isdigit() and not Path("/proc", owner).exists():
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _remove(folders: list[Path]) -> None:
    """Remove empty groups; retry, because the kernel needs a moment after the last process ends."""
    deadline = time.monotonic() + REMOVAL_SECONDS
    for folder in folders:
        while True:
            try:
                folder.rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.005)


@cache
def _parents() -> tuple[tuple[Path, tuple[str, ...]], ...]:
    """Return the folders to make groups in, each with the limit files to write there."""
    own = _own_groups()
    v2 = [path for path, kind in _mounts().items() if kind == "cgroup2"]
    for mount in v2:
        for folder in (mount / own.get("", "").lstrip("/"), mount):
            if _offers(folder, {"memory", "pids"}) and os.access(folder, os.W_OK):
                return ((folder, V2),)
    parents = []
    for controller, file in zip(("memory", "pids"), V1, strict=True):
        mounts = [path for path, kind in _mounts().items() if kind == controller]
        for mount in mounts:
            inside = mount / own.get(controller, "").lstrip("/")
            folder = inside if inside.is_dir() else mount
            if os.access(folder, os.W_OK):
                parents.append((folder, (file,)))
    return tuple(parents)


def _own_groups() -> dict[str, str]:
    """Return this process's group by controller; version 2 has the empty name."""
    groups = {}
    for line in _lines("/proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def _mounts() -> dict[Path, str]:
    """Return the kind of each mounted hierarchy: "cgroup2", or its controller under version 1."""
    mounts = {}
    for line in _lines("/proc/mounts"):
        _, target, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            mounts[Path(target)] = kind
        elif kind == "cgroup":
            named = {"memory", "pids"} & set(options.split(","))
            mounts.update({Path(target): name for name in named})
    return mounts


def _offers(folder: Path, wanted: set[str]) -> bool:
    return wanted <= set(" ".join(_lines(folder / "cgroup.subtree_control")).split())


def _lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
