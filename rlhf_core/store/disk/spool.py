"""The spool: batches that wait while the store is locked.

A batch is a folder with a Parquet file a table, written whole or not at all. Rows carry content
ids, so a batch that is added twice after a crash adds nothing the second time. A damaged batch is
renamed to `*.damaged` and blocks nobody.
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
from rlhf_core.store.disk.files import fsync, rename_damaged, unwritable

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
    """Yield every waiting batch with its path, oldest first."""
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
    """Remove a batch whose rows are in the store."""
    shutil.rmtree(path)


def put_aside(path: Path, error: Exception) -> None:
    """Rename a batch that cannot be read or added, so that it is not tried again."""
    reason = str(error).splitlines()[0]
    logger.error("a waiting batch is damaged and was moved to %s: %s", rename_damaged(path), reason)
