"""Where a batch waits while the store is locked: a file, whole or not there at all.

Rows carry content ids, so draining a file twice after a crash adds nothing twice.
"""

import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Batch = Mapping[str, Sequence[Mapping[str, Any]]]


def spool(folder: Path, batch: Batch) -> None:
    """Write a batch so that it survives a crash: temporary name, fsync, rename, fsync."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{uuid.uuid4().hex}"
    with temporary.open("w", encoding="utf-8") as stream:
        for table, rows in batch.items():
            for row in rows:
                stream.write(json.dumps([table, row]) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    temporary.rename(folder / f"{temporary.name[1:]}.jsonl")
    _fsync_folder(folder)


def spooled(folder: Path) -> Iterator[tuple[Path, dict[str, list[dict[str, Any]]]]]:
    """Every waiting file with its batch, oldest first."""
    waiting = sorted(folder.glob("*.jsonl"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    for path in waiting:
        batch: dict[str, list[dict[str, Any]]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            table, row = json.loads(line)
            batch.setdefault(table, []).append(row)
        yield path, batch


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
