"""`solon restore`: a backup in the place of a store and artifacts that are not there yet."""

import os
import shutil
from pathlib import Path

from flows.keeping.lock import NAME
from flows.keeping.manifest import (
    ARTIFACTS,
    STORE,
    USER_KEY,
    Advance,
    Manifest,
    check_files,
    copy_file,
    hash_of,
)
from rlhf_core.errors import DataFileError, InputError, StoreError
from rlhf_core.files.whole import whole_file, whole_folder
from rlhf_core.store import Store
from rlhf_core.store.disk.files import StoreFiles

SECRET = 0o600


def restore(
    backup: Path, manifest: Manifest, store: Path | str, artifacts: Path, advance: Advance
) -> None:
    """Check a backup, and write its artifacts and then its store to their places.

    A restore that was killed can be started again: artifacts that are there already, byte for byte,
    are left as they are, and the store comes last.

    Args:
        backup: Folder of the backup.
        manifest: Its manifest.
        store: File of the store, which must not exist.
        artifacts: Folder of models and reports, which must not exist or be empty.
        advance: Called with the number of bytes that were read.

    Raises:
        InputError: If the store is a lake.
        DataFileError: If the backup is damaged, something is in the way, or the disk is full.
        StoreError: If the restored store does not have the rows of the backup.
    """
    if isinstance(store, str):
        raise InputError(
            f"{store} is a lake: restore into a file with --set store=restored.duckdb, and copy "
            "its facts with `solon copy ADDRESS`"
        )
    files = StoreFiles.at(store)
    for path in (files.database, files.log, files.spool):
        if path.exists():
            raise DataFileError(
                f"{path} exists; move it away, or name another store with --set store=PATH"
            )
    check_files(backup, manifest, advance)
    if not _holds(artifacts, manifest, advance):
        _refuse_filled(artifacts)
        with whole_folder(artifacts) as unfinished:
            _copy_artifacts(backup, manifest, unfinished, advance)
    files.database.parent.mkdir(parents=True, exist_ok=True)
    if USER_KEY in manifest.files:
        _copy_key(backup / USER_KEY, files.user_key)
    with (
        (backup / STORE).open("rb") as stream,
        whole_file(files.database, is_new=True) as target,
    ):
        shutil.copyfileobj(stream, target)
    _check_rows(files.database, manifest)


def _holds(artifacts: Path, manifest: Manifest, advance: Advance) -> bool:
    """Return True if a folder holds the artifacts of a backup and nothing else."""
    saved = _saved(manifest)
    present = {
        str(path.relative_to(artifacts))
        for path in artifacts.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    present.discard(NAME)
    links = {name.removeprefix(f"{ARTIFACTS}/"): led for name, led in manifest.links.items()}
    if not present or present != {*saved, *links}:
        return False
    for name, led in links.items():
        if not (artifacts / name).is_symlink() or os.readlink(artifacts / name) != led:
            return False
    return all(hash_of(artifacts / name, advance) == file for name, file in saved.items())


def _saved(manifest: Manifest) -> dict[str, object]:
    """Return the files of the artifacts by their path in them."""
    return {
        name.removeprefix(f"{ARTIFACTS}/"): file
        for name, file in manifest.files.items()
        if name.startswith(f"{ARTIFACTS}/")
    }


def _refuse_filled(artifacts: Path) -> None:
    if artifacts.exists() and any(path.name != NAME for path in artifacts.iterdir()):
        raise DataFileError(
            f"{artifacts} is not empty; move it away, or name another folder with "
            "--set artifacts=PATH"
        )


def _copy_artifacts(backup: Path, manifest: Manifest, target: Path, advance: Advance) -> None:
    for name, saved in _saved(manifest).items():
        if copy_file(backup / ARTIFACTS / name, target / name, advance) != saved:
            raise DataFileError(f"backup {backup}: {name} changed while it was read")
    for name, led in manifest.links.items():
        link = target / name.removeprefix(f"{ARTIFACTS}/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(led)


def _copy_key(source: Path, target: Path) -> None:
    key = source.read_bytes()
    # A restore that was killed may have left the beginning of the key.
    if target.exists() and not key.startswith(target.read_bytes()):
        raise DataFileError(f"{target} is another key than that of the backup; move it away")
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, SECRET)
    with open(descriptor, "wb") as stream:
        stream.write(key)


def _check_rows(database: Path, manifest: Manifest) -> None:
    store = Store(database)
    counts = store.counts()
    fewer = [table for table, rows in manifest.rows.items() if counts.get(table) != rows]
    if fewer:
        raise StoreError(
            f"{database} was restored, but does not have the rows of the backup in "
            f"{', '.join(fewer)}"
        )
    store.publish()
