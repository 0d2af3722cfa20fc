"""`solon forget` as it is typed, and that ingest does not bring back what it deleted."""

import json
from pathlib import Path

import pytest

from flows.run import plan_run
from rlhf_core.records import Prompt
from rlhf_core.store import Store
from tests.flows.test_cli import call
from tests.flows.test_ingest import RULES, config_of, take_in

pytestmark = pytest.mark.usefixtures("server")  # ingest would start one of its own


def forget(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> int:
    places = ("--set", f"store={folder}/solon.duckdb", "--set", f"artifacts={folder}/artifacts")
    return call(monkeypatch, "forget", *places, *options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of three users, and the report of a cycle that shows a prompt of one of them."""
    take_in(config_of(tmp_path, *RULES))
    reports = tmp_path / "artifacts" / "reports" / "line"
    reports.mkdir(parents=True)
    (reports / "a-cycle-1.html").write_text("<b>Please answer [EMAIL] today</b>")
    (reports / "b-cycle-1.html").write_text("<b>Name a river.</b>")
    return tmp_path


def texts(folder: Path) -> set[str]:
    return {prompt.text for prompt in Store(folder / "solon.duckdb").rows(Prompt)}


@pytest.mark.extra("presidio_analyzer")
def test_without_yes_it_only_says_what_it_would_do(monkeypatch, capsys, folder: Path):
    before = texts(folder)
    assert forget(monkeypatch, folder, "u1") == 0
    shown = capsys.readouterr().out
    assert "nothing is deleted yet; add --yes" in shown
    assert "a-cycle-1.html" in shown.replace("\n", "")
    assert "b-cycle-1.html" not in shown
    assert texts(folder) == before


@pytest.mark.extra("presidio_analyzer")
def test_with_yes_the_prompts_are_gone_and_stay_away(monkeypatch, capsys, folder: Path):
    assert forget(monkeypatch, folder, "u1", "--yes", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rows"] == {"privacy_findings": 1, "prompt_users": 2, "prompts": 2}
    assert (said["shared_prompts"], said["prompt_sets"], said["models"]) == (0, 1, [])
    assert [Path(page).name for page in said["reports"]] == ["a-cycle-1.html"]
    assert said["is_deleted"]
    kept = {"Name a river.", "Why is the sky blue in the day ?"}
    assert texts(folder) == kept
    config = config_of(folder, *RULES)
    planned = plan_run(config)
    assert (planned.prompts, planned.left_out) == (2, {"both_splits": 1, "deleted": 2})
    take_in(config)
    assert texts(folder) == kept


@pytest.mark.parametrize(
    ("user", "exists", "code", "message"),
    [
        ("nobody", True, 2, "no prompt of the user 'nobody'"),
        ("u1", False, 1, "no store at"),
    ],
)
@pytest.mark.extra("presidio_analyzer")
def test_what_cannot_be_forgotten_is_one_line(
    monkeypatch, capsys, folder: Path, user: str, exists: bool, code: int, message: str
):
    where = folder if exists else folder / "elsewhere"
    assert forget(monkeypatch, where, user, "--yes") == code
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert message in said.err
    assert not (folder / "elsewhere").exists()
