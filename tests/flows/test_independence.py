"""A judge that trains does not evaluate, however either entry spells it."""

from typing import Any

import pytest

from flows.cycle.independence import refuse_judging_trainers
from flows.run import plan_run
from judges.similarity import SimilarityOptions
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError
from rlhf_core.models.bundled import bundled_folder
from rlhf_core.records import ModelVersion
from rlhf_core.store import Store
from tests.flows.conftest import smoke

SIMILARITY = {"kind": "similarity"}
SPELT_OUT = {"kind": "similarity", "model": SimilarityOptions().model, "name": "other"}
BREVITY = {"kind": "brevity"}
F1 = {"kind": "verifier", "metric": "token_f1"}
KNOWLEDGE = {"kind": "verifier", "metric": "contains"}
ASKED = {"kind": "direct", "model": "openai:some", "base_url": "http://127.0.0.1:1/v1"}
FUNCTION = {"kind": "function", "function": "tests.judges.functions:always"}
OTHER_FUNCTION = {"kind": "function", "function": "tests.judges.functions:closeness"}
TINY = {"kind": "pairwise", "model": "tiny-random"}


def jury(*members: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "jury", "judges": list(members)}


def config(trains: list[Any], evaluates: list[Any], **others: Any) -> Config:
    tree = {"judges": trains, "evaluation": {"judges": evaluates}, "prompts": {"path": "p"}}
    return Config.model_validate({**tree, **others})


@pytest.mark.parametrize(
    ("training", "evaluating", "named"),
    [
        (SIMILARITY, SPELT_OUT, "'other' is the same judge as 'similarity' of judges"),
        (SIMILARITY, {**SIMILARITY, "batch_size": 2}, "'similarity' is the same judge as"),
        (ASKED, {**ASKED, "base_url": "http://127.0.0.1:2/v1", "max_attempts": 1}, "'direct' is"),
        (TINY, {**TINY, "model": str(bundled_folder("tiny-random"))}, "'pairwise' is the same"),
        (SIMILARITY, jury(F1, SPELT_OUT), r"'jury: similarity-\w+' is the same judge as 'simil"),
        (jury(F1, SIMILARITY), SPELT_OUT, "'other' is the same judge as 'jury' of judges"),
        (FUNCTION, {**FUNCTION, "arguments": {"score": 0.5}}, "'function' is the same judge as"),
        (FUNCTION, jury(F1, {**FUNCTION, "revision": "2"}), r"'jury: function-\w+' is the same"),
        (jury(F1, BREVITY), jury(KNOWLEDGE, BREVITY), r"'jury: brevity-\w+' is the same"),
    ],
)
def test_one_judge_on_both_sides_is_refused(
    training: dict[str, Any], evaluating: dict[str, Any], named: str
):
    with pytest.raises(ConfigError, match=f"^evaluation.judges: {named}"):
        refuse_judging_trainers(config([training], [evaluating]))
    with pytest.raises(ConfigError, match="took no part in its training"):
        refuse_judging_trainers(config([training], [F1 | {"name": "decides"}, evaluating]))


def test_judges_of_the_reward_and_of_abstentions_train():
    brevity = {"reward": {"judges": [BREVITY]}}
    with pytest.raises(ConfigError, match=r"as .brevity. of training\.reward\.judges"):
        refuse_judging_trainers(
            config([SIMILARITY], [{**BREVITY, "typical_words": 16}], training=brevity)
        )
    with pytest.raises(ConfigError, match=r"as .knowledge. of sft\.abstention\.judge"):
        refuse_judging_trainers(config([SIMILARITY], [KNOWLEDGE], sft={"abstention": {}}))


@pytest.mark.parametrize(
    ("training", "evaluating"),
    [
        ([SIMILARITY, {**BREVITY, "weight": 0}], [{**BREVITY, "typical_words": 16}]),
        ([jury(F1, SIMILARITY, {**BREVITY, "weight": 0})], [BREVITY]),
        ([SIMILARITY], [jury(F1, BREVITY, {**SIMILARITY, "weight": 0})]),
        ([FUNCTION], [OTHER_FUNCTION]),
        ([SIMILARITY], [F1, {**BREVITY, "typical_words": 15}]),
    ],
)
def test_a_judge_without_a_vote_on_one_side_may_be_on_both(training: list[Any], evaluating: Any):
    refuse_judging_trainers(config(training, evaluating))


def test_the_plan_refuses_before_anything_is_spent(tmp_path):
    judges = "evaluation.judges=[{kind: similarity, batch_size: 3}]"
    with pytest.raises(ConfigError, match="'similarity' is the same judge"):
        plan_run(smoke(tmp_path, judges))


def test_a_reward_model_of_the_training_judges_does_not_evaluate(finished: Config):
    """It is refused by its folder and inside a jury, because it learnt from similarity."""
    store = Store(finished.store)
    (reward,) = store.rows(ModelVersion, "kind = 'reward'")
    folder = finished.artifacts / "models" / reward.id
    taught = f"{{kind: reward_model, model: '{folder}'}}"
    for judges in (f"[{taught}]", f"[{{kind: jury, judges: [{taught}, {{kind: brevity}}]}}]"):
        evaluated = smoke(finished.store.parent, f"evaluation.judges={judges}")
        with pytest.raises(ConfigError, match=rf"{reward.id}, which learnt from similarity-\w+"):
            refuse_judging_trainers(evaluated, store)
        others = evaluated.model_copy(update={"judges": smoke(
            finished.store.parent, "judges=[{kind: brevity, typical_words: 3}]"
        ).judges})  # fmt: skip
        refuse_judging_trainers(others, store)
        (policy,) = store.rows(ModelVersion, "kind = 'policy'")
        with pytest.raises(ConfigError, match="which the policy was trained against"):
            refuse_judging_trainers(others, store, [policy.id])


def test_a_judge_behind_the_model_that_training_continues_does_not_evaluate(finished: Config):
    """Between two cycles, an edit swaps the judges of both sides."""
    store = Store(finished.store)
    (policy,) = store.rows(ModelVersion, "kind = 'policy'")
    swapped = smoke(
        finished.store.parent,
        "judges=[{kind: verifier, metric: token_f1}]",
        "evaluation.judges=[{kind: similarity}]",
    )
    refuse_judging_trainers(swapped, store)
    with pytest.raises(
        ConfigError, match="'similarity' is a judge that took part in the training of"
    ):
        refuse_judging_trainers(swapped, store, [policy.id])
