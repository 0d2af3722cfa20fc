"""A model revises its own answers by a constitution, and the revisions are demonstrations."""

import json
from pathlib import Path

import pytest

from flows.cycle.cycle import Cycle
from flows.stages.ingest import ingest
from flows.stages.revise import revise, revision_calls
from flows.stages.train_sft import train_sft
from judges.language_model.model import LanguageModel
from judges.language_model.question import Question
from rlhf_core.config import Config
from rlhf_core.config.tree import JudgingSettings, RevisionSettings
from rlhf_core.errors import EndpointError
from rlhf_core.records import Failure, ModelInput, Revision
from rlhf_core.store import Store
from tests.flows.conftest import smoke
from tests.flows.test_cli import call

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    settings = RevisionSettings(
        model="tiny-random", rounds=2, max_critique_tokens=6, max_new_tokens=6
    )
    return smoke(tmp_path, "prompts.limit=12").model_copy(update={"revision": settings})


def run(config: Config) -> str:
    cycle = Cycle(config=config, number=1, run_id="test")
    prompts = ingest(cycle)
    return train_sft(cycle, prompts, revise(cycle, prompts))


def test_each_round_revises_its_parent_by_a_principle_and_the_last_is_a_demonstration(
    config: Config,
):
    sft = run(config)
    store = Store(config.store)
    rows = {row.id: row for row in store.rows(Revision)}
    train = store.query("SELECT count(*) AS n FROM prompts WHERE split = 'train'")[0]["n"]
    assert len(rows) == 3 * train
    for row in rows.values():
        if row.round == 0:
            assert (row.parent_id, row.principle, row.critique) == (None, None, None)
            continue
        parent = rows[row.parent_id]
        assert (parent.prompt_id, parent.round) == (row.prompt_id, row.round - 1)
        assert row.principle
        assert row.critique
        assert len(row.response_ids) == 2
    learnt = {row.input_id for row in store.rows(ModelInput) if row.model_id == sft}
    assert {row.id for row in rows.values() if row.round == 2} <= learnt
    assert revision_calls(config) == 5 * train


@pytest.mark.slow
def test_a_rerun_adds_nothing_and_more_rounds_continue_from_the_last(config: Config):
    run(config)
    store = Store(config.store)
    before = store.counts()
    run(config)
    assert store.counts() == before
    more = config.revision.model_copy(update={"rounds": 3})
    run(config.model_copy(update={"revision": more}))
    assert store.counts()["revisions"] == before["revisions"] // 3 * 4


def test_an_answer_that_fails_is_a_row_with_its_reason(
    config: Config, monkeypatch: pytest.MonkeyPatch
):
    """The chain stops at its last good round, and is no demonstration."""
    ask = LanguageModel.query

    def silent(self: LanguageModel, questions: list[Question]):
        heard = ask(self, questions)
        if not questions or "You improve an answer" not in questions[0].text:
            return heard
        empty = heard[0].response.model_copy(update={"text": " ", "finish_reason": "eos"})
        return [type(heard[0])(empty, is_new=True), *heard[1:]]

    monkeypatch.setattr(LanguageModel, "query", silent)
    with pytest.raises(EndpointError, match=r"the reviser has no answer to 2 of .* wrote nothing"):
        run(config)
    run(config.model_copy(update={"judging": JudgingSettings(max_silent_share=1)}))
    store = Store(config.store)
    failures = [row for row in store.rows(Failure) if row.subject_id != config.name]
    assert {(row.stage, row.reason) for row in failures} == {("revise", "the model wrote nothing")}
    assert len(store.rows(Failure)) == len(failures) + 1, (
        "the stage that failed has a row of its own"
    )
    stuck = failures[0].subject_id
    assert max(row.round for row in store.rows(Revision) if row.prompt_id == stuck) == 0


def test_the_command_writes_demonstrations(monkeypatch, capsys, in_root: Path, tmp_path: Path):
    out = tmp_path / "mended.jsonl"
    sets = [f"store={tmp_path / 's.duckdb'}", f"artifacts={tmp_path}", "prompts.limit=12"]
    sets += ["revision.model=tiny-random", "revision.max_new_tokens=6"]
    sets += ["revision.max_critique_tokens=6"]
    flags = [part for change in sets for part in ("--set", change)]
    command = ["constitution", "revise", "deploy/configs/smoke.yaml", "--rounds", "1"]
    assert call(monkeypatch, *command, "--out", str(out), "--json", *flags) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert json.loads(capsys.readouterr().out)["revised"] == len(lines) > 0
    assert set(lines[0]) >= {"prompt", "first_answer", "reference", "principles"}
    assert len(lines[0]["principles"]) == 1
