"""Stores that were made by every earlier schema open today, and hold what they held."""

from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb
import pytest

from rlhf_core.records import RECORDS
from rlhf_core.store import Store, migrations, reading
from rlhf_core.store.migrations import Migration, all_migrations, migrate
from tests.facts import prompt

KNOWN = all_migrations()
OFTEN = (1, len(KNOWN) // 2, len(KNOWN) - 1)
"""Of the migrations on the way from the others, all are on the way from the first."""
VALUES: dict[str, Any] = {
    "input_table": "prompts",
    "parent_id": None,  # or a model would be its own ancestor
    "recipe": "{}",
    "detail": "{}",
    "config": "{}",
    "parts": "{}",
    "probabilities": "{}",
}
CLOSED_SETS = {
    (record.table, name): field.annotation
    for record in RECORDS
    for name, field in record.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, StrEnum)
}
BY_TYPE: dict[str, Any] = {
    "VARCHAR": "one",
    "VARCHAR[]": ["one"],
    "INTEGER": 1,
    "BIGINT": 1,
    "DOUBLE": 0.5,
    "FLOAT": 0.5,
    "JSON": "{}",
    "DATE": date(2026, 11, 24),
    "INTEGER[]": [1],
    "FLOAT[]": [0.5],
    "DOUBLE[]": [0.5],
    "BOOLEAN": True,
    "TIMESTAMP WITH TIME ZONE": datetime(2026, 11, 24, tzinfo=UTC),
}


def store_at(level: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """A file as a Solon that knew so many migrations made it, a row in each table; its rows."""
    with monkeypatch.context() as patch, duckdb.connect(str(path)) as connection:
        patch.setattr(migrations, "all_migrations", lambda: KNOWN[:level])
        migrate(connection)
        fill(connection)
        return {
            table: connection.execute(select(table, columns)).fetchall()
            for table, columns in columns_of(connection).items()
        }


def fill(connection: duckdb.DuckDBPyConnection) -> None:
    """A row into each table, whose ids and references are all `one`."""
    for table, columns in columns_of(connection).items():
        row = {name: value_of(table, name, kind) for name, kind in columns}
        places = ", ".join("?" * len(row))
        connection.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values())
        )


def columns_of(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for table, name, kind in connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() JOIN duckdb_tables() "
        "USING (table_name) WHERE table_name <> 'migrations' ORDER BY table_name, column_index"
    ).fetchall():
        found.setdefault(table, []).append((name, kind))
    return found


def value_of(table: str, name: str, kind: str) -> Any:
    if (table, name) in CLOSED_SETS:
        return next(iter(CLOSED_SETS[table, name])).value
    if name in VALUES and kind in ("VARCHAR", "JSON"):  # rankings.parts is a list of numbers
        return VALUES[name]
    return BY_TYPE[kind]


def select(table: str, columns: list[tuple[str, str]]) -> str:
    return f"SELECT {', '.join(name for name, _ in columns)} FROM {table}"


@pytest.mark.parametrize(
    "level",
    [
        level if level in OFTEN else pytest.param(level, marks=pytest.mark.slow)
        for level in range(1, len(KNOWN))
    ],
)
def test_a_store_of_an_earlier_schema_opens_with_all_it_held(
    level: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "solon.duckdb"
    held = store_at(level, path, monkeypatch)
    with duckdb.connect(str(path), read_only=True) as connection:
        columns = columns_of(connection)
    store = Store(path)
    with reading(path) as snapshot:
        for table, rows in held.items():
            assert snapshot.ask(select(table, columns[table])).rows == rows, table
        for (view,) in snapshot.ask(
            "SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main'"
        ).rows:
            snapshot.ask(f"FROM {view}")
        assert snapshot.ask("SELECT max(number) FROM migrations").rows == [(KNOWN[-1].number,)]
        assert snapshot.ask("SELECT prompt, chosen FROM pair_texts").rows == [("one", "one")]
        for record in RECORDS:
            rows = snapshot.ask(f"FROM {record.table}").as_dicts()
            # Of each run that ended stages before there were lines, a migration makes a row.
            origin = "stage_runs" if record.table == "cycle_runs" else record.table
            assert len([record.model_validate(row) for row in rows]) == (origin in held)
    assert store.append([prompt("And now?")]) == 1


def test_every_migration_has_a_number_of_its_own_in_order():
    numbers = [migration.number for migration in KNOWN]
    assert numbers == sorted(set(numbers))
    assert numbers[:8] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_migration_that_fails_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "solon.duckdb"
    Store(path).append([prompt()])
    broken = Migration(999, "0999_broken.sql", "ALTER TABLE prompts ADD COLUMN mine INT; SELECT no")
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "all_migrations", lambda: [*KNOWN, broken])
        with pytest.raises(duckdb.Error):
            Store(path)
    store = Store(path)
    assert "mine" not in store.query("SELECT * FROM prompts")[0]
    assert store.query("SELECT max(number) AS last FROM migrations") == [{"last": KNOWN[-1].number}]
