"""Where a batch waits while the store is locked: a folder of Parquet files, whole or not there.

One file a table. Rows carry content ids, so draining a batch twice after a crash adds nothing
twice. What is damaged is put aside, named `*.damaged`, and keeps nobody waiting.
"""

import logging
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rlhf_core.errors import DataFileError, StoreError
from rlhf_core.files.whole import sweep, whole_folder
from rlhf_core.store.disk.files import fsync, quarantine, unwritable

logger = logging.getLogger(__name__)

Batch = Mapping[str, pa.Table]
"""Rows by the name of their table."""


def spool(folder: Path, batch: Batch) -> None:
    """Write a batch so that it survives a crash: temporary name, fsync, rename, fsync.

    Raises:
        StoreError: If the folder cannot be written, or the disk is full.
    """
    try:
        with whole_folder(folder / uuid.uuid4().hex) as unfinished:
            for table, rows in batch.items():
                path = unfinished / f"{table}.parquet"
                pq.write_table(rows, path, write_page_checksum=True)
                fsync(path)
            fsync(unfinished)
        fsync(folder)
    except OSError as error:
        raise unwritable(folder, error) from None
    except DataFileError as error:  # the folder takes no new name
        raise StoreError(str(error)) from None


def waiting_batches(folder: Path) -> Iterator[tuple[Path, dict[str, pa.Table]]]:
    """Every batch that waits, with its path, oldest first."""
    sweep(folder)
    paths = [path for path in folder.iterdir() if path.is_dir() and "." not in path.name]
    for path in sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name)):
        try:
            batch = {
                file.stem: pq.read_table(file, page_checksum_verification=True)
                for file in sorted(path.glob("*.parquet"))
            }
        except (pa.ArrowInvalid, pa.ArrowSerializationError, OSError) as error:
            put_aside(path, error)
            continue
        yield path, batch


def remove_batch(path: Path) -> None:
    """Forget a batch whose rows are in the store."""
    shutil.rmtree(path)


def put_aside(path: Path, error: Exception) -> None:
    """Keep a batch that cannot be read or added, where no drain meets it again."""
    reason = str(error).splitlines()[0]
    logger.error("a batch that waited is damaged and lies in %s now: %s", quarantine(path), reason)
