"""Keep a store's schema up to date: numbered migrations for the tables, files for the views.

A migration is applied once and recorded with its hash. Views hold no facts, so they are made again
from their files whenever a file or a table has changed.
"""

import re
from dataclasses import dataclass
from importlib.resources import files

import duckdb

from rlhf_core.errors import SchemaError
from rlhf_core.identity import digest
from rlhf_core.store.views import ViewFile, all_view_files

COLUMN_COMMENT = re.compile(r"COMMENT ON COLUMN (\w+)\.\w+\s+IS\s+(?:'(?:[^']|'')*'\s*)+;")
VIEWS = 0
"""The number of files of views in the table of migrations."""


@dataclass(frozen=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def hash(self) -> str:
        return digest(self.sql.encode())


def all_migrations() -> list[Migration]:
    """Return the migrations of this version, by number."""
    folder = files(__package__) / "migrations"
    entries = sorted((entry for entry in folder.iterdir()), key=lambda entry: entry.name)
    return [
        Migration(int(entry.name[:4]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in entries
        if entry.name.endswith(".sql")
    ]


def migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring the schema up to date: one transaction a migration, then one for the views.

    Raises:
        SchemaError: If a newer Solon wrote this store, or a migration was edited after it ran.
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER NOT NULL, name VARCHAR NOT NULL, "
        "hash VARCHAR NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())"
    )
    applied = dict(
        connection.execute(
            "SELECT number, hash FROM migrations WHERE number <> ?", [VIEWS]
        ).fetchall()
    )
    known = all_migrations()
    newer = set(applied) - {migration.number for migration in known}
    if newer:
        raise SchemaError(
            f"the store was written by a newer Solon (migration {max(newer)}); upgrade Solon"
        )
    for migration in known:
        if migration.number not in applied:
            _apply(connection, migration)
        elif applied[migration.number] != migration.hash:
            raise SchemaError(
                f"migration {migration.name} is not the one this store was made with; "
                "restore the file and put the change into a migration of its own"
            )
    if not _has_views(connection):
        _make_views(connection, all_view_files())


def is_up_to_date(connection: duckdb.DuckDBPyConnection) -> bool:
    """True if the tables and views are those of this version, or of a newer one."""
    newest, last = newest_migration(connection), all_migrations()[-1].number
    if newest is None or newest < last:
        return False
    return newest > last or _has_views(connection)


def newest_migration(connection: duckdb.DuckDBPyConnection) -> int | None:
    """Return the number of the newest migration that was applied; None if none was."""
    row = connection.execute("SELECT max(number) FROM migrations").fetchone()
    return row[0] if row else None


def _apply(connection: duckdb.DuckDBPyConnection, migration: Migration) -> None:
    connection.execute("BEGIN")
    connection.execute(_dialect(connection, migration.sql))
    _record(connection, migration.number, migration.name, migration.hash)
    # A view that selects all columns of a changed table cannot be read until it is made again.
    connection.execute("DELETE FROM migrations WHERE number = ?", [VIEWS])
    _commit(connection)


def _has_views(connection: duckdb.DuckDBPyConnection) -> bool:
    rows = connection.execute(
        "SELECT name, hash FROM migrations WHERE number = ?", [VIEWS]
    ).fetchall()
    return dict(rows) == {file.name: file.hash for file in all_view_files()}


def _make_views(connection: duckdb.DuckDBPyConnection, view_files: list[ViewFile]) -> None:
    """Make all views, since views of an unchanged file may read views of a changed one."""
    connection.execute("BEGIN")
    connection.execute("DELETE FROM migrations WHERE number = ?", [VIEWS])
    connection.execute(_dialect(connection, "\n".join(file.sql for file in view_files)))
    for file in view_files:
        _record(connection, VIEWS, file.name, file.hash)
    _commit(connection)


def _record(connection: duckdb.DuckDBPyConnection, number: int, name: str, hash: str) -> None:
    connection.execute(
        "INSERT INTO migrations (number, name, hash) VALUES (?, ?, ?)", [number, name, hash]
    )


def _commit(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("COMMIT")
    # Replaying DDL from a write-ahead log is where users of DuckDB report failures. A lake has no
    # log, and a CHECKPOINT there goes through all its files.
    if not _is_lake(connection):
        connection.execute("CHECKPOINT")


def _is_lake(connection: duckdb.DuckDBPyConnection) -> bool:
    row = connection.execute(
        "SELECT type FROM duckdb_databases() WHERE database_name = current_database()"
    ).fetchone()
    return row == ("ducklake",)


def _dialect(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Return the statements, without what DuckLake does not support if the store is a lake.

    DuckLake supports no lists as defaults; none is needed, since a default fills rows older than
    their column. Nor does it support comments on columns of views.
    """
    if not _is_lake(connection):
        return sql
    names = connection.execute(
        "SELECT view_name FROM duckdb_views() WHERE database_name = current_database()"
    ).fetchall()
    views = {name for (name,) in names} | set(re.findall(r"\bVIEW (\w+)", sql))
    return COLUMN_COMMENT.sub(
        lambda comment: "" if comment[1] in views else comment[0], sql.replace(" DEFAULT []", "")
    )
