"""A lake whose rows lie in an object store: keys, kills, a server that is gone for a while."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from rlhf_core.config.address import LakeAddress
from rlhf_core.errors import ConfigError, StoreBusyError, StoreError
from rlhf_core.store.lake.objects import open_object_store, refusal
from tests.rlhf_core.store.lakes import Lake, Lakes, ObjectStore, PostgreSQL, object_store

KEYS = {"AWS_ACCESS_KEY_ID": "key-7f3a", "AWS_SECRET_ACCESS_KEY": "hunter2'; DROP"}
ADDRESS = LakeAddress("postgresql://solon@db/solon", "s3://bucket/x")
BATCH = 20


class Recorded:
    """A connection that keeps what it is told instead of doing it."""

    def __init__(self) -> None:
        self.sql = ""
        self.values: dict[str, str] = {}

    def execute(self, sql: str, parameters: dict[str, str] | None = None) -> None:
        self.sql += f"{sql}\n"
        self.values |= parameters or {}


def open_connection(address: LakeAddress, environment: dict[str, str]) -> Recorded:
    recorded = Recorded()
    open_object_store(recorded, address, environment)  # type: ignore[arg-type]
    return recorded


def test_keys_are_bound_and_never_part_of_the_sql():
    found = open_connection(
        ADDRESS, {**KEYS, "AWS_SESSION_TOKEN": "token-9", "AWS_REGION": "eu-north-1"}
    )
    assert found.values["SECRET"] == "hunter2'; DROP"
    assert found.values["SESSION_TOKEN"] == "token-9"
    assert found.values["REGION"] == "eu-north-1"
    assert found.values["SCOPE"] == "s3://bucket/x/"
    for secret in (*KEYS.values(), "token-9"):
        assert secret not in found.sql
    assert "TEMPORARY SECRET" in found.sql


def test_an_endpoint_comes_from_the_address_before_the_environment():
    elsewhere = {**KEYS, "AWS_ENDPOINT_URL": "http://general:1"}
    assert open_connection(ADDRESS, elsewhere).values["ENDPOINT"] == "general:1"
    assert "USE_SSL false" in open_connection(ADDRESS, elsewhere).sql
    elsewhere["AWS_ENDPOINT_URL_S3"] = "https://objects:2"
    assert open_connection(ADDRESS, elsewhere).values["ENDPOINT"] == "objects:2"
    address = LakeAddress(ADDRESS.catalog, ADDRESS.data, "https://ours:3", "eu")
    found = open_connection(address, {**elsewhere, "AWS_REGION": "us"})
    assert (found.values["ENDPOINT"], found.values["REGION"]) == ("ours:3", "eu")
    assert "USE_SSL" not in found.sql


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AWS_REGION": "eu"}, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": "key-7f3a", "AWS_REGION": "eu"}, "set AWS_ACCESS_KEY_ID and"),
        (KEYS, "which region is it in"),
    ],
)
def test_what_the_environment_lacks_is_said(environment: dict[str, str], said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        open_connection(ADDRESS, environment)
    assert not any(key in str(caught.value) for key in KEYS.values())


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (403, StoreError, "refuses: HTTP 403 Why; may the owner"),
        (404, StoreError, "refuses: HTTP 404 Why; is there such a bucket"),
        (503, StoreBusyError, "is not ready: HTTP 503 Why"),
        (429, StoreBusyError, "is not ready: HTTP 429 Why"),
    ],
)
def test_an_answer_that_will_not_change_ends_the_run_and_a_passing_one_does_not(
    status: int, kind: type[StoreError], said: str
):
    error = duckdb.HTTPException("<Error><AWSAccessKeyId>key-7f3a</AWSAccessKeyId></Error>")
    error.status_code, error.reason = status, "Why"  # type: ignore[misc]
    found = refusal(ADDRESS, error)
    assert type(found) is kind
    assert said in str(found)
    assert "key-7f3a" not in str(found)


@pytest.fixture(scope="module")
def bucket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("objects") / "libraries") as running:
        yield running


@pytest.fixture(scope="module")
def lakes(libraries: Path, server: PostgreSQL, bucket_server: ObjectStore) -> Lakes:
    return Lakes(libraries, server, bucket_server.options, **KEYS)


@pytest.mark.slow
def test_rows_lie_in_the_bucket(lake: Lake, bucket_server: ObjectStore):
    before = set(bucket_server.objects())
    lake.said("append", "0", "40", str(BATCH))
    texts = [f"text '{n}' 日本" for n in range(40)]
    assert sorted(lake.found("texts")) == sorted([text, [n, 2]] for n, text in enumerate(texts))
    assert len(set(bucket_server.objects()) - before) == 2
    assert lake.found("audit", "SELECT count(*) FROM candidates")["rows"] == [[40]]


@pytest.mark.slow
def test_no_key_is_in_an_answer_a_file_or_the_catalog(
    lake: Lake, server: PostgreSQL, bucket_server: ObjectStore
):
    lake.said("append", "0", "20", str(BATCH))
    for sql in (
        "SELECT * FROM duckdb_secrets()",
        "SELECT name, value FROM duckdb_settings()",
        "SELECT * FROM duckdb_databases()",
        "SELECT * FROM which_secret('s3://lake/solon/x', 's3')",
    ):
        process = lake.start("audit", sql)
        said = "".join(process.communicate(timeout=600))
        assert not any(key in said for key in KEYS.values()), sql
    kept = [*server.data.rglob("*"), *(lake.libraries.parent / ".cache").rglob("*")]
    everything = [path.read_bytes() for path in kept if path.is_file()]
    objects = bucket_server.objects().values()
    assert any(found.startswith(b"PAR1") for found in objects)
    everything += objects
    assert not any(key.encode() in part for part in everything for key in KEYS.values())


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_batches(lake: Lake):
    process = lake.start("append", "0", "2000", str(BATCH))
    assert process.stdout is not None
    stored = [id for _ in range(3) for id in json.loads(process.stdout.readline())]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = lake.ids()
    assert set(stored) <= set(kept)
    assert len(kept) % BATCH == 0
    assert len(kept) == len(set(kept))


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2, 8])
def test_nothing_is_lost_while_the_object_store_is_gone(
    lake: Lake, bucket_server: ObjectStore, seconds: int
):
    """Requests are retried for a short outage; batches wait in the spool during a longer one."""
    process = lake.start("append", "0", "400", str(BATCH))
    assert process.stdout is not None
    acknowledged = json.loads(process.stdout.readline())
    bucket_server.stop()
    time.sleep(seconds)
    bucket_server.start()
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert seconds == 2 or "the batch waits in" in err
    assert not any(key in err for key in KEYS.values())
    acknowledged += [id for line in out.splitlines() for id in json.loads(line)]
    assert len(acknowledged) == 400
    assert sorted(lake.ids()) == sorted(acknowledged)


@pytest.mark.slow
def test_an_object_store_that_is_gone_is_said(lake: Lake, bucket_server: ObjectStore):
    lake.said("append", "0", "20", str(BATCH))
    bucket_server.stop()
    try:
        process = lake.start("texts")
        _, err = process.communicate(timeout=600)
    finally:
        bucket_server.start()
    assert process.returncode != 0
    assert "StoreBusyError" in err
    assert "the catalog or the rows went away" in err
    assert not any(key in err for key in KEYS.values())


@pytest.mark.slow
def test_keys_that_are_not_there_are_asked_for(lake: Lake):
    without = {name: "" for name in KEYS}
    process = Lake(lake.libraries, lake.address, **without).start("counts")
    _, err = process.communicate(timeout=600)
    assert "ConfigError: store s3://lake/solon: set AWS_ACCESS_KEY_ID and" in err


@pytest.mark.slow
def test_another_data_path_than_the_lakes_is_refused(lake: Lake):
    missing = Lake(lake.libraries, lake.address.replace("s3://lake/", "s3://none/"), **KEYS)
    process = missing.start("append", "0", "20", str(BATCH))
    _, err = process.communicate(timeout=600)
    assert process.returncode != 0
    assert "is no lake of ours" in err
