"""A rollback while a cycle is open: what is sampled, trained and promoted afterwards."""

import json
import shutil
from pathlib import Path

import pytest

from flows.champion.rollback import roll_back
from flows.cycle import failing, versions
from flows.cycle.baseline import check_feedback, check_policy
from flows.cycle.cycle import Cycle
from flows.cycle.line import check_line
from flows.run import run_cycles
from flows.stages.evaluate import evaluate
from flows.stages.ingest import ingest
from flows.stages.judge import judge
from flows.stages.pair import pair
from flows.stages.promote import promote
from flows.stages.sample import sample
from flows.stages.train_policy import train_policy
from flows.stages.train_reward import train_reward
from flows.stages.train_sft import train_sft
from rlhf_core.config import Config
from rlhf_core.errors import ChampionChangedError, ModelNotFoundError
from rlhf_core.records import Candidate, Failure, ModelVersion
from rlhf_core.store import Store
from tests.facts import candidate
from tests.flows import line_facts
from tests.flows.conftest import smoke
from tests.flows.test_cli import call
from tests.flows.test_line import NAME, with_history
from tests.flows.test_pipeline import WINS_ALWAYS


def write_files(config: Config, *models: ModelVersion | str) -> None:
    for model in models:
        folder = config.artifacts / "models" / (model if isinstance(model, str) else model.id)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_text("")


def sampled(config: Config, model_id: str, number: int) -> Candidate:
    batch = Cycle(config=config, number=number, run_id="x").batch(model_id, config.sampling, number)
    return candidate("Answer", 0, **batch.model_dump())


def test_an_open_cycle_continues_from_what_it_was_rolled_back_to(tmp_path: Path):
    """Cycle 2 sampled from the policy of cycle 1, which is then withdrawn."""
    config = smoke(tmp_path, NAME)
    store, policy = with_history(tmp_path, config)
    sft = versions.sft(config)
    cycle = Cycle(config=config, number=2, run_id="x")
    store.append([sampled(config, policy, 2)])
    assert cycle.own_batch(store, sft.id).model_id == policy
    check_feedback(cycle, store, sft.id)
    trained = versions.policy(config, policy, "reward-1", ["p"])
    store.append([trained])
    check_policy(cycle, store, trained.id, sft.id)

    write_files(config, sft)
    roll_back(store, config.artifacts / "models", config.name, None, "ada", "rude")
    assert cycle.champion(store, sft.id) is None
    assert cycle.own_batch(store, sft.id).model_id == sft.id
    assert (
        str(check_line(config)) == f"line line: cycle 2, from {sft.id}, to which it was rolled back"
    )
    with pytest.raises(ChampionChangedError, match=r"by ada \(rude\).*nothing was sampled from"):
        check_feedback(cycle, store, sft.id)
    with pytest.raises(ChampionChangedError, match=f"starts from {policy}, not from {sft.id}"):
        check_policy(cycle, store, trained.id, sft.id)

    store.append([sampled(config, sft.id, 2)])
    check_feedback(cycle, store, sft.id)
    seed = cycle.own_batch(store, sft.id).seed
    # What the withdrawn champion sampled in this cycle is still learnt from.
    assert cycle.sampled_batches(store, sft.id) == {(sft.id, seed), (policy, seed)}


