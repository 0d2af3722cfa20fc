"""`solon compare`: the last policy against the answers of a file, stored and decided by nobody."""

import json
from pathlib import Path

import pytest

from flows.cycle.cycle import cycle_of
from rlhf_core.config import Config
from rlhf_core.errors import DataFileError
from rlhf_core.files.answers import read_answers
from rlhf_core.records import Evaluation, EvaluationResult, Promotion, Prompt, Split
from rlhf_core.store import Store
from tests.flows.conftest import SMOKE, places
from tests.flows.test_cli import call
from tests.flows.test_pipeline import copied

__all__ = ["copied"]

pytestmark = pytest.mark.usefixtures("server")


def held_out(config: Config) -> list[Prompt]:
    """The held-out prompts that the cycle evaluated on."""
    rows = Store(config.store).rows(Prompt, "split = ?", [Split.HOLDOUT])
    return [row for row in rows if row.reference_answers]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_reference_answers_beat_a_random_model(
    copied: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """The deciding judge is F1 with the reference, which these answers are."""
    prompts = held_out(copied)
    answered = prompts[:-1]
    rows = [{"q": row.instruction, "output": row.reference_answers[0]} for row in answered]
    path = write(tmp_path / "best.jsonl", [*rows, {"q": "Not held out?", "output": "No."}])
    options = ["--answers", str(path), "--map", "prompt=q", "--map", "answer=output"]
    arguments = ["compare", SMOKE, *places(copied.store.parent), *options]
    assert call(monkeypatch, *arguments, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    (judged,) = found["evaluations"]
    assert (found["prompts"], found["others"]) == (len(answered), 1)
    assert judged["win_rate"] == 0
    assert judged["baseline_score"] == 1
    store = Store(copied.store)
    (stored,) = store.rows(Evaluation, "baseline_id = ?", [found["baseline"]])
    assert stored.role == "reports"
    results = store.rows(EvaluationResult, "evaluation_id = ?", [stored.id])
    assert len(results) == stored.comparisons
    assert all(row.margin is not None and row.margin < 0 for row in results)
    assert store.query("SELECT * FROM check_orphans") == []
    before = store.counts()
    assert call(monkeypatch, *arguments) == 0
    assert "1 of its prompts are not held out" in capsys.readouterr().out
    assert store.counts() == before
    assert len(store.rows(Promotion)) == 1


def test_a_file_that_answers_nothing_held_out_says_which_prompts_are(
    copied: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    path = write(tmp_path / "other.jsonl", [{"prompt": "Else?", "answer": "Yes."}])
    arguments = ["compare", SMOKE, *places(copied.store.parent), "--answers", str(path)]
    assert call(monkeypatch, *arguments) != 0
    assert "answers none of the" in capsys.readouterr().err
    assert cycle_of(copied, 1).line == copied.name


def test_answers_are_read_by_prompt_with_its_context(tmp_path: Path):
    path = write(
        tmp_path / "some.jsonl",
        [
            {"prompt": "Who?", "context": "Ada wrote it.", "answer": " Ada. "},
            {"prompt": "Why?", "answer": "Because."},
            {"prompt": "Why?", "answer": "For fun."},
        ],
    )
    assert read_answers(path, {}) == {
        "Ada wrote it.\n\nWho?": ["Ada."],
        "Why?": ["Because.", "For fun."],
    }


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "Why?", "answer": " "}, "'answer' is empty"),
        ({"prompt": "Why?", "reply": "No."}, "no column"),
        ({"answer": "No."}, "no column"),
    ],
)
def test_a_row_without_prompt_or_answer_is_named(tmp_path: Path, row: dict[str, str], said: str):
    path = write(tmp_path / "wrong.jsonl", [row])
    with pytest.raises(DataFileError, match=rf"wrong\.jsonl.*1.*{said}"):
        read_answers(path, {})
