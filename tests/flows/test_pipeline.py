"""The whole loop on a tiny model, stage by stage, with a real server and a real store."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from flows.cycle.cycle import Cycle, ended_cycles
from flows.cycle.identity import config_hash
from flows.pipeline import pipeline
from flows.run import plan_run, run_cycles
from flows.stages.ingest import ingest
from flows.stages.revise import revise
from flows.stages.sample import sample
from flows.stages.train_sft import train_sft
from judges import kinds
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError, DataFileError, EndpointError
from rlhf_core.preferences.spot_checks import choose
from rlhf_core.records import (
    HumanVerdict,
    ModelKind,
    Pair,
    RolloutVerdict,
    SpotCheck,
    StageRun,
)
from rlhf_core.store import Store, reading
from rlhf_core.store.audit.checks import Severity, run_checks
from rlhf_core.store.audit.spot_checks import checkable, record
from rlhf_core.store.lineage.retracting import retract
from rlhf_core.store.lineage.tree import Subject
from tests.conftest import ROOT
from tests.flows.conftest import smoke
from tests.servers import Answer, Server, completion, started

STAGES = [
    "ingest",
    "train_sft",
    "sample",
    "judge",
    "pair",
    "train_reward",
    "train_policy",
    "evaluate",
    "promote",
    "report",
]
WINS_ALWAYS = ["promotion.win_rate_above=0", "promotion.min_eos_rate=0", "promotion.max_kl=1000"]

pytestmark = pytest.mark.usefixtures("server")


def slow(*values: str) -> object:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture
def copied(finished: Config, tmp_path: Path) -> Config:
    """The finished cycle, copied to a folder of its own so that a test can continue it."""
    shutil.copytree(finished.store.parent, tmp_path / "copy")
    return smoke(tmp_path / "copy")


def ids(config: Config) -> dict[str, list[str]]:
    """Count the rows of a store by table, without cycle_runs, which has a row for every attempt."""
    store = Store(config.store)
    return {
        table: sorted(row["id"] for row in store.query(f"SELECT id FROM {table}"))
        for table in store.counts()
        if table != "cycle_runs"
    }


def test_every_stage_signs_off_once_in_order(finished: Config):
    rows = Store(finished.store).query("SELECT stage FROM stage_runs ORDER BY created_at")
    assert [row["stage"] for row in rows] == STAGES
    assert ended_cycles(finished) == 1


def test_what_is_stored_fits_together(finished: Config):
    store = Store(finished.store)
    with reading(finished.store) as snapshot:
        checks = run_checks(snapshot)
    assert [c for c in checks if c.found and c.severity is Severity.ERROR] == []
    counts = store.counts()
    assert counts["failures"] == 0
    train = store.query("SELECT count(*) AS n FROM prompts WHERE split = 'train'")[0]["n"]
    sampled = store.query(
        "SELECT count(*) AS n FROM candidates JOIN models ON models.id = model_id "
        "JOIN prompts ON prompts.id = prompt_id WHERE split = 'train'"
    )
    assert sampled[0]["n"] == train * finished.sampling.candidates
    assert counts["pairs"] == counts["rankings"] * 3  # of three candidates


def test_held_out_prompts_are_never_learnt_from(finished: Config):
    rows = Store(finished.store).query(
        "SELECT * FROM model_prompts JOIN prompts ON prompts.id = prompt_id WHERE split = 'holdout'"
    )
    assert rows == []


def test_every_model_knows_its_parent_data_and_code(finished: Config):
    models = {row["kind"]: row for row in Store(finished.store).query("SELECT * FROM models")}
    assert set(models) == {ModelKind.BASE, ModelKind.SFT, ModelKind.REWARD, ModelKind.POLICY}
    assert models["sft"]["parent_id"] == models["base"]["id"]
    assert models["policy"]["parent_id"] == models["sft"]["id"]
    assert models["policy"]["data_hash"]
    assert all(re.fullmatch(r"\d.*\+[0-9a-f]{8}", row["code_version"]) for row in models.values())
    learnt = Store(finished.store).query("SELECT DISTINCT model_id FROM model_inputs")
    assert {row["model_id"] for row in learnt} == {
        models[kind]["id"] for kind in ("sft", "reward", "policy")
    }


def test_running_again_adds_nothing_whatever_people_say_of_pairs(copied: Config):
    """People who contradict every label change no ranking, no pair and no model's inputs."""
    store, before = Store(copied.store), ids(copied)
    assert run_cycles(copied, 1, is_quiet=True) == {}
    pairs = store.rows(Pair)
    checks = choose(checkable(store, "ada"), 1000, "mixed", seed=1)
    for check in checks[:20]:
        record(store, check, "ada", HumanVerdict.LEFT, 1.0)
    pipeline(Cycle(config=copied, number=1, run_id="again"))
    after = {**ids(copied), "spot_checks": []}
    new = set(after.pop("stage_runs")) - set(before.pop("stage_runs"))
    assert after == before
    # The store was copied, so the page lies elsewhere, which is another result of its stage.
    assert {run.stage for run in store.rows(StageRun) if run.id in new} <= {"report"}
    assert store.rows(Pair) == pairs
    assert len(store.rows(SpotCheck)) == min(20, len(checks)) > 0