def test_a_policy_that_is_not_decided_about_is_a_failure_that_people_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The champion that its training started from was withdrawn."""
    config = smoke(tmp_path, NAME)
    store, policy = with_history(tmp_path, config)
    sft = versions.sft(config)
    write_files(config, sft)
    trained = versions.policy(config, policy, "reward-1", ["p"])
    evaluation = line_facts.evaluation(trained.id, policy, "decides", "decides-1", "decides")
    store.append([trained, evaluation])
    roll_back(store, config.artifacts / "models", config.name, None, "ada", "rude")
    told: list[tuple[str, Exception]] = []
    monkeypatch.setattr(
        failing, "announce_failure", lambda line, cycle, stage, error: told.append((stage, error))
    )
    with pytest.raises(ChampionChangedError) as refused:
        promote.fn(Cycle(config=config, number=2, run_id="x"), evaluation.id)
    assert told == [("promote", refused.value)]
    assert [each.stage for each in store.rows(Failure)] == ["promote"]


def test_nothing_is_rolled_back_to_files_that_are_gone(tmp_path: Path):
    config = smoke(tmp_path, NAME)
    store, _ = with_history(tmp_path, config)
    with pytest.raises(ModelNotFoundError, match=r"is gone, so it cannot be the champion"):
        roll_back(store, config.artifacts / "models", config.name, None, "ada", "rude")
    assert store.counts()["rollbacks"] == 0


def test_a_line_rolled_back_to_its_sft_model_keeps_it_when_prompts_are_added(tmp_path: Path):
    from flows.cycle.line import current_sft

    config = smoke(tmp_path, NAME)
    store, _ = with_history(tmp_path, config)
    sft = versions.sft(config)
    write_files(config, sft)
    roll_back(store, config.artifacts / "models", config.name, None, "ada", "rude")
    grown = smoke(tmp_path, NAME, "prompts.limit=60")
    assert current_sft(grown, store, 2, None, None).id == sft.id != versions.sft(grown).id


def test_the_commands_show_the_champion_and_return_from_it(tmp_path: Path, monkeypatch, capsys):
    config = smoke(tmp_path, NAME)
    _, policy = with_history(tmp_path, config)
    sft = versions.sft(config)
    write_files(config, sft)
    path = tmp_path / "line.yaml"
    path.write_text(config.model_dump_json(exclude_defaults=True))  # JSON is YAML
    assert call(monkeypatch, "champion", str(path), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["champion"], told["cycle"], told["decided_by"]) == (policy, 1, "solon")
    options = ("--config", str(path), "--by", "ada", "--reason", "answers became rude")
    assert call(monkeypatch, "rollback", *options) == 0
    assert f"{sft.id} is the champion, no longer {policy}" in capsys.readouterr().out
    assert call(monkeypatch, "champion", str(path)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"line line: champion {sft.id} since" in printed
    assert "by ada: answers became rude" in printed
    assert call(monkeypatch, "rollback", *options) == 2
    assert "is the SFT model already" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_feedback_after_a_rollback_samples_from_the_old_champion(finished: Config, tmp_path: Path):
    shutil.copytree(finished.store.parent, tmp_path / "copy")
    config = smoke(tmp_path / "copy", *WINS_ALWAYS)
    run_cycles(config, 1, is_quiet=True)
    store = Store(config.store)
    (first,) = store.query("SELECT policy_id, baseline_id FROM promotions WHERE promoted")
    second = Cycle(config=config, number=2, run_id="second")
    prompts = ingest(second)
    sft = train_sft(second, prompts)
    assert sft == first["baseline_id"]
    batch = sample(second, prompts, sft)
    assert batch.model_id == first["policy_id"]
    judge(second, prompts, batch)
    recipe = pair(second, prompts, batch)
    reward = train_reward(second, prompts, sft, recipe)
    policy = train_policy(second, prompts, sft, reward, recipe)
    evaluation = evaluate(second, prompts, sft, reward, policy)

    roll_back(store, config.artifacts / "models", config.name, None, "ada", "rude")
    with pytest.raises(ChampionChangedError, match="starts from"):
        promote(second, evaluation)
    with pytest.raises(ChampionChangedError, match="nothing was sampled from"):
        train_policy(second, prompts, sft, reward, recipe)
    run_cycles(config, 2, is_quiet=True)  # the same cycle, resumed
    decided = store.query("SELECT * FROM promotions WHERE line = ? ORDER BY cycle", [config.name])
    assert len(decided) == 2
    assert decided[1]["baseline_id"] == sft
    assert decided[1]["policy_id"] != policy
    parents = store.query("SELECT id, parent_id FROM models WHERE kind = 'policy'")
    parent = {row["id"]: row["parent_id"] for row in parents}
    assert parent[decided[1]["policy_id"]] == sft
    learnt = store.query(
        "SELECT DISTINCT rankings.model_id, seed FROM model_inputs "
        "JOIN rankings ON rankings.id = input_id WHERE input_table = 'rankings' "
        "AND model_inputs.model_id = (SELECT judge_version FROM evaluations "
        "WHERE role = 'proxy' AND policy_id = ?)",
        [decided[1]["policy_id"]],
    )
    assert {row["model_id"] for row in learnt} == {sft, first["policy_id"]}
    assert len(learnt) == 3  # cycle 1, cycle 2 before the rollback, and after it
