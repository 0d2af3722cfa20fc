"""A cycle whose judges, reward and evaluation are functions beside the config, by config alone."""

from pathlib import Path

import pytest
import yaml

from flows.run import plan_run, run_cycles
from rlhf_core.config import Config, load_config
from rlhf_core.errors import ConfigError
from tests.conftest import ROOT
from tests.facts import query_store

REWARDS = '''
def has_many_letters(answer, references, at_least=1):
    """The share of letters; None for an empty answer."""
    if not answer:
        return None
    if answer.startswith("\\x00"):
        raise ValueError("a NUL")
    return sum(letter.isalpha() for letter in answer) / len(answer)


def length(answer):
    return [min(len(each), 80) / 80 for each in answer]


def longer(first, second):
    return 0.5 if len(first) == len(second) else float(len(first) > len(second))
'''


def config_beside(folder: Path, module: str, **changes: object) -> Config:
    """Return a config whose functions are in a module of its own folder."""
    tree = yaml.safe_load((ROOT / "deploy/configs/smoke.yaml").read_text())
    tree |= {
        "store": str(folder / "solon.duckdb"),
        "artifacts": str(folder / "artifacts"),
        "prompts": {"path": str(ROOT / "deploy/prompts/default.jsonl"), "limit": 16},
        "judges": [{"kind": "function", "function": f"{module}:has_many_letters"}],
        "evaluation": {
            "judges": [{"kind": "pairwise_function", "function": f"{module}:longer"}],
            "samples_per_prompt": 1,
        },
        **changes,
    }
    rewarding = {"kind": "function", "name": "length", "function": f"{module}:length"}
    tree["training"] |= {
        "algorithm": "rloo",
        "steps": 1,
        "minibatches": 1,
        "reward": {"reward_model": 0.5, "judges": [{**rewarding, "batched": True, "weight": 0.5}]},
    }
    path = folder / "functions.yaml"
    path.write_text(yaml.safe_dump(tree))
    return load_config(path, environment={})


@pytest.mark.slow
def test_functions_beside_the_config_judge_reward_and_evaluate(server: str, tmp_path: Path):
    (tmp_path / "cycle_rewards.py").write_text(REWARDS)
    config = config_beside(tmp_path, "cycle_rewards")
    run_cycles(config, 1, is_quiet=True)
    judged = query_store(
        config.store,
        "SELECT judge, outcome, count(*), min(score), max(score) FROM judgements "
        "GROUP BY ALL ORDER BY ALL",
    ).rows
    by_name = {(row[0], row[1]): row[2:] for row in judged}
    count, low, high = by_name["function", "scored"]
    assert count > 16
    assert 0 <= low < high <= 1
    assert any(name == "pairwise_function" for name, _ in by_name)
    rewarded = query_store(
        config.store,
        "SELECT count(*), count(*) FILTER (abs(v.score - least(length(r.text), 80) / 80) > 1e-9) "
        "FROM rollout_verdicts v JOIN rollouts r ON r.id = v.rollout_id WHERE v.judge = 'length'",
    ).rows
    assert rewarded[0][0] > 0
    assert rewarded[0][1] == 0


@pytest.mark.parametrize(
    ("number", "source", "said"),
    [
        (0, None, "no module 'planned_rewards_0' on the import path or in the config's folder"),
        (1, REWARDS.replace("longer", "lengthier"), "planned_rewards_1.py has no 'longer'"),
        (2, REWARDS.replace("/ len(answer)", "* 2"), "which is not from 0 to 1 on an example"),
        (3, REWARDS.replace("references", "reference"), "needs a parameter 'reference'"),
    ],
)
def test_a_wrong_function_ends_the_plan_in_one_line(
    number: int, source: str | None, said: str, tmp_path: Path
):
    module = f"planned_rewards_{number}"
    if source is not None:
        (tmp_path / f"{module}.py").write_text(source)
    with pytest.raises(ConfigError) as refused:
        plan_run(config_beside(tmp_path, module), 1)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