@pytest.mark.slow
def test_two_runs_from_one_seed_are_equal(finished: Config, tmp_path: Path):
    again = smoke(tmp_path)
    run_cycles(again, 1, is_quiet=True)
    assert ids(again) == ids(finished)
    sql = "SELECT id, {} FROM {} ORDER BY id"
    for what, table in (("text", "candidates"), ("value", "metrics"), ("utilities", "rankings")):
        rows = [Store(c.store).query(sql.format(what, table)) for c in (finished, again)]
        assert rows[0] == rows[1]


@pytest.mark.slow
def test_another_seed_makes_other_facts(finished: Config, tmp_path: Path):
    other = smoke(tmp_path, "seed=2")
    cycle = Cycle(config=other, number=1, run_id="other")
    prompts = ingest(cycle)
    sample(cycle, prompts, train_sft(cycle, prompts, revise(cycle, prompts)))
    assert not set(ids(other)["candidates"]) & set(ids(finished)["candidates"])
    assert ids(other)["prompts"] == ids(finished)["prompts"]


def test_the_next_cycle_starts_from_the_promoted_policy(copied: Config):
    config = smoke(copied.store.parent, *WINS_ALWAYS)
    run_cycles(config, 2, is_quiet=True)
    store = Store(config.store)
    first, second = store.query(
        "SELECT * FROM promotions WHERE line = ? ORDER BY cycle", [config.name]
    )
    assert first["promoted"]
    assert second["baseline_id"] == first["policy_id"]
    parents = dict(store.query("SELECT list(id) AS ids, list(parent_id) AS parents FROM models")[0])
    parent = dict(zip(parents["ids"], parents["parents"], strict=True))
    assert parent[second["policy_id"]] == first["policy_id"]
    sampled = store.query(
        "SELECT DISTINCT model_id FROM candidates JOIN prompts ON prompts.id = prompt_id "
        "WHERE split = 'train'"
    )
    assert first["policy_id"] in {row["model_id"] for row in sampled}
    rankings = store.query("SELECT count(*) AS n FROM rankings")[0]["n"]
    learnt = store.query(
        "SELECT count(*) AS n FROM model_inputs JOIN models ON models.id = model_id "
        "WHERE kind = 'reward' AND role = 'learnt' GROUP BY model_id ORDER BY n"
    )
    assert learnt[-1]["n"] == rankings


@pytest.mark.slow
def test_a_cycle_on_full_weights(tmp_path: Path):
    """Two cycles, so that a promoted policy is resumed, sampled from and beaten."""
    config = smoke(
        tmp_path, *WINS_ALWAYS, "policy={model: tiny-random, weights: full}",
        "prompts.limit=20", "promotion.min_prompts=1",
    )  # fmt: skip
    run_cycles(config, 2, is_quiet=True)
    store = Store(config.store)
    assert store.query("SELECT * FROM check_orphans") == []
    first, second = store.query("SELECT * FROM promotions ORDER BY cycle")
    assert second["baseline_id"] == first["policy_id"]
    folders = {path.name: path for path in (config.artifacts / "models").iterdir()}
    kinds_ = [name.split("-")[0] for name in sorted(folders)]
    assert kinds_ == ["policy", "policy", "reward", "reward", "sft"]
    weights = {name: load_file(path / "model.safetensors") for name, path in folders.items()}
    (sft,) = (name for name in folders if name.startswith("sft"))
    for name, found in weights.items():
        assert {weight.dtype for weight in found.values()} == {torch.float32}
        moved = [not torch.equal(found[key], weights[sft][key]) for key in found]
        assert all(moved) == (name != sft)
        assert (folders[name] / "head.safetensors").exists() == name.startswith("reward")
    recipes = [json.loads(row["recipe"]) for row in store.query("SELECT recipe FROM models")]
    assert sum(recipe.get("weights") == "full" for recipe in recipes) == 4  # rewards and policies


