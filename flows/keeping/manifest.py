"""The manifest of a backup: every file with its size and hash, and the rows of the store."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from pydantic import Field, ValidationError, field_validator

from rlhf_core.config import Settings
from rlhf_core.errors import DataFileError

MANIFEST, STORE, USER_KEY, ARTIFACTS = "manifest.json", "store.duckdb", "user-key", "artifacts"
FORMAT = 1
CHUNK_BYTES = 1 << 20
Advance = Callable[[int], None]
"""Called with the number of bytes that were read."""


class SavedFile(Settings):
    """One file of a backup."""

    bytes: int
    sha256: str


class Manifest(Settings):
    """The contents of a backup."""

    format: int = FORMAT
    made_at: str
    """Time at which the store was copied, UTC."""
    code_version: str
    store: str
    """Address of the store that was copied."""
    rows: dict[str, int]
    """Number of rows of the store, by table."""
    files: dict[str, SavedFile] = Field(default_factory=dict)
    """Files by their path in the backup."""
    links: dict[str, str] = Field(default_factory=dict)
    """Targets of symbolic links by their path in the backup."""

    @field_validator("files", "links")
    @classmethod
    def _paths_stay_inside(cls, named: dict[str, object]) -> dict[str, object]:
        for name in named:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{name} lies outside of the backup")
        return named

    @field_validator("links")
    @classmethod
    def _targets_stay_inside(cls, links: dict[str, str]) -> dict[str, str]:
        for name, target in links.items():
            if not stays_inside(PurePosixPath(name), target):
                raise ValueError(f"{name} leads outside of the backup")
        return links


def stays_inside(link: PurePosixPath, target: str) -> bool:
    """Return True if the target of a symbolic link in the artifacts lies in them.

    Args:
        link: Path of the link in the backup.
        target: Its target, as the link has it.
    """
    led = os.path.normpath(link.parent / target)
    return not os.path.isabs(target) and PurePosixPath(led).parts[:1] == (ARTIFACTS,)


def read_manifest(backup: Path) -> Manifest:
    """Return the manifest of a backup.

    Raises:
        DataFileError: If the folder is no backup, or one of a newer version.
    """
    path = backup / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataFileError(
            f"{path}: {error.strerror}; name a folder that `solon backup` wrote"
        ) from None
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise DataFileError(f"{path} is damaged or no manifest: {reason}") from None
    if manifest.format > FORMAT:
        raise DataFileError(f"{path} is of a newer version of Solon ({manifest.code_version})")
    return manifest


def check_files(backup: Path, manifest: Manifest, advance: Advance) -> None:
    """Check that a backup holds its files, byte for byte.

    Args:
        backup: The folder.
        manifest: Its manifest.
        advance: Called as the files are read.

    Raises:
        DataFileError: If a file is missing or differs; it names the first.
    """
    for name, saved in manifest.files.items():
        try:
            found = hash_of(backup / name, advance)
        except OSError as error:
            raise DataFileError(f"backup {backup}: {name}: {error.strerror}") from None
        if found != saved:
            raise DataFileError(
                f"backup {backup}: {name} is not the file that was saved; take another backup"
            )


def hash_of(path: Path, advance: Advance) -> SavedFile:
    """Return size and hash of a file."""
    return _read(path, None, advance)


def copy_file(source: Path, target: Path, advance: Advance) -> SavedFile:
    """Copy a file to a new path and sync it to disk.

    Args:
        source: The file.
        target: Its copy; the folder is created if it is missing.
        advance: Called as the file is read.

    Returns:
        Size and hash of the bytes that were copied.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    return _read(source, target, advance)


def _read(source: Path, target: Path | None, advance: Advance) -> SavedFile:
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as stream, open(target or os.devnull, "wb") as copy:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            copy.write(chunk)
            size += len(chunk)
            advance(len(chunk))
        if target is not None:
            copy.flush()
            os.fsync(copy.fileno())
    return SavedFile(bytes=size, sha256=digest.hexdigest())
