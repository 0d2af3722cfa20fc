"""A store on DuckLake, with a real PostgreSQL: several processes, kills, a catalog that is gone."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlhf_core.config.address import LakeAddress
from rlhf_core.config.loading import load_config, store_path
from rlhf_core.errors import ConfigError
from tests.rlhf_core.store.lakes import PostgreSQL, lake_command, lake_libraries, postgresql


def test_an_address_is_split_into_catalog_and_rows():
    found = LakeAddress.parse(
        "ducklake:postgresql://solon@db:5433/solon?data=/mnt/x&sslmode=require"
    )
    assert found.data == "/mnt/x"
    assert found.catalog == "postgresql://solon@db:5433/solon?sslmode=require&connect_timeout=10"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ducklake:postgresql://solon:hunter2@db/solon?data=/x", "PGPASSWORD"),
        ("ducklake:postgresql://solon@db/solon?data=/x&password=hunter2", "PGPASSWORD"),
        ("ducklake:postgresql://solon@db/solon", "no address of a lake"),
        ("ducklake:postgresql://solon@db?data=/x", "no address of a lake"),
        ("ducklake:mysql://solon@db/solon?data=/x", "no address of a lake"),
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


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lake_libraries(tmp_path_factory.mktemp("lake") / "libraries")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgreSQL]:
    folder = tmp_path / "postgresql"
    folder.mkdir()
    with postgresql(folder) as running:
        yield running


class Lake:
    """What processes of their own find in one lake."""

    def __init__(self, libraries: Path, address: str) -> None:
        self.libraries, self.address = libraries, address

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = lake_command(self.libraries, self.address, *arguments)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def said(self, *arguments: str) -> str:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return out

    def found(self, *arguments: str) -> object:
        return json.loads(self.said(*arguments))

    def ids(self) -> list[str]:
        answer = self.found("audit", "SELECT id FROM candidates")
        assert isinstance(answer, dict)
        return [row[0] for row in answer["rows"]]


@pytest.fixture
def lake(libraries: Path, server: PostgreSQL, tmp_path: Path) -> Lake:
    return Lake(libraries, server.address(tmp_path / "rows"))


@pytest.mark.slow
def test_a_lake_holds_what_a_file_would(lake: Lake):
    lake.said("append", "0", "7")
    lake.said("append", "5", "5")
    counts = lake.found("counts")
    assert isinstance(counts, dict)
    assert (counts["prompts"], counts["candidates"], counts["pairs"]) == (1, 10, 0)
    texts = lake.found("texts")
    assert isinstance(texts, list)
    assert sorted(texts) == [[f"text '{n}' 日本", [n, 2]] for n in range(10)]
    answer = lake.found("audit", "SELECT count(*) FROM check_orphans")
    assert answer == {"columns": ["count_star()"], "rows": [[0]]}


@pytest.mark.slow
def test_processes_that_write_the_same_rows_at_once_add_each_once(lake: Lake):
    lake.said("counts")
    processes = [lake.start("append", str(first), "60") for first in (0, 20, 40, 0)]
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert len(lake.ids()) == len(set(lake.ids())) == 100


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_batches_and_no_lock(lake: Lake):
    lake.said("counts")
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
