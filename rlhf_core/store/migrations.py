"""The schema, by numbered SQL files, each applied once and recorded with its hash."""

import re
from dataclasses import dataclass
from importlib.resources import files

import duckdb

from rlhf_core.errors import SchemaError
from rlhf_core.identity import digest

COLUMN_COMMENT = re.compile(r"COMMENT ON COLUMN (\w+)\.\w+\s+IS\s+(?:'(?:[^']|'')*'\s*)+;")


@dataclass(frozen=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def hash(self) -> str:
        return digest(self.sql.encode())


def all_migrations() -> list[Migration]:
    folder = files(__package__) / "migrations"
    found = sorted((entry for entry in folder.iterdir()), key=lambda entry: entry.name)
    return [
        Migration(int(entry.name[:4]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in found
        if entry.name.endswith(".sql")
    ]


def migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring the schema up to date, one transaction a migration.

    Raises:
        SchemaError: If a newer Solon wrote this store, or a migration was edited after it ran.
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER NOT NULL, name VARCHAR NOT NULL, "
        "hash VARCHAR NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())"
    )
    applied = dict(connection.execute("SELECT number, hash FROM migrations").fetchall())
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


def _apply(connection: duckdb.DuckDBPyConnection, migration: Migration) -> None:
    is_lake = _is_lake(connection)
    connection.execute("BEGIN")
    connection.execute(_for_lakes(connection, migration.sql) if is_lake else migration.sql)
    connection.execute(
        "INSERT INTO migrations (number, name, hash) VALUES (?, ?, ?)",
        [migration.number, migration.name, migration.hash],
    )
    connection.execute("COMMIT")
    # Replaying DDL from a write-ahead log is where users of DuckDB report failures. A lake has no
    # log, and a CHECKPOINT there goes through all its files.
    if not is_lake:
        connection.execute("CHECKPOINT")


def _is_lake(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute(
        "SELECT type FROM duckdb_databases() WHERE database_name = current_database()"
    ).fetchone()
    return found == ("ducklake",)


def _for_lakes(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The statements without what DuckLake has no place for.

    A list as a default: none is needed there, for a default is for rows older than their column.
    And comments on columns of views.
    """
    names = connection.execute(
        "SELECT view_name FROM duckdb_views() WHERE database_name = current_database()"
    ).fetchall()
    views = {name for (name,) in names} | set(re.findall(r"\bVIEW (\w+)", sql))
    return COLUMN_COMMENT.sub(
        lambda comment: "" if comment[1] in views else comment[0], sql.replace(" DEFAULT []", "")
    )
