"""The recorded inputs of a new model, and SFT models that are trained again without some."""

from pathlib import Path

import pytest

from flows.cycle import versions
from flows.cycle.judgements import record_judge_models
from flows.cycle.line import current_sft
from flows.run import run_cycles
from flows.training.lineage import add_model
from judges import load
from rlhf_core.config import Config, JudgeSettings, load_config
from rlhf_core.records import (
    ModelInput,
    ModelKind,
    ModelVersion,
    PromptSet,
    Retraction,
    Revision,
    Split,
)
from rlhf_core.store import Store, line_queries, queries, reading
from rlhf_core.store.audit.checks import Check, Severity, run_checks
from rlhf_core.store.lineage.retracting import retract
from rlhf_core.store.lineage.tree import Subject
from tests.flows.conftest import SMOKE, smoke
from tests.judges.models import tiny_reward_model
from tests.rlhf_core.store.judged import judged


def version(kind: ModelKind, base: str = "tiny") -> ModelVersion:
    return ModelVersion(kind=kind, base=base, recipe="{}", config_hash="hash")


def of_kind(table: type, facts: list) -> list:
    return [fact for fact in facts if isinstance(fact, table)]


def behind(store: Store, model: ModelVersion) -> dict[str, set[str]]:
    rows = store.query(
        "SELECT source_id, relation FROM model_sources WHERE model_id = ?", [model.id]
    )
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["relation"], set()).add(row["source_id"])
    return found


def test_a_model_rests_on_those_that_sampled_judged_and_revised(store: Store):
    """The judge is a reward model, named by a folder with its id; other folders are unknown."""
    facts = judged()
    former, writer = version(ModelKind.REWARD, "former"), version(ModelKind.POLICY, "writer")
    store.append([*facts, former, writer])
    record_judge_models(
        store, {"one-1": (f"runs/artifacts/models/{former.id}", "all-minilm-l6-v2")}
    )
    (ranking,) = (fact for fact in facts if fact.table == "rankings")
    revision = Revision(
        prompt_id=ranking.prompt_id, reviser="r", model=f"/x/{writer.id}", round=1, text="So."
    )
    reward = version(ModelKind.REWARD)
    add_model(store, reward, [ranking, revision])
    assert behind(store, reward) == {
        "sampler": {"sft-test"},
        "judge": {former.id},
        "reviser": {writer.id},
    }


def test_a_policy_rests_on_the_models_that_its_rewards_judges_ask(store: Store):
    former, policy = version(ModelKind.REWARD), version(ModelKind.POLICY)
    store.append([former])
    record_judge_models(store, {"reward_model-1": (former.id,)})
    add_model(store, policy, [], judge_versions=["reward_model-1"])
    assert behind(store, policy) == {"judge": {former.id}}


def test_a_model_that_begins_as_a_policy_of_the_store_rests_on_it(store: Store):
    first = version(ModelKind.POLICY)
    sft = version(ModelKind.SFT, f"runs/artifacts/models/{first.id}")
    store.append([first])
    add_model(store, sft, [])
    assert behind(store, sft) == {"base": {first.id}}


def test_juries_and_judges_around_a_judge_name_the_models_they_ask():
    ours = {"kind": "reward_model", "model": tiny_reward_model()}
    jury = {"kind": "jury", "judges": [ours, {"kind": "brevity"}]}
    around = {"kind": "abstention", "judge": ours}
    found = [load(JudgeSettings.model_validate(each)).models() for each in (ours, jury, around)]
    assert found == [(tiny_reward_model(),)] * 3
    assert load(JudgeSettings(kind="brevity")).models() == ()


def test_an_sft_model_on_retracted_data_is_another_until_that_is_withdrawn(store: Store):
    """The chain of models grows with each retraction of an input."""
    config = load_config(SMOKE, environment={})
    first = versions.sft(config)

    def learnt(by: ModelVersion, *prompts: str) -> list[ModelInput]:
        return [ModelInput(model_id=by.id, input_table="prompts", input_id=p) for p in prompts]

    def decide(prompt: str, number: int = 1, withdrawn: bool = False) -> None:
        store.append(
            [
                Retraction(
                    subject_table="prompts",
                    subject_id=prompt,
                    number=number,
                    withdrawn=withdrawn,
                    reason="wrong",
                    retracted_by="me",
                )
            ]
        )

    store.append([first, *learnt(first, "a", "b")])
    decide("unused")
    assert current_sft(config, store, 1, None, None) == first
    decide("a")
    second = current_sft(config, store, 1, None, None)
    assert second == versions.sft(config, left_out=[("prompts", "a")])
    store.append([second, *learnt(second, "b")])
    assert current_sft(config, store, 1, None, None) == second
    decide("b")
    third = current_sft(config, store, 1, None, None)
    assert third == versions.sft(config, left_out=[("prompts", "a"), ("prompts", "b")])
    decide("b", 2, withdrawn=True)
    assert current_sft(config, store, 1, None, None) == second
    decide("a", 2, withdrawn=True)
    assert current_sft(config, store, 1, None, None) == first


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_the_cycle_after_a_retraction_begins_at_a_new_sft_model(tmp_path: Path):
    """The promoted policy stands on the previous SFT model, so it is not resumed."""
    wins = ["promotion.win_rate_above=0", "promotion.min_eos_rate=0", "promotion.max_kl=1000"]
    config = smoke(tmp_path, "prompts.limit=20", *wins)
    run_cycles(config, 1, is_quiet=True)
    store = Store(config.store)
    (prompt_set,) = store.rows(PromptSet)
    wrong = queries.prompts_of(store, prompt_set.id, Split.TRAIN)[0]
    retract(store, Subject("prompts", wrong.id), "wrong", "me")
    before = {model.id for model in store.rows(ModelVersion)}
    run_cycles(config, 2, is_quiet=True)
    new = {model.kind: model for model in store.rows(ModelVersion) if model.id not in before}
    assert set(new) == {ModelKind.SFT, ModelKind.REWARD, ModelKind.POLICY}
    assert new[ModelKind.POLICY].parent_id == new[ModelKind.SFT].id
    assert wrong.id not in {
        row.input_id for row in line_queries.inputs_of(store, new[ModelKind.SFT].id)
    }
    tainted = {row["model_id"] for row in store.query("SELECT model_id FROM tainted_models")}
    assert tainted == before - {versions.base(config).id}
    assert not any(check.found for check in errors(config) if check.name != "models_on_retracted")


def errors(config: Config) -> list[Check]:
    with reading(config.store) as snapshot:
        return [check for check in run_checks(snapshot) if check.severity is Severity.ERROR]
