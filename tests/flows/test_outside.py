"""Baselines from outside the line: the answers of a file, and of a model behind a server."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.cycle.cycle import Cycle
from flows.cycle.outside import check_baseline, outside_answers
from flows.run import plan_run, run_cycles
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError, DataFileError
from rlhf_core.records import Candidate, Evaluation, GuardAlarm, ModelVersion, Promotion, Prompt
from rlhf_core.store import Store
from tests.facts import prompt
from tests.flows.conftest import smoke
from tests.servers import Answer, Server, completion, started

PROMPTS = [prompt("Why is it?"), prompt("Who is it?", context="It is Ann.")]


def write(path: Path, *rows: dict[str, str]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config(tmp_path: Path, baseline: dict[str, object]) -> Config:
    judges = {"judges": [{"kind": "verifier"}], "samples_per_prompt": 3, "baseline": baseline}
    return Config.model_validate(
        {
            "store": tmp_path / "solon.duckdb",
            "prompts": {"path": "p.jsonl"},
            "judges": [{"kind": "similarity"}],
            "evaluation": judges,
        }
    )


def test_answers_of_a_file_are_repeated_as_often_as_the_policy_answers(tmp_path: Path):
    """Two answers to the first prompt and one to the second, of three that are wanted."""
    path = write(
        tmp_path / "old.jsonl",
        {"q": "Why is it?", "output": "So."},
        {"q": "Why is it?", "output": "Because."},
        {"q": "It is Ann.\n\nWho is it?", "output": "Ann."},
        {"q": "Not held out?", "output": "No."},
    )
    columns = {"prompt": "q", "answer": "output"}
    made = config(tmp_path, {"file": str(path), "columns": columns})
    cycle = Cycle(config=made, number=1, run_id="r")
    store = cycle.open_store()
    found = outside_answers(cycle, store, PROMPTS)
    texts = [[answer.text for answer in found[asked.id]] for asked in PROMPTS]
    assert texts == [["So.", "Because.", "So."], ["Ann."] * 3]
    (version,) = store.rows(ModelVersion)
    assert (version.kind, version.base) == ("external", "old.jsonl")
    assert {row.model_id for row in store.rows(Candidate)} == {version.id}
    assert store.counts()["candidates"] == 3


def test_a_file_without_an_answer_to_a_held_out_prompt_is_refused(tmp_path: Path):
    path = write(tmp_path / "old.jsonl", {"prompt": "Why is it?", "answer": "So."})
    made = config(tmp_path, {"file": str(path)})
    check_baseline(made, PROMPTS[:1])
    with pytest.raises(ConfigError, match=r"1 of the 2 held-out prompts.*Who is it\?"):
        check_baseline(made, PROMPTS)
    gone = config(tmp_path, {"file": str(tmp_path / "gone.jsonl")})
    with pytest.raises(DataFileError, match=r"gone\.jsonl"):
        check_baseline(gone, PROMPTS)


@pytest.mark.parametrize("baseline", ["best", {"file": "a", "endpoint": {"model": "m"}}, {}])
def test_other_baselines_are_refused(tmp_path: Path, baseline: Any):
    with pytest.raises(ValueError, match="baseline"):
        config(tmp_path, baseline)


def test_the_plan_refuses_such_a_file(tmp_path: Path):
    path = write(tmp_path / "old.jsonl", {"prompt": "Why is it?", "answer": "So."})
    made = smoke(tmp_path, f"evaluation.baseline={{file: '{path}'}}")
    with pytest.raises(
        ConfigError, match=r"evaluation\.baseline: .* does not answer 9 of the 9 held-out"
    ):
        plan_run(made)


@pytest.fixture
def copied(finished: Config, tmp_path: Path) -> Path:
    """Folder of a copy of the finished cycle, whose models another line finds."""
    return Path(shutil.copytree(Path(finished.store).parent, tmp_path / "copy"))


@pytest.fixture
def server_url() -> Iterator[str]:
    def answer(body: dict[str, Any], number: int) -> Answer:
        return completion("Paris.")

    with started(Server) as start:
        yield start(answer).url


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_a_policy_has_to_beat_the_file(copied: Path, tmp_path: Path):
    """A random policy loses to the references; the guard looks at it beside the SFT model."""
    held_out = Store(copied / "solon.duckdb").rows(Prompt, "split = 'holdout'")
    rows = [{"prompt": each.instruction, "answer": each.reference_answers[0]} for each in held_out]
    path = write(tmp_path / "best.jsonl", *rows)
    made = smoke(copied, "name=outside", f"evaluation.baseline={{file: '{path}'}}")
    run_cycles(made, 1, is_quiet=True)
    assert run_cycles(made, 1, is_quiet=True) == {}
    store = Store(made.store)
    (decision,) = store.rows(Promotion, "line = 'outside'")
    (version,) = store.rows(ModelVersion, "kind = 'external'")
    assert (decision.promoted, decision.baseline_id) == (False, version.id)
    (deciding,) = store.rows(Evaluation, "id = ?", [decision.evaluation_id])
    assert (deciding.role, deciding.baseline_score, deciding.win_rate) == ("decides", 1.0, 0.0)
    roles = {(each.baseline_id.partition("-")[0], each.role) for each in store.rows(Evaluation)}
    assert roles >= {(kind, role) for kind in ("external", "sft") for role in ("decides", "proxy")}
    sft_id = next(e.baseline_id for e in store.rows(Evaluation) if e.baseline_id[:3] == "sft")
    (beside_sft,) = store.rows(Evaluation, "baseline_id = ? AND role = 'decides'", [sft_id])
    gain = (beside_sft.win_rate or 0) - 0.5
    assert {alarm.held_out_gain for alarm in store.rows(GuardAlarm, "step = 0")} <= {gain}
    page = Cycle(config=made, number=1, run_id="").report_path.read_text()
    assert "against\nthe answers of the file best.jsonl" in page
    assert store.query("SELECT * FROM check_orphans") == []


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_a_policy_has_to_beat_the_server(copied: Path, server_url: str):
    endpoint = f"{{model: m, base_url: '{server_url}', max_attempts: 1}}"
    made = smoke(copied, "name=outside", f"evaluation.baseline={{endpoint: {endpoint}}}")
    planned = {(row.stage, row.what): row.count for row in plan_run(made).rows}
    run_cycles(made, 1, is_quiet=True)
    store = Store(made.store)
    (decision,) = store.rows(Promotion, "line = 'outside'")
    (version,) = store.rows(ModelVersion, "id = ?", [decision.baseline_id])
    assert (version.kind, version.base) == ("endpoint", "m")
    answers = store.rows(Candidate, "model_id = ?", [version.id])
    assert {answer.text for answer in answers} == {"Paris."}
    assert planned["evaluate", "answers of the baseline's server"] == len(answers) > 0
    (deciding,) = store.rows(Evaluation, "id = ?", [decision.evaluation_id])
    assert deciding.comparisons == len(answers)
