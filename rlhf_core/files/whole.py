"""Files and folders that are there whole or not at all.

Everything is written under a name of its own in the target's folder and takes the target's name
when it is complete. The name is random and the file is created exclusively, so that no symlink is
followed and two commands that write one target never share a file: the later one wins whole.

Whoever writes holds a lock on what it writes, which ends with the process. What a killed process
left is therefore known for certain, whatever the clock says, and is removed by the next that
writes into the same folder.
"""

import errno
import fcntl
import io
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

from rlhf_core.errors import DataFileError

UNFINISHED = re.compile(r"\.solon-[0-9a-f]{32}\.partial")
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
ATTEMPTS = 10
_unfinished: set[Path] = set()
"""What this process is writing."""


@contextmanager
def whole_file(path: Path, *, is_new: bool = False) -> Iterator[BinaryIO]:
    """A stream of bytes that becomes the file `path` when the block ends without an error.

    Args:
        path: The file to write, in a folder that is there. A symlink of that name is replaced, not
            followed.
        is_new: Whether a file that is there already is an error instead of being replaced.

    Raises:
        DataFileError: If the path cannot be written to, is no regular file, or must be new and is
            not; or if the disk is full.
    """
    _check_target(path, is_new)
    with _writing(path):
        unfinished, descriptor = _create_file(path.parent)
        try:
            # Closed here and not by its user, for the lock must hold until the name is right.
            with (
                io.FileIO(descriptor, "r+", closefd=False) as raw,
                io.BufferedRandom(raw) as stream,
            ):
                yield stream
            os.fsync(descriptor)
            _publish_file(unfinished, path, is_new)
        finally:
            unfinished.unlink(missing_ok=True)
            _unfinished.discard(unfinished)
            os.close(descriptor)


@contextmanager
def whole_text(path: Path, *, is_new: bool = False) -> Iterator[TextIO]:
    """As `whole_file`, of text in UTF-8 whose line ends are written as they are."""
    with whole_file(path, is_new=is_new) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        try:
            yield text
            text.flush()
        finally:
            text.detach()


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder that becomes `folder` when the block ends without an error.

    What is there under that name stays until then.

    Raises:
        DataFileError: If its parent cannot be written to, or the disk is full.
    """
    with _writing(folder):
        with _refused():
            folder.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(folder.parent) as unfinished:
            yield unfinished
            _publish_folder(unfinished, folder)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder in `parent` that is gone when the block ends, or when somebody writes there next."""
    unfinished, descriptor = _create_folder(parent)
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        _unfinished.discard(unfinished)
        os.close(descriptor)


def remove_unfinished() -> None:
    """Remove what this process is writing, before it ends without unwinding."""
    for path in list(_unfinished):
        _remove(path)


def sweep(parent: Path) -> None:
    """Remove what processes that are dead were writing into a folder."""
    try:
        names = [entry.name for entry in os.scandir(parent) if UNFINISHED.fullmatch(entry.name)]
    except OSError:
        return
    for name in names:
        path = parent / name
        with suppress(OSError):
            descriptor = os.open(path, LOOK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(descriptor, path):
                    _remove(path)
            finally:
                os.close(descriptor)


def _check_target(path: Path, is_new: bool) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # it is not there, or its folder is not: creating the file says why
    if path.is_dir():
        raise DataFileError(f"{path} is a folder; name a file")
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise DataFileError(f"{path} is not a regular file; name another")
    if is_new:
        raise _exists(path)


def _exists(path: Path) -> DataFileError:
    return DataFileError(f"{path} exists; remove it, or name another")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say in one line what keeps a path from being written."""
    try:
        yield
    except _CannotWrite as error:
        raise DataFileError(
            f"{path} cannot be written: {error.strerror}; name a file in a folder that is there "
            "and writable"
        ) from None
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise DataFileError(
            f"{path} cannot be written: {error.strerror}; free space there and run again"
        ) from None


class _CannotWrite(OSError):
    """The folder refuses a new name, or the target its replacement."""


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise _CannotWrite(error.errno, error.strerror) from None


def _new_path(parent: Path) -> Path:
    return parent / f".solon-{secrets.token_hex(16)}.partial"


def _create_file(parent: Path) -> tuple[Path, int]:
    sweep(parent)
    with _refused():
        for _ in range(ATTEMPTS):
            path = _new_path(parent)
            descriptor = os.open(path, CREATE, 0o666)
            if _hold(descriptor, path):
                return path, descriptor
    raise DataFileError(f"{parent}: other processes remove new files there again and again")


def _create_folder(parent: Path) -> tuple[Path, int]:
    sweep(parent)
    with _refused():
        for _ in range(ATTEMPTS):
            path = _new_path(parent)
            path.mkdir()
            descriptor = os.open(path, LOOK | os.O_DIRECTORY)
            if _hold(descriptor, path):
                return path, descriptor
    raise DataFileError(f"{parent}: other processes remove new folders there again and again")


def _hold(descriptor: int, path: Path) -> bool:
    """Lock what was created; False where a sweep was quicker than the lock."""
    with suppress(OSError):  # a file system without locks, where nothing is ever swept
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    if not _is_at(descriptor, path):
        os.close(descriptor)
        return False
    _unfinished.add(path)
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _publish_file(unfinished: Path, path: Path, is_new: bool) -> None:
    with _refused():
        if is_new:
            try:
                # A link, unlike a rename, never replaces the file of whoever was quicker.
                path.hardlink_to(unfinished)
                return
            except FileExistsError:
                raise _exists(path) from None
            except OSError:  # a file system without links
                if os.path.lexists(path):
                    raise _exists(path) from None
        os.replace(unfinished, path)


def _publish_folder(unfinished: Path, folder: Path) -> None:
    """Take the former folder's place; that one goes under an unfinished name, and is removed."""
    for _ in range(ATTEMPTS):
        former = _new_path(folder.parent)
        with _refused(), suppress(FileNotFoundError):
            os.rename(folder, former)
        try:
            os.rename(unfinished, folder)
            return
        except OSError as error:
            # Somebody else was quicker between the two renames.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise _CannotWrite(error.errno, error.strerror) from None
        finally:
            _remove(former)
    raise DataFileError(f"{folder}: other processes write it again and again")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
