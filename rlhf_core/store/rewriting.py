"""Writing a store's files anew: DuckDB only marks rows as deleted, and their bytes stay."""

import os
import uuid

import duckdb

from rlhf_core.errors import StoreError
from rlhf_core.store.database import CONNECTION_SETTINGS
from rlhf_core.store.files import locked
from rlhf_core.store.store import Store


def rewrite(store: Store) -> None:
    """Replace the database by a copy without what was deleted, and publish it.

    Nobody writes meanwhile. A reader that holds the former snapshot open keeps it until it ends.

    Raises:
        StoreBusyError: If another process held the store's lock for too long.
        StoreError: If another program wrote to the database meanwhile; it is as it was.
    """
    files = store.files
    copy = files.database.with_name(f".{uuid.uuid4().hex}.duckdb")
    log = files.database.with_name(files.database.name + ".wal")
    with locked(files, store.read_timeout_seconds):
        try:
            with duckdb.connect(str(files.database), config=CONNECTION_SETTINGS) as connection:
                connection.execute("CHECKPOINT")
                quoted = str(copy).replace("'", "''")
                connection.execute(f"ATTACH '{quoted}' AS copy")
                database = connection.execute("SELECT current_database()").fetchall()[0][0]
                connection.execute(f'COPY FROM DATABASE "{database}" TO copy')
                connection.execute("DETACH copy")
            if log.exists():
                raise StoreError(f"store {files.database} was written to; try again")
            os.replace(copy, files.database)
        finally:
            copy.unlink(missing_ok=True)
    store.publish()
