"""Erase deleted rows from a lake for good: from its files, earlier snapshots and catalog.

DuckLake only marks rows as deleted, so that earlier snapshots can still be read. The caller holds
the lake's lock, so nobody is writing a file.

Out of reach are PostgreSQL's write-ahead log, statistics, replicas and backups, old versions in a
bucket that keeps them, and files that a killed writer left. The last are reported, not deleted,
since another lake might own them.
"""

from typing import Any

import duckdb

from rlhf_core.errors import StoreBusyError, StoreError

STEPS = (
    # Few rows lie in the catalog until they are flushed; the marks of deleted ones come along.
    "CALL ducklake_flush_inlined_data($lake)",
    "CALL ducklake_rewrite_data_files($lake, delete_threshold => 0)",
    # All but the last, also those of a machine whose clock is ahead.
    "CALL ducklake_expire_snapshots($lake, older_than => TIMESTAMPTZ '9999-01-01')",
    "CALL ducklake_cleanup_old_files($lake, cleanup_all => true)",
)
ORPHANS = "CALL ducklake_delete_orphaned_files($lake, cleanup_all => true, dry_run => true)"
TABLES = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = '{schema}'"
OLDER = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_xmin IS NOT NULL AND xact_start < (
    SELECT min(holder.xact_start) FROM pg_locks JOIN pg_stat_activity AS holder USING (pid)
    WHERE locktype = 'advisory' AND granted AND datname = current_database()
)"""
"""Count transactions older than the lock's, for which PostgreSQL keeps what was deleted since."""


def erase_deleted(connection: duckdb.DuckDBPyConnection, lake: str) -> None:
    """Remove all but the lake's last snapshot and the files that it needs.

    Args:
        connection: A connection that holds the lake's lock and is in no transaction.
        lake: Name under which the lake is attached.

    Raises:
        StoreError: If earlier snapshots are left.
    """
    for step in STEPS:
        connection.execute(step, {"lake": lake}).fetchall()
    ((left,),) = _rows(connection, "SELECT count(*) FROM ducklake_snapshots($lake)", {"lake": lake})
    if left != 1:
        raise StoreError(f"the lake still has {left} snapshots; run again")


def sweep_catalog(connection: duckdb.DuckDBPyConnection, catalog: str, schema: str) -> None:
    """Rewrite the catalog's tables, since PostgreSQL too only marks rows as deleted.

    Args:
        connection: A connection that holds the lake's lock and has the lake detached, which would
            block the tables.
        catalog: Name under which PostgreSQL is attached.
        schema: Schema of the catalog's tables.

    Raises:
        StoreBusyError: If a transaction still reads the catalog as it was before.
    """
    asked = {"catalog": catalog, "sql": OLDER}
    ((older,),) = _rows(connection, "SELECT * FROM postgres_query($catalog, $sql)", asked)
    if older:
        raise StoreBusyError(
            f"{older} transactions in the catalog still see what was deleted; end them, run again"
        )
    asked = {"catalog": catalog, "sql": TABLES.format(schema=schema)}
    for (table,) in _rows(connection, "SELECT * FROM postgres_query($catalog, $sql)", asked):
        connection.execute(
            "CALL postgres_execute($catalog, $sql, use_transaction => false)",
            {"catalog": catalog, "sql": f"VACUUM (FULL, ANALYZE) {schema}.{table}"},
        )


def files_left_behind(connection: duckdb.DuckDBPyConnection, lake: str) -> list[str]:
    """Return files that no lake snapshot names and that may hold doomed rows or refer to them.

    Files that cannot be read, as a killed writer leaves them, are included.
    """
    return [
        path
        for (path,) in _rows(connection, ORPHANS, {"lake": lake})
        if path.endswith(".parquet") and _may_hold_doomed(connection, path)
    ]


def _may_hold_doomed(connection: duckdb.DuckDBPyConnection, path: str) -> bool:
    asked = {"path": path}
    try:
        columns = _rows(connection, "DESCRIBE SELECT * FROM read_parquet($path)", asked)
        ids = [name for name, kind, *_ in columns if name.endswith("id") and kind == "VARCHAR"]
        quoted = ['"' + name.replace('"', '""') + '"' for name in ids]
        refers = " OR ".join(f"{name} IN (SELECT id FROM doomed)" for name in quoted) or "false"
        sql = f"SELECT count(*) FROM read_parquet($path) WHERE {refers}"
        ((count,),) = _rows(connection, sql, asked)
    except duckdb.InvalidInputException:  # too short, or no Parquet
        return True
    return bool(count)


def _rows(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, str]
) -> list[tuple[Any, ...]]:
    return connection.execute(sql, parameters).fetchall()
