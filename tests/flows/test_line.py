"""A policy line is one history under one name, across edits of its config."""

import json
import re
import shutil
from pathlib import Path

import pytest

from flows.cycle import versions
from flows.cycle.cycle import Cycle, ended_cycles, next_cycle
from flows.cycle.identity import config_hash, deciding_part
from flows.cycle.line import check_line, current_sft
from flows.reports.cycle_page import write_report
from flows.reports.summary import summary
from flows.run import run_cycles
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError
from rlhf_core.records import (
    ConfigVersion,
    CycleRun,
    ModelInput,
    Promotion,
    Retraction,
    StageRun,
)
from rlhf_core.store import Store
from tests.flows.conftest import smoke

NAME = "name=line"
TO_CHAMPION = ["promotion.win_rate_above=0", "promotion.min_eos_rate=0", "promotion.max_kl=1000"]


def with_history(folder: Path, config: Config, source: str = "") -> tuple[Store, str]:
    """Make a store in which the first cycle promoted a policy; return both store and policy id."""
    told = config_hash(config)
    sft = versions.sft(config)
    policy = versions.policy(config, sft.id, "reward-1", ["p"])
    ids = {"policy_id": policy.id, "baseline_id": sft.id, "evaluation_id": "e"}
    decided = Promotion(
        line=config.name, config_hash=told, cycle=1, promoted=True, reasons=(), **ids
    )
    ended = StageRun(
        line=config.name, config_hash=told, cycle=1, stage="report", seconds=1, detail="{}"
    )
    begun = CycleRun(line=config.name, cycle=1, config_hash=told, source=source, attempt="first")
    kept = ConfigVersion(
        config_hash=told,
        config=config.model_dump_json(),
        deciding=json.dumps(deciding_part(config)),
    )
    learnt = ModelInput(model_id=sft.id, input_table="prompts", input_id="p")
    store = Store(config.store, "first")
    store.append([kept, begun, versions.base(config), sft, learnt, policy, decided, ended])
    return store, policy.id


@pytest.mark.parametrize(
    "edit",
    [
        "training.steps=9",
        "training={algorithm: dpo}",
        "reward_model.heads=3",
        "seed=7",
        "prompts.limit=50",
        "prompts.path=elsewhere.jsonl",
        "policy.max_prompt_tokens=99",
        "sampling.temperature=0.5",
        "judges.1.weight=1",
        "evaluation.samples_per_prompt=4",
        "promotion.confidence=0.9",
    ],
)
def test_an_edit_continues_the_line_from_its_champion(tmp_path: Path, edit: str):
    config = smoke(tmp_path, NAME)
    store, champion = with_history(tmp_path, config)
    edited = smoke(tmp_path, NAME, edit)
    state = check_line(edited)
    assert (state.cycle, state.is_restarted) == (2, False)
    assert state.champion is not None
    assert state.champion.id == champion
    assert str(state) == f"line line: cycle 2, from {champion}, promoted in cycle 1"
    sft = current_sft(edited, store, 2, None, None)
    assert sft == versions.sft(config)
    assert Cycle(config=edited, number=2, run_id="x").champion(store, sft.id) == champion


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        ("sft.epochs=3", "sft.epochs 1 → 3"),
        ("policy.lora_rank=4", "policy.lora_rank 2 → 4"),
        ("policy.system_prompt=Be kind.", 'policy.system_prompt "Answer briefly." → "Be kind."'),
        ("policy.model=smollm2-135m-instruct", 'policy.model "tiny-random" → "smollm2-135m-'),
        ("sft.selection={reward_model: reward-1}", "sft.selection null → {"),
    ],
)
def test_an_edit_that_makes_another_sft_model_wants_a_choice(tmp_path: Path, edit: str, told: str):
    """The line never restarts silently: undo the edit, name a new line, or give up the champion."""
    store, champion = with_history(tmp_path, smoke(tmp_path, NAME))
    edited = smoke(tmp_path, NAME, edit)
    with pytest.raises(ConfigError) as refused:
        check_line(edited)
    for words in (champion, told, "set `name`", f"abandoned_champion: {champion}"):
        assert words in str(refused.value)
    with pytest.raises(ConfigError, match="cannot be continued"):
        current_sft(edited, store, 2, None, None)
    with pytest.raises(ConfigError, match="cannot be continued"):
        check_line(smoke(tmp_path, NAME, edit, "abandoned_champion=policy-0000"))

    given_up = smoke(tmp_path, NAME, edit, f"abandoned_champion={champion[:14]}")
    state = check_line(given_up)
    assert (state.cycle, state.is_restarted) == (2, True)
    assert str(state) == f"line line: cycle 2, from a new SFT model; gives up {champion}"
    sft = current_sft(given_up, store, 2, None, None)
    assert sft == versions.sft(given_up) != versions.sft(smoke(tmp_path, NAME))
    assert Cycle(config=given_up, number=2, run_id="x").champion(store, sft.id) is None

    other = check_line(smoke(tmp_path, "name=other", edit))
    assert (other.cycle, other.champion) == (1, None)
    assert "new in this store, which also holds line" in str(other)


