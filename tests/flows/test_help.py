"""What `--help` and the screen show: every word, quickly, and whatever stands in brackets."""

import inspect
import io
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer.main
from rich.console import Console
from typer.testing import CliRunner

from flows.cli import main
from flows.terminal import progress, screen
from tests.conftest import ROOT
from tests.flows.conftest import SMOKE

COMMANDS = typer.main.get_command(main.app)
HEAVY = ("torch", "prefect", "transformers", "duckdb")
WRONG = ["judges=[{kind: brevty}]", "evaluation.judges=[{kind: brevty}]", "trainng.steps=1"]


def commands(group: object, *path: str) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, command in getattr(group, "commands", {}).items():
        yield (*path, name), command
        yield from commands(command, *path, name)


ALL = dict(commands(COMMANDS))


def words(text: str) -> list[str]:
    return re.sub(r"[│╭╮╰╯─]", " ", text).split()


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_shows_every_word_of_a_command(path: tuple[str, ...]):
    """A word in brackets is markup unless it is escaped, and markup is not shown."""
    callback = ALL[path].callback  # type: ignore[attr-defined]
    written = inspect.getdoc(callback) or ""
    expected = words(re.sub(r"\[/?bold\]", "", written).replace(r"\[", "["))
    for option in ("--help", "-h"):
        found = CliRunner().invoke(main.app, [*path, option], env={"COLUMNS": "200"})
        assert found.exit_code == 0
        shown = words(found.output)
        start = shown.index(expected[0]) if expected else 0
        assert " ".join(expected) in " ".join(shown[start:]), path


def test_help_of_imports_shows_the_list_of_sources():
    found = CliRunner().invoke(main.app, ["import", "-h"], env={"COLUMNS": "200"})
    assert "{sources: [helpful]}" in found.output


def test_the_version_is_told():
    found = CliRunner().invoke(main.app, ["--version"])
    assert found.exit_code == 0
    assert re.fullmatch(r"solon \d+\.\d+\.\d+\S*\n", found.output)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["run", "-h"]])
def test_help_imports_nothing_heavy(arguments: list[str]):
    assert not set(HEAVY) & set(loaded_by(arguments))


def test_the_list_of_commands_reads_no_records():
    """Pydantic, which config and records need, would take a third of its time."""
    assert loaded_by(["--help"]) == []


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("setting", WRONG)
def test_a_misspelt_config_is_answered_before_anything_heavy_is_imported(
    command: str, setting: str
):
    assert not {"torch", "prefect"} & set(loaded_by([command, SMOKE, "--set", setting], code=2))


@pytest.mark.parametrize(
    "arguments",
    [
        ["judges", "bench", SMOKE, "--data", "x.jsonl", "--set", "judges=[{kind: brevty}]"],
        ["judges", "score", "similarty", "--data", "x.jsonl"],
        ["judges", "train", "similarty", "--data", "x.jsonl", "--out", "x"],
    ],
    ids=lambda arguments: arguments[1],
)
def test_a_misspelt_judge_is_answered_before_its_data_are_read(arguments: list[str]):
    assert not {"torch", "prefect"} & set(loaded_by(arguments, code=2))


def loaded_by(arguments: list[str], code: int = 0) -> list[str]:
    looked_for = (*HEAVY, "pydantic")
    script = (
        "import atexit, sys\nfrom flows.cli import main\n"
        f"atexit.register(lambda: print(*(m for m in {looked_for} if m in sys.modules)))\n"
        f"sys.argv = ['solon', *{arguments!r}]\nmain.main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == code, ended.stderr
    return ended.stdout.splitlines()[-1].split()


HOSTILE = "[bold]x[/bold] [helpful] [/] :smile: [red"


def test_the_screen_shows_texts_as_they_are(monkeypatch: pytest.MonkeyPatch):
    """In lines, in cells and in the names of columns, which a query can choose."""
    seen = io.StringIO()
    shown = progress.new_console()
    shown.file = seen
    monkeypatch.setattr(screen, "out", shown)
    shown.print(HOSTILE)
    screen.print_table([HOSTILE], [[HOSTILE]])
    assert seen.getvalue().count(HOSTILE) == 3


def test_a_progress_bar_shows_its_label_as_it_is(monkeypatch: pytest.MonkeyPatch):
    seen = io.StringIO()
    terminal = Console(file=seen, force_terminal=True, width=200, markup=False, emoji=False)
    monkeypatch.setattr(progress, "console", terminal)
    with progress.progress(HOSTILE, 1) as advance:
        advance(1, HOSTILE)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.getvalue())
    assert plain.count(HOSTILE) >= 2
