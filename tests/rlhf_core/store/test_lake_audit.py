"""Attacks by an auditor's SQL on a lake: they meet a sealed copy on this machine."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.rlhf_core.store.lakes import Lake, PostgreSQL
from tests.rlhf_core.store.test_sandbox import HARMLESS, REFUSED

PASSWORD = "hunter2"
SANDBOX = "tests/rlhf_core/store/test_sandbox.py"
OF_A_LAKE = [
    "ATTACH 'ducklake:postgres:{catalog}' AS other (METADATA_SCHEMA 'solon')",
    "ATTACH '{catalog}' AS other (TYPE postgres)",
    "SELECT * FROM postgres_query('guard', 'SELECT 1')",
    "CALL postgres_execute('guard', 'DROP SCHEMA solon CASCADE')",
    "SELECT * FROM postgres_scan('{catalog}', 'solon', 'ducklake_table')",
    "SELECT * FROM postgres_attach('{catalog}')",
    "SELECT * FROM ducklake_snapshots('lake')",
    "CALL ducklake_expire_snapshots('lake', older_than => now())",
    "CALL ducklake_cleanup_old_files('lake', cleanup_all => true)",
    "INSERT INTO lake.candidates SELECT * FROM candidates",
    "SELECT * FROM __ducklake_metadata_lake.solon.ducklake_table",
    "SELECT * FROM read_parquet('{rows}/main/candidates/*.parquet')",
    "SELECT * FROM glob('{rows}/*')",
    "COPY (SELECT 1) TO '{rows}/main/candidates/mine.parquet'",
    "LOAD ducklake",
    "LOAD postgres_scanner",
    "LOAD '{extension}'",
    "CREATE SECRET mine (TYPE postgres, HOST '127.0.0.1')",
]


@pytest.mark.slow
def test_an_audit_reaches_neither_catalog_nor_rows_nor_secrets(lake: Lake, server: PostgreSQL):
    lake.said("append", "0", "40", "20")
    catalog, rows = lake.address.removeprefix("ducklake:").split("?data=")
    found = list(lake.libraries.rglob("ducklake.duckdb_extension"))
    places = {"catalog": catalog, "rows": rows, "extension": found[0]}
    places |= {"folder": rows, "snapshot": f"{rows}/x"}
    refused = [sql.format(**places) for sql in (*OF_A_LAKE, *REFUSED) if sql]
    said = attempts(lake, [*refused, *HARMLESS])
    answered = [sql for sql, one in zip(refused, said, strict=False) if "refused" not in one]
    assert answered == []
    assert PASSWORD not in json.dumps(said)
    assert lake.found("counts")["candidates"] == 40
    assert lake.found("audit", "SELECT count(*) FROM candidates")["rows"] == [[40]]


def attempts(lake: Lake, statements: list[str]) -> list[dict[str, object]]:
    secret = {"PGPASSWORD": PASSWORD, "AWS_SECRET_ACCESS_KEY": PASSWORD}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.rlhf_core.store.lake_work", lake.address, "attempt"],
        input="\n".join(statements),
        capture_output=True,
        text=True,
        env={**lake.environment, **secret},
        check=True,
        timeout=600,
    )
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(found) == len(statements)
    return found


@pytest.mark.slow
def test_duckdb_of_a_lake_seals_files_too(lake: Lake):
    """Its version is not the one that a store on one machine is asked with."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-qp", "no:cacheprovider", SANDBOX],
        capture_output=True,
        text=True,
        env={**lake.environment, "HOME": str(lake.libraries.parent)},
        cwd=ROOT,
        check=False,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout[-3000:]
