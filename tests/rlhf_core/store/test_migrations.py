"""A store opens after later migrations and changed views, and holds what it held."""

from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb
import pytest

from rlhf_core.records import RECORDS
from rlhf_core.store import Snapshot, Store, migrations, reading
from rlhf_core.store.migrations import Migration, all_migrations
from rlhf_core.store.views import FILES, ViewFile, all_view_files
from tests.facts import prompt

KNOWN = all_migrations()
LATER = Migration(
    2,
    "0002_later.sql",
    "ALTER TABLE judgements ADD COLUMN later VARCHAR DEFAULT 'later';\n"
    "CREATE TABLE laters (id VARCHAR NOT NULL);",
)
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


def fill(connection: duckdb.DuckDBPyConnection) -> None:
    """A row into each table, whose ids and references are all `one`."""
    for table, columns in columns_of(connection).items():
        row = {name: value_of(table, name, kind) for name, kind in columns}
        places = ", ".join("?" * len(row))
        connection.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values())
        )


def columns_of(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, str]]]:
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, name, kind in connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() JOIN duckdb_tables() "
        "USING (table_name) WHERE table_name <> 'migrations' ORDER BY table_name, column_index"
    ).fetchall():
        columns.setdefault(table, []).append((name, kind))
    return columns


def value_of(table: str, name: str, kind: str) -> Any:
    if (table, name) in CLOSED_SETS:
        return next(iter(CLOSED_SETS[table, name])).value
    if name in VALUES and kind in ("VARCHAR", "JSON"):  # rankings.parts is a list of numbers
        return VALUES[name]
    return BY_TYPE[kind]


def select(table: str, columns: list[tuple[str, str]]) -> str:
    return f"SELECT {', '.join(name for name, _ in columns)} FROM {table}"


def rows_of(snapshot: Snapshot, columns: dict[str, list[tuple[str, str]]]) -> dict[str, Any]:
    return {table: snapshot.query(select(table, names)).rows for table, names in columns.items()}


def every_view_is_readable(snapshot: Snapshot) -> bool:
    for (view,) in snapshot.query(
        "SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main'"
    ).rows:
        snapshot.query(f"FROM {view}")
    return True


@pytest.fixture
def path(store: Store) -> Path:
    """A store with a row in each table."""
    with duckdb.connect(str(store.files.database)) as connection:
        fill(connection)
    return store.files.database


def test_a_store_opens_after_a_later_migration_with_all_it_held(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Views that select all columns of a table have its new ones, and can still be read."""
    with reading(path) as snapshot:
        with duckdb.connect(str(path), read_only=True) as connection:
            columns = columns_of(connection)
        held = rows_of(snapshot, columns)
    monkeypatch.setattr(migrations, "all_migrations", lambda: [*KNOWN, LATER])
    store = Store(path)
    with reading(path) as snapshot:
        assert rows_of(snapshot, columns) == held
        assert every_view_is_readable(snapshot)
        assert snapshot.query("SELECT later FROM opinions").rows == [("later",)]
        assert snapshot.query("SELECT max(number) FROM migrations").rows == [(LATER.number,)]
        assert snapshot.query("SELECT prompt, chosen FROM pair_texts").rows == [("one", "one")]
        for record in RECORDS:
            (row,) = snapshot.query(f"FROM {record.table}").as_dicts()
            record.model_validate(row)
    assert store.append([prompt("And now?")]) == 1


def test_readers_get_the_views_of_their_version(path: Path, monkeypatch: pytest.MonkeyPatch):
    """A changed file is applied again when the store is next read, and so are the others."""
    with reading(path) as snapshot:
        assert snapshot.query("SELECT count(*) FROM opinions").rows == [(1,)]
    changed = [
        ViewFile(
            file.name,
            file.sql.replace("FROM standing_judgements WHERE", "FROM judgements WHERE 1 = 0 AND"),
        )
        for file in all_view_files()
    ]
    assert changed != all_view_files()
    monkeypatch.setattr(migrations, "all_view_files", lambda: changed)
    with reading(path) as snapshot:
        assert snapshot.query("SELECT count(*) FROM opinions").rows == [(0,)]
        assert snapshot.query("SELECT count(*) FROM judge_votes").rows == [(0,)]
        comment = "SELECT comment FROM duckdb_views() WHERE view_name = 'opinions'"
        assert "retracted" in snapshot.query(comment).rows[0][0]


def test_views_are_made_again_where_a_migration_was_killed_before_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The migration is committed first; the store does not count as up to date then."""
    monkeypatch.setattr(migrations, "all_migrations", lambda: [*KNOWN, LATER])
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "_make_views", lambda connection, view_files: None)
        Store(path)
    with reading(path) as snapshot:
        assert snapshot.query("SELECT later FROM opinions").rows == [("later",)]


def test_a_file_of_views_that_fails_leaves_the_views_as_they_were(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    broken = ViewFile("broken.sql", "CREATE OR REPLACE VIEW opinions AS SELECT 1 AS id; SELECT no")
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "all_view_files", lambda: [*all_view_files(), broken])
        with pytest.raises(duckdb.Error):
            Store(path)
    names = {row["name"] for row in Store(path).query("SELECT name FROM migrations")}
    assert names == {"0001_facts.sql", "generated", *FILES}
    with reading(path) as snapshot:
        assert every_view_is_readable(snapshot)


def test_every_file_of_views_is_applied():
    folder = Path(migrations.__file__).parent / "views"
    assert sorted(FILES) == sorted(file.name for file in folder.iterdir())


def test_every_migration_has_a_number_of_its_own_in_order():
    numbers = [migration.number for migration in KNOWN]
    assert numbers == list(range(1, len(KNOWN) + 1))


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