@pytest.mark.parametrize(
    ("training", "metric"),
    [
        ("{algorithm: dpo, epochs: 2}", "margin"),
        slow("{algorithm: rloo, steps: 2, prompts_per_step: 4, samples_per_prompt: 2}", "score"),
        slow("{algorithm: grpo, steps: 2, prompts_per_step: 4, dynamic_sampling: 2}", "score"),
        slow("{algorithm: best_of_n, n: 2, missing_eos_score: null}", "best_score"),
        slow("{steps: 1, prompts_per_step: 4, kl: {target: 1.0}, ptx: {examples: 2}}", "ptx_loss"),
    ],
)
def test_the_algorithm_is_one_key_of_the_config(copied: Config, training: str, metric: str):
    """Everything before the policy, including the reward model, is reused."""
    config = smoke(copied.store.parent, f"training={training}")
    before = ids(config)
    added = run_cycles(config, 1, is_quiet=True)
    assert added["models"] == 1
    assert ids(config)["candidates"] != before["candidates"]  # the new policy's, in evaluation
    (row,) = Store(config.store).query(
        "SELECT count(*) AS n FROM metrics JOIN models ON models.id = model_id "
        f"WHERE kind = 'policy' AND name = '{metric}' AND config_hash = ?",
        [config_hash(config)],
    )
    assert row["n"] > 0
    learnt = Store(config.store).query(
        "SELECT DISTINCT input_table FROM model_inputs JOIN models ON models.id = model_id "
        "WHERE kind = 'policy' AND role = 'learnt' AND config_hash = ?",
        [config_hash(config)],
    )
    from_what = {"rankings"} if "dpo" in training else {"prompts", "models"}
    assert {row["input_table"] for row in learnt} == from_what
    assert not list((config.artifacts / "models").glob(".*.training"))


@pytest.mark.slow
def test_the_reward_is_the_sum_of_reward_model_and_judges(copied: Config):
    """Each part is stored with the answer, and the score is their weighted sum."""
    reward = "{reward_model: 0.5, judges: [{kind: brevity, weight: 2, modes: [text_grounded]}]}"
    training = f"{{steps: 1, prompts_per_step: 8, missing_eos_score: null, reward: {reward}}}"
    config = smoke(copied.store.parent, f"training={training}")
    run_cycles(config, 1, is_quiet=True)
    store = Store(config.store)
    rows = store.query(
        "SELECT rollouts.id, score, parts, mode "
        "FROM rollouts JOIN prompts ON prompts.id = prompt_id "
        "JOIN models ON models.id = model_id WHERE config_hash = ?",
        [config_hash(config)],
    )
    assert {"brevity" in json.loads(str(row["parts"])) for row in rows} == {True, False}
    for row in rows:
        parts = json.loads(str(row["parts"]))
        assert ("brevity" in parts) == (row["mode"] == "text_grounded")
        expected = 0.5 * parts["proxy"] + 2 * parts.get("brevity", 0.0)
        assert row["score"] == pytest.approx(expected, abs=1e-5)
    (silent,) = store.query("SELECT value FROM metrics WHERE name = 'unscored_brevity'")
    assert silent["value"] == 0.0  # it is not asked about prompts of other modes
    said = {verdict.rollout_id: verdict for verdict in store.rows(RolloutVerdict)}
    parts = {str(row["id"]): json.loads(str(row["parts"])) for row in rows}
    assert set(said) == {id for id, part in parts.items() if "brevity" in part}
    for rollout_id, verdict in said.items():
        assert verdict.score == pytest.approx(parts[rollout_id]["brevity"], abs=1e-6)
        assert verdict.judge_version.startswith("brevity-")
    retract(store, Subject("judge_versions", verdict.judge_version), "too short", "me")
    with pytest.raises(ConfigError, match=r"retracted: brevity-\w+ \(too short\)"):
        run_cycles(config, 2, is_quiet=True)


def test_a_judge_that_compares_cannot_reward(tmp_path: Path):
    reward = "training.reward.judges=[{kind: pairwise, model: tiny-random}]"
    with pytest.raises(ConfigError, match="'pairwise' compares two answers"):
        plan_run(smoke(tmp_path, reward))


