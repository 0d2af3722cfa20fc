"""`solon backup`: store and artifacts as they belong together, while a run goes on.

The order makes them fit. A training saves a checkpoint after its rows are in the store, so
checkpoints are copied before the store. A model's row is written after its files are in place, so
models are copied after the store. What the copied store says is there is therefore in the backup,
and a training resumes from the backup without a gap.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath

from flows.keeping.lock import NAME, keeping
from flows.keeping.manifest import (
    ARTIFACTS,
    MANIFEST,
    STORE,
    USER_KEY,
    Advance,
    Manifest,
    SavedFile,
    copy_file,
    hash_of,
    stays_inside,
)
from flows.keeping.sizes import bytes_of
from rlhf_core.errors import DataFileError, StoreError
from rlhf_core.files.whole import UNFINISHED, whole_folder
from rlhf_core.identity import code_version
from rlhf_core.store import store_exists
from rlhf_core.store.copying import copy_store
from rlhf_core.store.database import open_database

TRAINING = ".training"
ATTEMPTS = 20
SECRET = 0o600


def back_up(store: Path | str, artifacts: Path, to: Path, advance: Advance) -> Manifest:
    """Write a backup of a store and its artifacts into a new folder, whole or not at all.

    Args:
        store: Path or address of the store.
        artifacts: Folder of models and reports; it may be missing.
        to: Folder of the backup, which must not exist.
        advance: Called with the number of bytes that were copied.

    Returns:
        The manifest, which the backup holds too.

    Raises:
        DataFileError: If the folder exists, lies in the artifacts, or the disk is full.
        StoreError: If there is no such store, or it was busy.
        StoreBusyError: If `solon gc` or another backup runs.
    """
    if os.path.lexists(to):
        raise DataFileError(f"{to} exists; name a new folder for the backup")
    if to.resolve().is_relative_to(artifacts.resolve()):
        raise DataFileError(f"{to} lies in the artifacts; name a folder elsewhere")
    if not store_exists(store):
        raise StoreError(f"no store at {store}; name its config with --config")
    with keeping(artifacts), whole_folder(to) as unfinished:
        copy = _Copy(artifacts, unfinished, advance)
        copy.checkpoints()
        made_at = datetime.now(UTC)
        rows = copy_store(store, unfinished / STORE)
        copy.files[STORE] = hash_of(unfinished / STORE, advance)
        copy.user_key(open_database(store).files.user_key)
        copy.rest()
        manifest = Manifest(
            made_at=made_at.isoformat(timespec="seconds"),
            code_version=code_version(),
            store=str(store),
            rows=rows,
            files=copy.files,
            links=copy.links,
        )
        (unfinished / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    return manifest


def size_of(store: Path | str, artifacts: Path) -> int:
    """Return about how many bytes a backup will copy."""
    return bytes_of(open_database(store).files.database) + bytes_of(artifacts)


class _Copy:
    """The files of a backup that is written.

    Args:
        source: Folder of the artifacts.
        target: Folder of the backup.
        advance: Called with the number of bytes that were copied.
    """

    def __init__(self, source: Path, target: Path, advance: Advance) -> None:
        self.source, self.target, self.advance = source, target / ARTIFACTS, advance
        self.files: dict[str, SavedFile] = {}
        self.links: dict[str, str] = {}
        self.target.mkdir()

    def checkpoints(self) -> None:
        """Copy the newest checkpoint of each training."""
        for training in sorted((self.source / "models").glob(f".*{TRAINING}")):
            self._unit(partial(_newest_checkpoint, training))

    def user_key(self, path: Path) -> None:
        """Copy the key of the deleted users' hashes, without which their prompts could return."""
        with suppress(FileNotFoundError):
            target = self.target.parent / USER_KEY
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET))
            self.files[USER_KEY] = copy_file(path, target, self.advance)
        if USER_KEY not in self.files:
            (self.target.parent / USER_KEY).unlink(missing_ok=True)

    def rest(self) -> None:
        """Copy all other artifacts; each model as it was at one moment.

        So are the champions: a switch of a link changes their folder, and they are copied again.
        """
        for path in sorted(self.source.iterdir()):
            is_folder = path.is_dir() and not path.is_symlink()
            if path.name == "models" and is_folder:
                for model in sorted(path.iterdir()):
                    if not model.name.startswith("."):
                        self._unit(partial(Path, model))
            elif is_folder:
                self._unit(partial(Path, path))
            elif path.name != NAME:
                self._tree(path)

    def _unit(self, newest: Callable[[], Path | None]) -> None:
        """Copy a folder that another process may replace meanwhile: as it was, or not at all.

        Args:
            newest: Returns the folder; None if it is gone.
        """
        for _ in range(ATTEMPTS):
            path = newest()
            before = _mark(path)
            if path is None or before is None:
                return
            with suppress(FileNotFoundError):
                self._tree(path)
                if newest() == path and _mark(path) == before:
                    return
            self._discard(path)
        raise DataFileError(f"{path} is replaced again and again; back up again later")

    def _tree(self, path: Path) -> None:
        """Copy a file, a link or a folder."""
        for each in _walk(path):
            inside = PurePosixPath(ARTIFACTS, *each.relative_to(self.source).parts)
            target = self.target / each.relative_to(self.source)
            if each.is_symlink():
                self._link(each, inside, target)
            else:
                self.files[str(inside)] = copy_file(each, target, self.advance)

    def _link(self, link: Path, inside: PurePosixPath, target: Path) -> None:
        led = os.readlink(link)
        if os.path.isabs(led):
            led = os.path.relpath(led, link.parent.resolve())
        if not stays_inside(inside, led):
            raise DataFileError(
                f"{link} leads out of the artifacts, to {os.readlink(link)}; replace the link by "
                "what it leads to, and back up again"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(led)
        self.links[str(inside)] = led

    def _discard(self, path: Path) -> None:
        """Forget what was copied of a folder."""
        inside = str(PurePosixPath(ARTIFACTS, *path.relative_to(self.source).parts))
        self.files = {n: f for n, f in self.files.items() if not n.startswith(f"{inside}/")}
        self.links = {n: led for n, led in self.links.items() if not n.startswith(f"{inside}/")}
        shutil.rmtree(self.target / path.relative_to(self.source), ignore_errors=True)


def _newest_checkpoint(training: Path) -> Path | None:
    return max(training.glob("step-*"), default=None)


def _walk(path: Path) -> Iterator[Path]:
    """Yield the files and links at or below a path, without those that are being written."""
    if UNFINISHED.fullmatch(path.name):
        return
    if path.is_dir() and not path.is_symlink():
        for each in sorted(path.iterdir()):
            yield from _walk(each)
    else:
        yield path


def _mark(path: Path | None) -> tuple[int, int] | None:
    """Return what changes when a folder is replaced, or when a file in it comes or goes."""
    if path is None:
        return None
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns
