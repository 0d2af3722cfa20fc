"""Copy all facts of a store: into another store, such as a shared lake, or into a new file."""

from pathlib import Path

import pyarrow as pa

from rlhf_core.errors import RecordError
from rlhf_core.records import RECORDS
from rlhf_core.store.database import open_database
from rlhf_core.store.snapshot import Snapshot, reading
from rlhf_core.store.store import (
    READ_TIMEOUT_SECONDS,
    Store,
    connect_store,
    count_rows,
    insert,
)
from rlhf_core.store.user_key import user_hashes

TABLE_TIMEOUT_SECONDS = 24 * 3600.0
FORGOTTEN = "SELECT prompt_id, user_hash FROM prompt_tombstones"
USERS = "SELECT prompt_id, user_id FROM prompt_users WHERE prompt_id IN (SELECT unnest($ids))"


def copy_facts(source: Path | str, target: Store) -> dict[str, int]:
    """Add all facts of a store to another, with their times, runs and code versions.

    Facts that the target has already stay as they are, so a copy that was stopped resumes.

    Returns:
        Number of new rows, by table.

    Raises:
        RecordError: If the source holds prompts of a user whom the target was told to forget.
        StoreError: If the source is not a store, or the target was busy; run again.
    """
    added = {}
    with reading(source) as snapshot:
        _refuse_forgotten(snapshot, target)
        for record in RECORDS:
            added[record.table] = 0
            everything = f"SELECT * FROM {record.table}"
            with snapshot.stream_arrow(everything, (), TABLE_TIMEOUT_SECONDS) as cursor:
                for batch in cursor.batches:
                    rows = {record.table: pa.Table.from_batches([batch])}
                    with target._connection(target.read_timeout_seconds) as connection:
                        added[record.table] += insert(connection, rows)
    return added


def copy_store(source: Path | str, target: Path) -> dict[str, int]:
    """Copy a store as it is at one moment into a new DuckDB file; writers wait meanwhile.

    Args:
        source: Path or address of the store.
        target: The file, which must not exist.

    Returns:
        Number of rows of the copy, by table.

    Raises:
        StoreError: If there is no room.
        StoreBusyError: If the store was busy.
    """
    database = open_database(source)
    with connect_store(database, READ_TIMEOUT_SECONDS) as connection:
        database.copy(connection, target)
        return count_rows(connection)


def _refuse_forgotten(source: Snapshot, target: Store) -> None:
    forgotten: dict[str, set[str]] = {}
    for row in target.query(FORGOTTEN):
        forgotten.setdefault(row["prompt_id"], set()).add(row["user_hash"])
    hashes = user_hashes(target.files)
    users = source.query(USERS, {"ids": list(forgotten)}).rows
    known = {user for prompt, user in users if hashes.may_match(user, forgotten[prompt])}
    if known:
        raise RecordError(
            f"{target.address} was told to forget {len(known)} of the users whose prompts these "
            f"are, {min(known)!r} among them; run `solon forget` on the source first"
        )
