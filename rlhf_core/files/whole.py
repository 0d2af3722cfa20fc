"""Atomic writing of files and folders: they appear complete or not at all.

Everything is written under a temporary name in the target's folder and renamed to the target when
it is complete. The temporary name is random and the file is created exclusively, so no symlink is
followed, and two commands that write the same target never share a file: the later one wins.

The writer holds a lock on its temporary file, which ends with the process. A leftover of a killed
process is therefore recognised by its free lock, not by its age, and the next writer into the same
folder removes it.
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

from safetensors import SafetensorError

from rlhf_core.errors import DataFileError

UNFINISHED = re.compile(r"\.solon-[0-9a-f]{32}\.partial")
SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
ATTEMPTS = 10
_unfinished: set[Path] = set()
"""Temporary files and folders that this process is writing."""


@contextmanager
def whole_file(path: Path, *, is_new: bool = False) -> Iterator[BinaryIO]:
    """Open a stream of bytes that becomes the file `path` when the block ends without an error.

    Args:
        path: The file to write, in a folder that exists. A symlink of that name is replaced, not
            followed.
        is_new: True if an existing file is an error; else it is replaced.

    Raises:
        DataFileError: If the path cannot be written to, is not a regular file, or exists although
            it must be new; or if the disk is full.
    """
    _check_target(path, is_new)
    with describing_write_errors(path):
        unfinished, descriptor = _create_file(path.parent)
        try:
            # Closed here and not by the caller: the lock must hold until the file is renamed.
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
    """Open `path` like `whole_file`, but for text in UTF-8; line ends are written unchanged."""
    with whole_file(path, is_new=is_new) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        try:
            yield text
            text.flush()
        finally:
            text.detach()


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Create a folder that becomes `folder` when the block ends without an error.

    An existing folder of that name stays in place until then.

    Raises:
        DataFileError: If its parent cannot be written to, or the disk is full.
    """
    with describing_write_errors(folder):
        with _refused():
            folder.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(folder.parent) as unfinished:
            yield unfinished
            _publish_folder(unfinished, folder)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Create a folder in `parent` that is removed when the block ends.

    After a kill, the next writer into `parent` removes it.
    """
    unfinished, descriptor = _create_folder(parent)
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        _unfinished.discard(unfinished)
        os.close(descriptor)


def remove_whole(path: Path) -> None:
    """Remove a file or folder: its name disappears at once, and nothing is left of it in part.

    After a kill, the next writer into its folder removes the rest.
    """
    former = _new_path(path.parent)
    with suppress(FileNotFoundError):
        os.rename(path, former)
    _remove(former)


def remove_unfinished() -> None:
    """Remove the temporary files of this process, before it exits without unwinding."""
    for path in list(_unfinished):
        _remove(path)


def sweep(parent: Path) -> None:
    """Remove the temporary files that dead processes left in a folder."""
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
        return  # the file or its folder does not exist: creating the file reports why
    if path.is_dir():
        raise DataFileError(f"{path} is a folder; name a file")
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise DataFileError(f"{path} is not a regular file; name another")
    if is_new:
        raise _exists(path)


def _exists(path: Path) -> DataFileError:
    return DataFileError(f"{path} exists; remove it, or name another")


@contextmanager
def describing_write_errors(path: Path) -> Iterator[None]:
    """Raise a DataFileError that says what to do where a path cannot be written.

    Other errors pass. safetensors reports those of the system in its own error's text alone.
    """
    try:
        with _system_errors():
            yield
    except _CannotWrite as error:
        raise DataFileError(
            f"{path} cannot be written: {error.strerror}; name a file in a folder that exists "
            "and is writable"
        ) from None
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise DataFileError(
            f"{path} cannot be written: {error.strerror}; free space there and run again"
        ) from None


@contextmanager
def _system_errors() -> Iterator[None]:
    """Raise the OSError that safetensors names in the text of its own error."""
    try:
        yield
    except SafetensorError as error:
        found = SYSTEM_ERROR.search(str(error))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number)) from error


class _CannotWrite(OSError):
    """The folder does not accept a new entry, or the target cannot be replaced."""


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
    raise DataFileError(f"{parent}: other processes keep removing new files there")


def _create_folder(parent: Path) -> tuple[Path, int]:
    sweep(parent)
    with _refused():
        for _ in range(ATTEMPTS):
            path = _new_path(parent)
            path.mkdir()
            descriptor = os.open(path, LOOK | os.O_DIRECTORY)
            if _hold(descriptor, path):
                return path, descriptor
    raise DataFileError(f"{parent}: other processes keep removing new folders there")


def _hold(descriptor: int, path: Path) -> bool:
    """Lock a new file or folder; False if a sweep removed it before the lock."""
    with suppress(OSError):  # a file system without locks: nothing is swept there
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
                # A link, unlike a rename, never replaces a file that another process wrote first.
                path.hardlink_to(unfinished)
                return
            except FileExistsError:
                raise _exists(path) from None
            except OSError:  # a file system without links
                if os.path.lexists(path):
                    raise _exists(path) from None
        os.replace(unfinished, path)


def _publish_folder(unfinished: Path, folder: Path) -> None:
    """Replace the former folder, which is renamed to a temporary name and removed."""
    for _ in range(ATTEMPTS):
        former = _new_path(folder.parent)
        with _refused(), suppress(FileNotFoundError):
            os.rename(folder, former)
        try:
            os.rename(unfinished, folder)
            return
        except OSError as error:
            # Another process wrote the folder between the two renames.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise _CannotWrite(error.errno, error.strerror) from None
        finally:
            _remove(former)
    raise DataFileError(f"{folder}: other processes keep writing it")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
