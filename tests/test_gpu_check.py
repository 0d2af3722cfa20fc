"""The check of a GPU, run through on the CPU: every item, and what a bare machine has not."""

import ast
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.gpu_check import __main__ as command
from tests.gpu_check.report import CheckFailedError, Report, require_close

FORBIDDEN = ("duckdb", "prefect", "pytest", "openai", "pyarrow", "typer", "rich", "datasketch")
BENCHMARKS = ("gpu", "flops", "hardware", "ratio", "result")
BARE_PACKAGES = ("torch", "transformers", "accelerate", "peft")
BARE = f"""
import sys

sys.modules.update(dict.fromkeys({FORBIDDEN}))  # importing any of them raises
import tests.gpu_check.__main__
own = ("rlhf_core", "tests", "flows", "judges")
modules = {{name: module for name, module in sys.modules.items() if name.startswith(own)}}
assert not any(name.startswith(("flows", "judges")) for name in modules), sorted(modules)
users = [name for name, module in modules.items() if hasattr(module, "httpx2")]
assert not users, users
"""


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_every_item_runs_on_a_cpu(tmp_path: Path):
    assert command.main(["--cpu", "--tiny", "--out", str(tmp_path)]) == 0
    *rows, summary = lines(tmp_path)
    wrong = [row for row in rows if row["outcome"] != "done"]
    assert not wrong, wrong
    assert summary["kind"] == "summary"
    assert summary["done"] == len(rows) > 40
    assert summary["failed"] == summary["left out"] == []
    assert (tmp_path / "table.txt").read_text().count("\n") == len(rows)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_every_item_runs_on_a_gpu(tmp_path: Path):
    assert command.main(["--tiny", "--minutes", "5", "--out", str(tmp_path)]) == 0
    assert not [row for row in lines(tmp_path)[:-1] if row["outcome"] != "done"]


def test_it_imports_what_a_bare_machine_has():
    """Helpers of benchmarks are its own too; rlhf_core trains without a store by another test."""
    files = [*(ROOT / "tests/gpu_check").glob("*.py")]
    files += [ROOT / f"tests/benchmarks/{name}.py" for name in BENCHMARKS]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            for name in names:
                top = name.split(".")[0]
                is_own = name.startswith(("tests.gpu_check", "rlhf_core.")) or (
                    name.removeprefix("tests.benchmarks.") in BENCHMARKS
                )
                assert is_own or top in BARE_PACKAGES or top in sys.stdlib_module_names, (
                    file,
                    name,
                )
                assert not name.startswith("rlhf_core.store")


@pytest.mark.slow
def test_it_needs_no_store_scheduler_or_network_library():
    ended = subprocess.run([sys.executable, "-c", BARE], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_without_a_gpu_the_command_says_what_would_run(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        command.main(["--cpu", "--out", "nowhere"])
    assert "only --tiny has a meaning: --cpu --tiny" in capsys.readouterr().err


class TestReport:
    @pytest.fixture
    def report(self, tmp_path: Path) -> Iterator[Report]:
        report = Report(tmp_path, seconds=60, waits=True, say=lambda line: None)
        yield report
        report.close()

    def test_a_failed_check_fails_the_run_and_the_next_item_runs(self, report: Report):
        def wrong() -> dict[str, float]:
            require_close("the loss", 2.0, 1.0, 0.1)
            return {}

        report.check("wrong", 1, wrong)
        report.check("right", 1, lambda: {"loss": 1.0})
        report.close()
        assert report.failures == ["wrong"]
        failed, done, summary = lines(report.folder)
        assert failed["reason"] == "the loss is 2 and should be 1, to within 0.1"
        assert done["figures"] == {"loss": 1.0}
        assert summary["failed"] == ["wrong"]

    def test_full_memory_ends_a_figure_and_fails_nothing(self, report: Report):
        def full() -> dict[str, float]:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

        report.figure("large", 1, full)
        report.figure("broken", 1, lambda: {"rate": 1 / 0})
        assert [row["outcome"] for row in report.rows] == ["out of memory", "error"]
        assert report.failures == []

    def test_an_error_in_a_check_fails_it(self, report: Report):
        report.check("broken", 1, lambda: {"rate": 1 / 0})
        assert report.failures == ["broken"]

    def test_what_would_exceed_the_time_is_left_out(self, report: Report):
        report.figure("long", 61, lambda: {})
        report.figure("short", 1, lambda: {})
        report.close()
        assert lines(report.folder)[-1]["left out"] == ["long"]
        assert report.failures == []

    def test_each_line_is_on_the_disk_before_the_next_item(self, report: Report):
        report.figure("first", 1, lambda: {})
        seen: list[int] = []
        report.figure("second", 1, lambda: {"lines": seen.append(len(lines(report.folder))) or 0})
        assert seen == [1]

    def test_a_hang_leaves_the_stacks_of_its_threads(
        self, report: Report, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("tests.gpu_check.report.LEAST_HANG_SECONDS", 0.05)

        def hangs() -> dict[str, float]:
            time.sleep(0.3)
            return {}

        report.figure("hangs", 0.0, hangs)
        report.close()
        assert "in hangs" in (report.folder / "stacks.txt").read_text()


def test_a_number_that_is_none_is_not_close():
    with pytest.raises(CheckFailedError, match="is nan"):
        require_close("the loss", float("nan"), 1.0, 0.1)