def test_texts_of_ptx_that_are_not_there_are_refused_before_anything_runs(tmp_path: Path):
    with pytest.raises(DataFileError, match=r"texts .*nowhere.txt: no such file"):
        plan_run(smoke(tmp_path, "training={ptx: {path: nowhere.txt}}"))


@pytest.mark.slow
def test_a_refused_policy_is_not_what_the_next_cycle_starts_from(copied: Config):
    run_cycles(copied, 2, is_quiet=True)
    first, second = Store(copied.store).query("SELECT * FROM promotions ORDER BY cycle")
    assert not first["promoted"]
    (row,) = Store(copied.store).query(
        "SELECT parent_id FROM models WHERE id = ?", [second["policy_id"]]
    )
    assert row["parent_id"].startswith("sft-")


@pytest.mark.slow
def test_the_judge_is_swapped_in_the_config_alone(copied: Config):
    """Similarity out, pairwise in, and nothing else."""
    config = smoke(
        copied.store.parent, "judges.0={kind: pairwise, model: tiny-random, min_label_mass: 0}"
    )
    run_cycles(config, 1, is_quiet=True)
    rows = Store(config.store).query(
        "SELECT presented, count(*) AS n FROM judgements JOIN prompts ON prompts.id = prompt_id "
        "WHERE judge = 'pairwise' AND split = 'train' GROUP BY presented ORDER BY presented"
    )
    assert [row["presented"] for row in rows] == ["forward", "reversed"]
    assert rows[0]["n"] == rows[1]["n"]


def test_judges_that_abstain_everywhere_end_the_run_with_the_reason(tmp_path: Path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(f'{{"prompt": "Question {n}?"}}' for n in range(20)))
    config = smoke(tmp_path, f"prompts.path={path}")
    with pytest.raises(Exception, match="no prompt of the training split has a reference answer"):
        run_cycles(config, 1, is_quiet=True)
    assert Store(config.store).counts()["promotions"] == 0


def test_an_endpoint_that_is_down_ends_the_run_before_it_begins(copied: Config):
    endpoint = "{model: x, base_url: 'http://127.0.0.1:9/v1', max_attempts: 1}"
    config = smoke(copied.store.parent, f"sampling.endpoint={endpoint}")
    before = Store(config.store).counts()
    with pytest.raises(
        EndpointError, match=r"sampling.endpoint: .*APIConnectionError.*is the serv"
    ):
        run_cycles(config, 1, is_quiet=True)
    assert Store(config.store).counts() == before


def test_an_endpoint_that_goes_down_leaves_rows_with_the_reason_and_a_rerun_asks_again(
    copied: Config,
):
    def answer(body: dict[str, Any], number: int) -> Answer:
        is_preflight = "one word: yes" in body["messages"][-1]["content"]
        return completion() if is_preflight else (400, {}, '{"error": {"message": "gone"}}')

    with started(Server) as start:
        _goes_down(copied, start(answer).url)


def _goes_down(copied: Config, url: str) -> None:
    endpoint = f"{{model: x, base_url: '{url}', max_attempts: 1}}"
    config = smoke(copied.store.parent, f"sampling.endpoint={endpoint}")
    before = Store(config.store).counts()["candidates"]
    counts = []
    for _ in range(2):
        with pytest.raises(EndpointError, match=r"no answer of .* succeeded"):
            run_cycles(config, 1, is_quiet=True)
        rows = Store(config.store).query("SELECT stage, reason FROM failures")
        assert {row["stage"] for row in rows} == {"sample"}
        assert all("gone" in row["reason"] or "in a row" in row["reason"] for row in rows)
        counts.append(len(rows))
    assert counts[1] == 2 * counts[0] > 0
    assert Store(config.store).counts()["candidates"] == before


def test_every_metric_is_defined_once(finished: Config):
    page = (ROOT / "deploy/docs/metrics.md").read_text()
    defined = [
        name
        for line in page.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    rows = Store(finished.store).query("SELECT DISTINCT name FROM metrics")
    stored = {row["name"] for row in rows}
    assert stored - set(defined) == set()
    training = page[: page.index("## Evaluations")]
    assert [n for n in stored if f"`{n}`" not in training] == []


def test_every_judge_is_in_the_published_schema():
    schema = (ROOT / "deploy/config.schema.json").read_text()
    assert all(f'"judge_{kind}"' in schema for kind in kinds())
