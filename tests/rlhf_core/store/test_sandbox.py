"""Attacks by an auditor's SQL: they reach nothing outside the answer."""

import hashlib
import time
from pathlib import Path

import duckdb
import pytest

from rlhf_core.errors import QueryError
from rlhf_core.store import Store, reading
from rlhf_core.store.limits import limit_process_memory
from tests.facts import candidate, prompt, query_store

WRITES = [
    "INSERT INTO prompts (id) VALUES ('x')",
    "INSERT INTO candidates SELECT * FROM candidates RETURNING id",
    "WITH new AS (INSERT INTO prompts (id) VALUES ('x') RETURNING id) SELECT * FROM new",
    "UPDATE candidates SET text = 'changed'",
    "DELETE FROM candidates",
    "TRUNCATE candidates",
    "MERGE INTO prompts USING prompts AS other ON prompts.id = other.id WHEN MATCHED THEN DELETE",
    "DROP TABLE candidates",
    "DROP VIEW pair_texts",
    "ALTER TABLE candidates ADD COLUMN mine INTEGER",
    "COMMENT ON TABLE candidates IS 'mine'",
    "CREATE TABLE mine (x INTEGER)",
    "CREATE TEMP TABLE mine AS SELECT * FROM candidates",
    "CREATE OR REPLACE VIEW pair_texts AS SELECT 1",
    "CREATE MACRO mine(x) AS x",
    "CREATE SEQUENCE mine",
    "CREATE SCHEMA mine",
    "CREATE INDEX mine ON candidates (id)",
    "CREATE TYPE mine AS ENUM ('x')",
    "PREPARE mine AS DELETE FROM candidates",
    "EXECUTE mine",
    "EXPLAIN ANALYZE INSERT INTO prompts (id) VALUES ('x')",
    "EXPLAIN ANALYZE DELETE FROM candidates",
    "SELECT * FROM query('DELETE FROM candidates')",
    "SELECT 1; DELETE FROM candidates",
    "BEGIN TRANSACTION",
    "COMMIT",
    "VACUUM",
    "ANALYZE",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
]
FILES = [
    "COPY candidates TO '{folder}/out.csv'",
    "COPY (SELECT 1) TO '{snapshot}' (USE_TMP_FILE false)",
    "COPY (SELECT 1) TO '{snapshot}.wal'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{snapshot}' (USE_TMP_FILE false)",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{snapshot}.wal'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/out.csv'",
    "COPY candidates FROM '{folder}/secret.csv'",
    "COPY FROM DATABASE snapshot TO memory",
    "EXPORT DATABASE '{folder}/out'",
    "IMPORT DATABASE '{folder}'",
    "ATTACH '{folder}/other.duckdb' AS other",
    "ATTACH '{snapshot}' AS other (READ_WRITE)",
    "ATTACH ':memory:' AS other",
    "DETACH solon",
    "USE memory",
    "SELECT * FROM read_csv('{folder}/secret.csv')",
    "SELECT * FROM sniff_csv('{folder}/secret.csv')",
    "SELECT * FROM read_json('{folder}/secret.csv')",
    "SELECT * FROM read_ndjson_objects('{folder}/secret.csv')",
    "SELECT * FROM read_parquet('{folder}/secret.csv')",
    "SELECT * FROM parquet_metadata('{folder}/secret.csv')",
    "SELECT * FROM read_text('{folder}/secret.csv')",
    "SELECT * FROM read_blob('{folder}/secret.csv')",
    "SELECT * FROM read_blob('{snapshot}')",
    "SELECT * FROM read_duckdb('{snapshot}')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM '{folder}/secret.csv'",
    "SELECT * FROM query_table('{folder}/secret.csv')",
    "SELECT * FROM query('SELECT * FROM ''{folder}/secret.csv''')",
    "CALL enable_logging(storage := 'file', storage_path := '{folder}/log')",
    "SELECT * FROM enable_logging(storage = 'file', storage_path = '{folder}/log')",
    "CALL enable_profiling(save_location = '{folder}/profile')",
    "SELECT * FROM enable_profiling(save_location = '{folder}/profile')",
    "PRAGMA profiling_output = '{folder}/profile'",
]
NETWORK_AND_EXTENSIONS = [
    "SELECT * FROM 'https://example.com/x.csv'",
    "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
    "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "ATTACH 'https://example.com/x.duckdb' AS other",
    "COPY candidates TO 's3://bucket/x.parquet'",
    "INSTALL httpfs",
    "INSTALL httpfs FROM community",
    "FORCE INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/mine.duckdb_extension'",
    "UPDATE EXTENSIONS",
    "CREATE SECRET mine (TYPE s3)",
    "CREATE PERSISTENT SECRET mine (TYPE http)",
]
SETTINGS = [
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET lock_configuration",
    "SET disabled_filesystems = ''",
    "RESET disabled_filesystems",
    "SET memory_limit = '1TB'",
    "PRAGMA memory_limit = '1TB'",
    "SET temp_directory = '{folder}'",
    "SET home_directory = '{folder}'",
    "SET log_query_path = '{folder}/log'",
    "SET threads = 64",
    "SET allow_unsigned_extensions = true",
    "SET schema = 'main'",
    "SET VARIABLE mine = 1",
    "PRAGMA enable_profiling = 'json'",
    "PRAGMA force_checkpoint",
    "PRAGMA enable_object_cache",
]
OTHERS = [
    "SELECT getenv('HOME')",
    "SELECT * FROM secret_rows",
    "SELECT * FROM pandas_scan(1)",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM python_map_function(1)",
    "CALL truncate_duckdb_logs()",
    "",
    "SELEC 1",
    "SELECT error('no')",
]
REFUSED = [*WRITES, *FILES, *NETWORK_AND_EXTENSIONS, *SETTINGS, *OTHERS]
HARMLESS = [
    "SELECT current_setting('home_directory')",
    "SELECT name, value FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_databases()",
    "SELECT * FROM duckdb_extensions()",
    "SELECT * FROM duckdb_variables()",
    "SELECT * FROM duckdb_logs()",
    "SELECT * FROM which_secret('s3://bucket/x', 's3')",
    "SELECT * FROM checkpoint()",
    "SELECT * FROM force_checkpoint()",
    "SELECT * FROM disable_logging()",
    "SELECT write_log('mine')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "EXPLAIN ANALYZE SELECT * FROM candidates",
    "SELECT * FROM destroy_external_resource('write_log', 'x')",
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    (folder / "secret.csv").write_text("key\nhunter2\n")
    store = Store(folder / "solon.duckdb")
    store.append([prompt(), candidate("one", 0), candidate("two", 1)])
    store.publish()
    return store.files.database


def contents(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def attempt(database: Path, sql: str) -> str:
    """Return the result as text, and check that no file changed."""
    before = contents(database.parent)
    secret_rows = [("hunter2",)]
    assert secret_rows  # in the frame DuckDB's replacement scan would look at
    sql = sql.format(folder=database.parent, snapshot=database.with_suffix(".snapshot.duckdb"))
    try:
        with reading(database) as snapshot:
            return str(snapshot.query(sql, timeout_seconds=5).rows)
    finally:
        assert contents(database.parent) == before


@pytest.mark.parametrize("sql", REFUSED)
def test_an_audit_cannot(database: Path, sql: str):
    with pytest.raises(QueryError) as caught:
        attempt(database, sql)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("sql", HARMLESS)
def test_an_audit_that_may_be_answered_learns_no_secret_and_changes_nothing(
    database: Path, monkeypatch: pytest.MonkeyPatch, sql: str
):
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    try:
        found = attempt(database, sql)
    except QueryError as error:
        found = str(error)
    assert "hunter2" not in found
    assert query_store(database, "SELECT count(*) FROM candidates").rows == [(2,)]


def test_walls_that_stand_behind_others_stand(database: Path):
    """Attempts above end before they come to them, so none of those would tell."""
    found = query_store(
        database,
        "SELECT name, value FROM duckdb_settings() WHERE name IN ('access_mode', "
        "'enable_external_access', 'lock_configuration') ORDER BY name",
    )
    assert found.rows == [
        ("access_mode", "read_only"),
        ("enable_external_access", "false"),
        ("lock_configuration", "true"),
    ]


def test_what_reads_is_answered(database: Path):
    for sql in (
        "FROM candidates",
        "TABLE candidates",
        "VALUES (1)",
        "WITH one AS (SELECT 1) FROM one",
        "DESCRIBE candidates",
        "SUMMARIZE candidates",
        "SHOW TABLES",
        "PIVOT candidates ON sample_index IN (0, 1) USING count(*)",
        "EXPLAIN SELECT 1",
    ):
        assert query_store(database, sql).rows, sql


def test_a_pivot_finds_its_values_where_duckdb_makes_no_type_for_them(database: Path):
    sql = "PIVOT candidates ON sample_index USING count(*)"
    if duckdb.__version__.startswith("1."):
        with pytest.raises(QueryError, match="name the values of the PIVOT"):
            query_store(database, sql)
    else:
        assert query_store(database, sql).rows


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b",
        "SELECT count(*) FROM range(100000000000)",
    ],
)
@pytest.mark.parametrize("in_arrow", [False, True])
def test_a_query_without_end_is_stopped(database: Path, sql: str, in_arrow: bool):
    started = time.monotonic()
    with reading(database) as snapshot:
        stream = snapshot.stream_arrow if in_arrow else snapshot.stream
        with (
            pytest.raises(QueryError, match=r"longer than 0\.2 s and was stopped"),
            stream(sql, timeout_seconds=0.2) as cursor,
        ):
            list(cursor.batches)
        assert snapshot.query("SELECT 1").rows == [(1,)]
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("in_arrow", [False, True])
def test_an_answer_is_read_within_the_time_and_row_by_row(database: Path, in_arrow: bool):
    """Rows come before the query has found all of them; then it is stopped."""
    seen: list[int] = []
    with reading(database) as snapshot:
        stream = snapshot.stream_arrow if in_arrow else snapshot.stream
        with (
            pytest.raises(QueryError, match="was stopped"),
            stream("FROM range(100000000000)", timeout_seconds=0.3) as cursor,
        ):
            seen.extend(len(batch) for batch in cursor.batches)
    assert sum(seen) >= 10_000


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(DISTINCT range::VARCHAR || repeat('x', 100)) FROM range(3000000)",
        "SELECT sum(length(x)) FROM (SELECT repeat('x', 99) || range AS x FROM range(3000000) "
        "ORDER BY x DESC OFFSET 2000000)",
    ],
)
def test_a_query_takes_no_more_memory_than_it_may_and_no_disk(
    database: Path, monkeypatch: pytest.MonkeyPatch, sql: str
):
    monkeypatch.setattr("rlhf_core.store.limits.psutil.virtual_memory", lambda: Small)
    with pytest.raises(QueryError, match=r"more than 0\.1 GiB of memory"):
        attempt(database, sql)


class Small:
    total = 2**28


def test_a_process_held_to_its_memory_gets_no_more():
    with limit_process_memory(2**26), pytest.raises(MemoryError):
        bytearray(2**28)
    assert len(bytearray(2**28)) == 2**28


def test_a_string_that_outgrows_the_process_is_an_error_and_no_crash(database: Path):
    """DuckDB does not count what functions make."""
    with limit_process_memory(2**27), pytest.raises(QueryError, match="GiB of memory"):
        attempt(database, "SELECT length(repeat('x' || range, 1000000000)) FROM range(3)")
