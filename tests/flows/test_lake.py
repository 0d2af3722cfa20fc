"""Every command of an auditor over a lake says what it says over a file."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rlhf_core.config import Config
from tests.conftest import ROOT
from tests.flows.conftest import SMOKE
from tests.rlhf_core.store.lakes import Lake, free_port, lake_libraries, postgresql

READ = (
    ["check"],
    ["sql"],
    ["sql", "--query", "judge_costs"],
    ["show", "pair", "{pair}"],
    ["show", "model", "{model}"],
    ["lineage", "{pair}"],
    ["lineage", "{model}"],
    ["what-if", SMOKE, "--weight", "similarity=0.5"],
    ["spot-check", "--report"],
)


class Both:
    """One cycle's facts twice, in a file and in a lake, each asked by DuckDB of the lake."""

    def __init__(self, file: Path, lake: Lake) -> None:
        self.stores, self.lake = (str(file), lake.address), lake

    def command(self, store: str, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "flows.cli", *arguments, "--set", f"store={store}"]

    def say(self, store: str, *arguments: str, typed: str = "") -> str:
        ended = subprocess.run(
            self.command(store, arguments),
            input=typed,
            capture_output=True,
            text=True,
            env=self.lake.environment,
            cwd=ROOT,
            timeout=300,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def ask(self, store: str, sql: str) -> list[dict[str, Any]]:
        found = json.loads(self.say(store, "sql", sql, "--json"))
        assert isinstance(found, list)
        return found


@pytest.fixture(scope="module")
def both(
    finished: Config, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    libraries = lake_libraries(tmp_path_factory.mktemp("lake") / "libraries")
    folder = tmp_path_factory.mktemp("both")
    file = shutil.copy(finished.store, folder / "solon.duckdb")
    with postgresql(tmp_path_factory.mktemp("postgresql")) as server:
        lake = Lake(libraries, server.address(folder / "rows"), **environment)
        lake.environment["PYTHONPATH"] = os.pathsep.join([str(libraries), str(ROOT)])
        found = Both(Path(file), lake)
        copied = json.loads(found.say(str(file), "copy", lake.address, "--json"))
        assert copied["pairs"] == 93
        again = json.loads(found.say(str(file), "copy", lake.address, "--json"))
        assert set(again.values()) == {0}
        yield found


@pytest.fixture(scope="module")
def ids(both: Both) -> dict[str, str]:
    sql = (
        "SELECT (SELECT min(id) FROM pairs) AS pair, "
        "(SELECT min(id) FROM models WHERE kind = 'policy') AS model"
    )
    (found,) = both.ask(both.stores[0], sql)
    return found


@pytest.mark.slow
def test_every_view_and_named_query_finds_the_same(both: Both):
    found = both.lake.found("same", both.stores[0])
    assert found == {"relations": found["relations"], "queries": found["queries"], "differ": []}
    assert found["relations"] > 100
    assert found["queries"] > 20


@pytest.mark.slow
@pytest.mark.parametrize("arguments", READ, ids=" ".join)
def test_a_command_that_reads_says_the_same(both: Both, ids: dict[str, str], arguments: list[str]):
    filled = [word.format(**ids) for word in arguments]
    of_file, of_lake = (json.loads(both.say(store, *filled, "--json")) for store in both.stores)
    for said in (of_file, of_lake):
        if isinstance(said, dict):
            said.pop("age_seconds", None)
    assert of_lake == of_file


@pytest.mark.slow
def test_commands_that_write_add_the_same(both: Both, ids: dict[str, str], tmp_path: Path):
    counts = []
    for name, store in zip(("file", "lake"), both.stores, strict=True):
        rows = tmp_path / f"{name}.jsonl"
        both.say(store, "export", str(rows), "--with-cut-off")
        both.say(store, "import", str(rows), "--name", "mine")
        both.say(store, "spot-check", "--count", "2", "--person", "ann", typed="1\n2\n")
        both.say(store, "retract", ids["pair"], "--reason", "wrong", "--by", "ann", "--yes")
        counts.append(
            both.ask(
                store,
                "SELECT (SELECT count(*) FROM imported_rows) AS imported, "
                "(SELECT count(*) FROM spot_checks) AS checked, "
                "(SELECT string_agg(subject_id) FROM retracted) AS retracted",
            )
        )
    assert counts[0] == counts[1]
    assert counts[0][0]["checked"] == 2
    assert (tmp_path / "file.jsonl").read_text() == (tmp_path / "lake.jsonl").read_text()


@pytest.mark.slow
def test_the_page_opens(both: Both):
    pytest.importorskip("nicegui")
    port = str(free_port())
    command = both.command(both.stores[1], ["ui", "--port", port])
    with subprocess.Popen(command, env=both.lake.environment, cwd=ROOT) as process:
        try:
            assert "<html" in page(f"http://127.0.0.1:{port}/")
        finally:
            process.kill()


def page(url: str) -> str:
    for _ in range(600):
        with suppress(OSError), urllib.request.urlopen(url) as answer:
            return str(answer.read(), "utf-8")
        time.sleep(0.1)
    raise TimeoutError(url)
