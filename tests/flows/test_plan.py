"""A plan lists the work of the run: what is missing, and nothing that exists already."""

import math
from pathlib import Path

import pytest

from flows.cycle.cycle import Cycle, next_cycle
from flows.planning import plan as planning
from flows.planning.plan import Plan
from flows.run import plan_run, print_plan
from flows.stages.ingest import ingest
from flows.stages.judge import judge
from flows.stages.sample import sample
from flows.stages.train_sft import train_sft
from flows.terminal.progress import new_console
from rlhf_core.config import Config
from rlhf_core.store import Store
from tests.flows.conftest import smoke

pytestmark = pytest.mark.usefixtures("server")


def counts(plan: Plan) -> dict[tuple[str, str], int]:
    return {(row.stage, row.what): row.count for row in plan.rows}


def test_the_plan_counts_what_the_run_then_does(finished: Config, tmp_path: Path):
    found = counts(plan_run(smoke(tmp_path)))
    store = Store(finished.store)
    judged = {
        (row["split"], row["judge"]): row["n"]
        for row in store.query(
            "SELECT split, judge, count(*) AS n FROM judgements "
            "JOIN prompts ON prompts.id = prompt_id GROUP BY ALL"
        )
    }
    assert found["judge", "judgements by similarity"] == judged["train", "similarity"]
    assert found["evaluate", "judgements by verifier"] == judged["holdout", "verifier"]
    assert found["train_policy", "rollouts"] == store.counts()["rollouts"]
    candidates = found["sample", "candidates"] + found["evaluate", "answers"]
    assert candidates == store.counts()["candidates"]
    steps = store.query(
        "SELECT count(*) AS n FROM metrics WHERE name = 'loss' GROUP BY model_id ORDER BY n"
    )
    assert found["train_sft", "optimizer steps"] in {row["n"] for row in steps}


def test_the_plan_shows_what_dynamic_sampling_may_add(tmp_path: Path):
    """Two steps of four prompts and two answers are 16, and two further rounds twice as many."""
    reward = "{judges: [{kind: verifier, name: right, metric: contains}]}"
    keys = "steps: 2, prompts_per_step: 4, samples_per_prompt: 2"
    config = smoke(
        tmp_path,
        f"training={{algorithm: grpo, {keys}, dynamic_sampling: 3, reward: {reward}}}",
    )
    found = counts(plan_run(config))
    assert found["train_policy", "rollouts"] == 16
    assert found["train_policy", "judgements by right"] == 16
    assert found["train_policy", "further rollouts, at most"] == 32
    assert found["train_policy", "further judgements by right, at most"] == 32


def test_a_config_that_ended_costs_nothing_and_takes_no_time(
    finished: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(planning, "measure_sizes", lambda *_: pytest.fail("nothing is to be timed"))
    plan = plan_run(finished)
    assert plan.rows == []
    assert (plan.seconds, plan.time_range, plan.cost_usd) == (0, (0, 0), 0)
    print_plan(plan, new_console())
    assert "nothing is missing: 1 cycle ended; --cycles 2 runs another" in capsys.readouterr().out


def test_another_cycle_trains_no_sft_model_and_ranks_all_that_there_is(finished: Config):
    first = counts(plan_run(smoke(finished.store.parent / "empty")))
    second = counts(plan_run(finished, cycles=2))
    assert not [what for stage, what in second if stage == "train_sft"]
    assert second["sample", "candidates"] == first["sample", "candidates"]
    train = Store(finished.store).query("SELECT count(*) AS n FROM prompts WHERE split = 'train'")
    per_step = finished.reward_model.prompts_per_step
    steps = ("train_reward", "optimizer steps, at most")
    assert first[steps] == math.ceil(train[0]["n"] / per_step) * finished.reward_model.epochs
    assert second[steps] == math.ceil(2 * train[0]["n"] / per_step) * finished.reward_model.epochs


def test_cycles_that_are_all_missing_are_added_up(tmp_path: Path):
    one, three = (counts(plan_run(smoke(tmp_path), cycles=number)) for number in (1, 3))
    assert three["sample", "candidates"] == 3 * one["sample", "candidates"]
    assert three["train_sft", "optimizer steps"] == one["train_sft", "optimizer steps"]


def test_an_interrupted_cycle_is_planned_from_where_it_stands(tmp_path: Path):
    config = smoke(tmp_path)
    whole = counts(plan_run(config))
    cycle: Cycle = next_cycle(config)
    prompts = ingest(cycle)
    sft = train_sft(cycle, prompts)
    batch = sample(cycle, prompts, sft)
    sampled = counts(plan_run(config))
    assert ("sample", "candidates") not in sampled
    assert ("train_sft", "optimizer steps") not in sampled
    of_judging = ("judge", "judgements by similarity")
    assert sampled[of_judging] == whole[of_judging]
    judge(cycle, prompts, batch)
    judged = counts(plan_run(config))
    assert of_judging not in judged
    later = {key for key in whole if key[0] in ("train_reward", "train_policy", "evaluate")}
    assert {key: judged[key] for key in later} == {key: whole[key] for key in later}