def test_an_sft_model_on_something_retracted_is_made_again_without_asking(tmp_path: Path):
    config = smoke(tmp_path, NAME)
    store, _ = with_history(tmp_path, config)
    wrong = Retraction(
        subject_table="prompts", subject_id="p", number=1, reason="wrong", retracted_by="me"
    )
    store.append([wrong])
    without = versions.sft(config, left_out=[("prompts", "p")])
    assert current_sft(config, store, 2, None, None) == without
    edited = smoke(tmp_path, NAME, "prompts.limit=50")
    assert not check_line(edited).is_restarted
    assert current_sft(edited, store, 2, None, None) == versions.sft(edited)
    store.append([without])
    # From then on it is the line's, whatever prompts the config names.
    assert current_sft(edited, store, 3, None, None) == without


def test_one_name_in_two_files_of_one_store_is_refused(tmp_path: Path):
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text("name: line")
    other.write_text("name: line")
    config = smoke(tmp_path, NAME)
    with_history(tmp_path, config, str(one.resolve()))
    assert check_line(config, one).cycle == 2
    with pytest.raises(ConfigError, match=r"'line' is also that of .*one.yaml.* a `name` of its"):
        check_line(config, other)
    # Its file was renamed, or has another name now: the line goes on from the new one.
    one.write_text("name: renamed")
    assert check_line(config, other).cycle == 2
    one.unlink()
    assert check_line(config, other).cycle == 2
    elsewhere = smoke(tmp_path / "elsewhere", NAME)
    one.write_text("name: line")
    assert check_line(elsewhere, other).cycle == 1


def test_a_cycle_that_another_config_decided_on_has_ended(tmp_path: Path):
    """The run was killed before its page was written; a later edit does not undo the decision."""
    config = smoke(tmp_path, NAME)
    store, champion = with_history(tmp_path, config)
    decided = Promotion(
        line="line",
        config_hash=config_hash(config),
        cycle=2,
        policy_id=champion,
        baseline_id="b",
        evaluation_id="e",
        promoted=False,
        reasons=(),
    )
    store.append([decided])
    assert ended_cycles(config) == 1
    assert ended_cycles(smoke(tmp_path, NAME, "budget.max_usd=5")) == 1
    assert ended_cycles(smoke(tmp_path, NAME, "training.steps=9")) == 2


def timeless(page: str) -> str:
    """Return a page without the times of the stages, which change when it is written again."""
    return re.sub(r"<b>\d+:\d\d</b>", "", page)


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_a_cycle_after_an_edit_continues_from_the_champion(finished: Config, tmp_path: Path):
    """A real run shows the cycle's number, parent, inputs, page and changes."""
    shutil.copytree(finished.store.parent, tmp_path / "copy")
    first = smoke(tmp_path / "copy", NAME, *TO_CHAMPION)
    run_cycles(first, 1, is_quiet=True)
    edits = ("seed=2", "training.steps=1", "sampling.temperature=0.9")
    second = smoke(tmp_path / "copy", NAME, *TO_CHAMPION, *edits)
    assert summary(second, 1, {})["is_edited"]
    assert not summary(smoke(tmp_path / "copy", NAME, *TO_CHAMPION, "seed=1"), 1, {})["is_edited"]
    assert next_cycle(second).number == 2
    run_cycles(second, 2, is_quiet=True)
    store = Store(second.store)
    one, two = store.query("SELECT * FROM promotions WHERE line = 'line' ORDER BY cycle")
    (policy,) = store.query("SELECT * FROM models WHERE id = ?", [two["policy_id"]])
    assert policy["parent_id"] == one["policy_id"]
    learnt = store.query(
        "SELECT count(DISTINCT candidates.seed) AS n FROM model_inputs "
        "JOIN rankings ON rankings.id = input_id "
        "JOIN candidates ON candidates.id = candidate_ids[1] "
        "WHERE model_inputs.model_id = (SELECT arg_max(model_id, cycle) FROM model_runs "
        "WHERE kind = 'reward' AND line = 'line')"
    )
    assert learnt == [{"n": 2}], "rankings of the cycle before the edit are learnt from, too"
    changed = store.query(
        "SELECT setting, former, value FROM config_changes WHERE line = 'line' ORDER BY setting"
    )
    assert [tuple(row.values()) for row in changed] == [
        ("sampling.temperature", "1.0", "0.9"),
        ("seed", "1", "2"),
        ("training.steps", "2", "1"),
    ]
    pages = second.artifacts / "reports" / "line"
    assert sorted(path.name for path in pages.iterdir()) == ["cycle-1.html", "cycle-2.html"]
    before = timeless((pages / "cycle-1.html").read_text())
    assert "line" in before
    assert one["policy_id"] in before
    # Written again under the edited config, a page still shows the cycle as it ran.
    again = write_report(store, Cycle(config=second, number=1, run_id=""))
    assert timeless(again.read_text()) == before
