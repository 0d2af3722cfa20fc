"""Stages and groups of stages run alone: they find in the store what they start from."""

import json
import shutil
from pathlib import Path

import pytest

from flows.alone import ALONE, run_alone
from flows.cycle.cycle import Cycle, ended_cycles, next_cycle
from flows.cycle.handover import handed_over
from flows.run import run_cycles
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError, NotReadyError
from rlhf_core.store import Store
from tests.conftest import ROOT
from tests.flows.conftest import smoke
from tests.flows.test_pipeline import ids

GROUPS = ("feedback", "reward-model", "policy", "evaluate", "promote")
STAGES = ("ingest", "train_sft", "sample", "judge", "pair", "train_reward", "train_policy")
PROMPTS = (ROOT / "deploy" / "prompts" / "default.jsonl").read_text().splitlines(keepends=True)

pytestmark = pytest.mark.usefixtures("server")


def alone(config: Config, *names: str) -> None:
    """Each in a run of its own."""
    for name in names:
        run_cycles(config, 1, is_quiet=True, stage=name)


def with_prompts(folder: Path, count: int, *overrides: str) -> Config:
    """The smoke config on the first prompts of a file that may grow."""
    path = folder / "prompts.jsonl"
    path.write_text("".join(PROMPTS[:count]))
    return smoke(folder, f"prompts.path={path}", "prompts.limit=null", *overrides)


def numbers(config: Config, stage: str) -> list[int]:
    rows = Store(config.store).query(
        "SELECT number FROM stage_runs WHERE stage = ? ORDER BY number", [stage]
    )
    return [row["number"] for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [GROUPS, (*STAGES, "evaluate", "promote")], ids=["groups", "stages"]
)
def test_the_parts_of_a_cycle_add_up_to_the_whole(
    names: tuple[str, ...], finished: Config, tmp_path: Path
):
    """And a second run of each adds nothing."""
    config = smoke(tmp_path)
    alone(config, *(each for name in names[:-1] for each in (name, name)), names[-1])
    assert ids(config) == ids(finished)
    assert ended_cycles(config) == 1


def test_a_stage_before_its_turn_says_what_to_run(tmp_path: Path):
    config = smoke(tmp_path)
    cycle = next_cycle(config)
    for name, missing in {
        "sample": "train_sft",
        "reward-model": "pair",
        "policy": "train_reward",
        "evaluate": "train_policy",
        "promote": "evaluate",
    }.items():
        with pytest.raises(NotReadyError, match=f"{missing} has not ended .*--stage {missing}"):
            run_alone(cycle, name)
    with pytest.raises(ConfigError, match="no stage 'train'; there are feedback, ingest"):
        run_alone(cycle, "train")


def test_a_cycle_that_ended_hands_nothing_to_the_next(finished: Config):
    with pytest.raises(NotReadyError, match="cycle 2: train_reward has not ended"):
        run_alone(next_cycle(finished), "policy")


@pytest.mark.slow
def test_feedback_that_grows_is_recorded_and_reaches_the_next_reward_model(tmp_path: Path):
    """The policy is trained on what its reward model was, whatever was ingested since."""
    config = with_prompts(tmp_path, 20)
    alone(config, "feedback", "feedback", "reward-model")
    cycle = next_cycle(config)
    first = handed_over(cycle, "train_reward")
    assert numbers(config, "pair") == [1]
    with_prompts(tmp_path, 30)
    alone(config, "feedback", "policy")
    assert (numbers(config, "ingest"), numbers(config, "pair")) == ([1, 2], [1, 2])
    assert numbers(config, "train_reward") == [1]
    sft_models = Store(config.store).query("SELECT id FROM models WHERE kind = 'sft'")
    assert len(sft_models) == 1
    policy = handed_over(cycle, "train_policy")
    assert policy.prompt_set_id == first.prompt_set_id
    assert policy.reward_id == first.reward_id
    assert handed_over(cycle, "ingest").prompt_set_id != first.prompt_set_id
    alone(config, "evaluate", "promote")
    assert ended_cycles(config) == 1
    alone(config, "feedback", "reward-model")
    counts = rankings_by_cycle(config)
    assert counts[1] > counts[0]
    with_prompts(tmp_path, 20)  # what is taken back counts, too
    alone(config, "ingest")
    assert handed_over(next_cycle(config), "ingest").prompt_set_id == first.prompt_set_id


def rankings_by_cycle(config: Config) -> list[int]:
    """Number of rankings behind the reward model of each cycle."""
    rows = Store(config.store).query(
        "SELECT detail FROM stage_runs WHERE stage = 'train_reward' ORDER BY cycle, number"
    )
    return [json.loads(row["detail"])["rankings"] for row in rows]


@pytest.mark.slow
def test_every_name_runs_on_a_finished_cycle(finished: Config, tmp_path: Path):
    """A rerun of each part of a cycle that has ended finds nothing missing."""
    shutil.copytree(finished.store.parent, tmp_path / "copy")
    config = smoke(tmp_path / "copy")
    before = Store(config.store).counts()
    for name in ALONE:
        if name not in ("revise", "cycle"):
            run_alone(Cycle(config=config, number=1, run_id="again", source=""), name)
    changed = {t for t, n in Store(config.store).counts().items() if n != before[t]}
    assert changed <= {"cycle_runs", "stage_runs"}
