"""A reward model selects the fine-tuned weights, on prompts that are set aside for it."""

import json
import shutil
from pathlib import Path

import pytest

from flows.cycle import versions
from flows.cycle.cycle import Cycle
from flows.cycle.selection import selecting_judge
from flows.run import plan_run
from flows.stages.ingest import ingest
from flows.stages.train_sft import train_sft
from flows.training.selection import split_for_selection
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError, TrainingError
from rlhf_core.models.artifacts import ADAPTER_CONFIG
from rlhf_core.records import InputRole, ModelKind, ModelVersion, Split
from rlhf_core.store import Store, line_queries
from tests.facts import prompt
from tests.flows.conftest import STARTS_VLLM, smoke
from tests.judges.models import tiny_classifier, tiny_reward_model

pytestmark = pytest.mark.usefixtures("server")


def choosing(folder: Path, name: str, *overrides: str) -> Config:
    selection = f"sft.selection={{reward_model: {name}, prompts: 5}}"
    return smoke(folder, "prompts.limit=20", "sft.epochs=2", selection, *overrides)


def run(config: Config) -> str:
    cycle = Cycle(config=config, number=1, run_id="test")
    return train_sft(cycle, ingest(cycle))


def test_a_reward_model_of_a_former_cycle_chooses_by_its_id(tmp_path: Path):
    former = ModelVersion(kind=ModelKind.REWARD, base="tiny", recipe="{}", config_hash="before")
    config = choosing(tmp_path, former.id)
    shutil.copytree(tiny_reward_model(), config.artifacts / "models" / former.id)
    store = Store(config.store)
    store.append([former])
    plan = plan_run(config)
    sft = run(config)

    scores = line_queries.metrics_of(store, sft)["selection_score"]
    last = 2 * -(-(plan.train - 5) // config.sft.prompts_per_step)
    assert [step for step, _ in scores] == [last // 2, last]
    inputs = line_queries.inputs_of(store, sft)
    assert former.id in {row.input_id for row in inputs if row.input_table == "models"}
    train = {row.id for row in store.rows(type(prompt()), "split = ?", [Split.TRAIN.value])}
    learnt, aside = (
        {row.input_id for row in inputs if row.input_table == "prompts" and row.role is role}
        for role in (InputRole.LEARNT, InputRole.CHOSEN_ON)
    )
    assert learnt | aside == train
    assert not learnt & aside
    assert len(aside) == 5

    (detail,) = store.query("SELECT detail FROM stage_runs WHERE stage = 'train_sft'")
    step, score = max(scores, key=lambda point: point[1])
    assert json.loads(detail["detail"])["kept"] == f"step {step} of {last} (reward {score:+.2f})"
    counts = {row.what: row.count for row in plan.rows if row.stage == "train_sft"}
    assert counts == {"optimizer steps": last, "answers to choose by": 10}

    before = store.counts()
    assert run(config) == sft
    assert store.counts() == before
    last_kept = config.sft.model_copy(update={"selection": None})
    assert versions.sft(config.model_copy(update={"sft": last_kept})).id != sft
    longer = config.sampling.model_copy(update={"max_new_tokens": 9})
    assert versions.sft(config.model_copy(update={"sampling": longer})).id != sft


@pytest.mark.slow
@pytest.mark.usefixtures("vllm_here")
def test_an_engine_that_samples_alike_chooses_the_same_weights_to_the_last_bit(tmp_path: Path):
    shared = ("name=one", "compute.precision=fp32", "sampling.max_new_tokens=4")
    found = []
    for folder, engine in (("local", ()), ("remote", (STARTS_VLLM,))):
        config = choosing(tmp_path / folder, tiny_classifier(), *shared, *engine)
        sft = run(config)
        recipe = json.loads(line_queries.model(Store(config.store), sft).recipe)
        assert recipe["sampling"].get("engine") == ("vllm" if engine else None)
        weights = (config.artifacts / "models" / sft / "model.safetensors").read_bytes()
        found.append((weights, line_queries.metrics_of(Store(config.store), sft)))
        assert not (config.artifacts / "engine").exists() or not any(
            (config.artifacts / "engine").iterdir()
        )
    assert found[0] == found[1]


def test_the_prompts_set_aside_are_drawn_by_hash(tmp_path: Path):
    """Their order does not matter, and one more prompt replaces at most one of them."""
    config = choosing(tmp_path, tiny_classifier())
    asked = [prompt(f"{n}?", reference_answers=("yes",)) for n in range(30)]
    learnt, aside = split_for_selection(config, asked)
    assert len(aside) == 5
    assert [p for p in asked if p in aside] == aside
    assert [p for p in asked if p not in aside] == learnt
    assert set(split_for_selection(config, asked[::-1])[1]) == set(aside)
    _, more = split_for_selection(config, [*asked, prompt("new?")])
    assert len(set(more) & set(aside)) >= 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("reward-0123", r"no reward model 'reward-0123' in .*models .*; name the id of one there"),
        ("./nowhere", r"no model '\./nowhere': name a folder"),
        (tiny_classifier(3), "has 3 outputs; a reward model has one"),
    ],
    ids=["no id of ours", "no folder", "three outputs"],
)
def test_a_reward_model_that_cannot_choose_is_refused_by_the_plan(
    tmp_path: Path, name: str, message: str
):
    with pytest.raises(ConfigError, match=rf"^sft\.selection\.reward_model: .*{message}") as caught:
        plan_run(choosing(tmp_path, name))
    assert "\n" not in str(caught.value)


def test_a_reward_model_whose_trunk_is_gone_is_refused_by_the_plan(tmp_path: Path):
    folder = tmp_path / "reward"
    shutil.copytree(tiny_reward_model(), folder)
    adapter = json.loads((folder / ADAPTER_CONFIG).read_text())
    adapter["base_model_name_or_path"] = "/gone/sft-0123"
    (folder / ADAPTER_CONFIG).write_text(json.dumps(adapter))
    with pytest.raises(ConfigError, match=r"reward_model: no model '/gone/sft-0123'"):
        plan_run(choosing(tmp_path, str(folder)))


def test_setting_all_prompts_aside_is_refused_by_the_plan(tmp_path: Path):
    with pytest.raises(
        ConfigError, match=r"sft\.selection\.prompts = 500: of \d+ training prompts"
    ):
        plan_run(choosing(tmp_path, tiny_classifier(), "sft.selection.prompts=500"))


def test_any_classifier_with_one_output_chooses(tmp_path: Path):
    config = choosing(tmp_path, tiny_classifier())
    judge = selecting_judge(config)
    assert judge is not None
    sft = run(config)
    assert len(line_queries.metrics_of(Store(config.store), sft)["selection_score"]) == 2


def test_a_reward_model_that_can_read_no_answer_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("judges.reward_model.RewardModelJudge._context", 3)
    with pytest.raises(TrainingError, match="each of 5 prompts is too long for the reward model"):
        run(choosing(tmp_path, tiny_classifier()))
