"""A store on DuckLake, with a real PostgreSQL: several processes, kills, a catalog that is gone."""

import json
import signal
import time
from pathlib import Path

import pytest

from rlhf_core.config.address import LakeAddress
from rlhf_core.config.loading import load_config, store_path
from rlhf_core.errors import ConfigError
from tests.rlhf_core.store.lakes import Lake, PostgreSQL


def test_an_address_is_split_into_catalog_and_rows():
    found = LakeAddress.parse(
        "ducklake:postgresql://solon@db:5433/solon?data=/mnt/x&sslmode=require"
    )
    assert found.data == "/mnt/x"
    assert found.catalog == "postgresql://solon@db:5433/solon?sslmode=require&connect_timeout=10"


def test_an_address_says_where_a_bucket_is_and_stays_the_same_lake():
    """Waiting batches lie under the name of the lake."""
    plain = LakeAddress.parse("ducklake:postgresql://solon@db/solon?data=s3://bucket/x")
    found = LakeAddress.parse(
        "ducklake:postgresql://solon@db/solon?data=s3://bucket/x&endpoint=http://h:9&region=eu"
    )
    assert (found.data, found.endpoint, found.region) == ("s3://bucket/x", "http://h:9", "eu")
    assert found.is_in_object_store
    assert found.catalog == plain.catalog
    assert repr(found) == repr(plain)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ducklake:postgresql://solon:hunter2@db/solon?data=/x", "PGPASSWORD"),
        ("ducklake:postgresql://solon@db/solon?data=/x&sslpassword=hunter2", "PGPASSWORD"),
        ("ducklake:postgresql://solon@db/solon?data=s3://b/x&secret=hunter2", "AWS_SECRET"),
        ("ducklake:postgresql://solon@db/solon?data=s3://b/x&s3%5Faccess_key_id=hunter2", "AWS_"),
        ("ducklake:postgresql://solon@db/solon?data=s3://key:hunter2@b/x", "without keys"),
        ("ducklake:postgresql://solon@db/solon?data=s3://b/x%3Fs3_region%3Dhunter2", "without"),
        ("ducklake:postgresql://solon@db/solon?data=az://b/x", "a folder, or a prefix like s3"),
        (
            "ducklake:postgresql://solon@db/solon?data=s3://bucket/x&endpoint=h:9",
            "endpoint= is a URL",
        ),
        (
            "ducklake:postgresql://solon@db/solon?data=s3://bucket/x&endpoint=http://k:hunter2@h:9",
            "endpoint= is a URL",
        ),
        ("ducklake:postgresql://solon@db/solon?dat=s3://key:hunter2@b/x", "is not a lake"),
        ("ducklake:postgresql://solon@db/solon?data=/x&password=hunter2", "PGPASSWORD"),
        ("ducklake:postgresql://solon@db/solon", "is not a lake"),
        ("ducklake:postgresql://solon@db?data=/x", "is not a lake"),
        ("ducklake:mysql://solon@db/solon?data=/x", "is not a lake"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(address: str, said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        LakeAddress.parse(address)
    assert "hunter2" not in str(caught.value)


def test_a_config_names_a_lake_or_a_file(in_root: Path):
    address = "ducklake:postgresql://solon@db/solon?data=/mnt/x"
    smoke = in_root / "deploy" / "configs" / "smoke.yaml"
    assert load_config(smoke, [f"store={address}"], {}).store == address
    assert store_path(None, [f"store={address}"], {}) == address
    assert load_config(smoke, ["store=a.duckdb"], {}).store == Path("a.duckdb")
    with pytest.raises(ConfigError, match=r"store: .*PGPASSWORD") as caught:
        load_config(smoke, [f"store={address.replace('solon@', 'solon:hunter2@')}"], {})
    assert "hunter2" not in str(caught.value)


@pytest.mark.slow
def test_a_lake_holds_what_a_file_would(lake: Lake):
    lake.said("append", "0", "7")
    lake.said("append", "5", "5")
    counts = lake.found("counts")
    assert (counts["prompts"], counts["candidates"], counts["pairs"]) == (1, 10, 0)
    assert sorted(lake.found("texts")) == [[f"text '{n}' 日本", [n, 2]] for n in range(10)]
    answer = lake.found("audit", "SELECT count(*) FROM check_orphans")
    assert answer == {"columns": ["count_star()"], "rows": [[0]]}


@pytest.mark.slow
def test_processes_that_write_the_same_rows_at_once_add_each_once(lake: Lake):
    processes = [lake.start("append", str(first), "60") for first in (0, 20, 40, 0)]
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert len(lake.ids()) == len(set(lake.ids())) == 100


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_batches_and_no_lock(lake: Lake):
    for first in range(0, 3000, 1000):
        process = lake.start("append", str(first), "1000")
        assert process.stdout is not None
        stored = [json.loads(process.stdout.readline()) for _ in range(3)]
        time.sleep(0.05 * first / 1000)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept = lake.ids()
        assert {id for batch in stored for id in batch} <= set(kept)
        assert len(kept) % 5 == 0
        assert len(kept) == len(set(kept))


@pytest.mark.slow
def test_a_batch_waits_while_the_catalog_is_gone(lake: Lake, server: PostgreSQL):
    process = lake.start("append", "0", "150")
    assert process.stdout is not None
    acknowledged = json.loads(process.stdout.readline())
    server.stop()
    time.sleep(2)
    server.start()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    acknowledged += [id for line in out.splitlines() for id in json.loads(line)]
    assert len(acknowledged) == 150
    assert sorted(lake.ids()) == sorted(acknowledged)
