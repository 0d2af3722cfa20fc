"""The guard in a cycle on the tiny model: a hack is stopped, and not promoted."""

from pathlib import Path

import pytest
from markupsafe import escape
from safetensors.torch import load_file

from flows.cycle.cycle import Cycle
from flows.cycle.independence import refuse_judging_trainers
from flows.guard.training import TrainingGuard
from flows.run import run_cycles
from rlhf_core.algorithms.rollouts import RolloutStep
from rlhf_core.algorithms.watch import StepVerdict
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError
from rlhf_core.records import (
    GuardAlarm,
    Judgement,
    Metric,
    Promotion,
    Prompt,
    RolloutRecord,
    RolloutVerdict,
)
from rlhf_core.store import Store, queries
from tests.flows.conftest import smoke

REWARD = "{reward_model: 0, judges: [{kind: function, function: 'tests.flows.hacks:signs'}]}"
STEPS = 40
HACK = (
    f"training={{algorithm: rloo, steps: {STEPS}, prompts_per_step: 6, samples_per_prompt: 8, "
    f"learning_rate: 0.05, epochs: 2, missing_eos_score: null, kl: {{coefficient: 0}}, "
    f"reward: {REWARD}}}",
    "policy.lora_rank=4",
    "promotion.win_rate_above=0",
    "promotion.min_eos_rate=0",
    "promotion.max_kl=1000",
)

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture(scope="module")
def hacked(server: str, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A cycle whose reward is the share of signs, which the held-out judge does not like."""
    config = smoke(tmp_path_factory.mktemp("hacked"), *HACK)
    run_cycles(config, 1, is_quiet=True)
    return config


def test_a_hack_is_stopped_and_not_promoted(hacked: Config):
    """Every other condition of the promotion is met by any policy."""
    store = Store(hacked.store)
    alarms = store.rows(GuardAlarm, "step > 0")
    (last,) = {alarm.step for alarm in alarms}
    assert last < STEPS
    assert max(rollout.step for rollout in store.rows(RolloutRecord)) == last
    for alarm in alarms:
        assert alarm.held_out_gain is not None
        assert alarm.held_out_gain <= 0
        assert alarm.reward_gain is not None
        assert alarm.reward_gain > 0.05
    (promotion,) = store.rows(Promotion)
    assert not promotion.promoted
    assert all(any(alarm.reason in told for told in promotion.reasons) for alarm in alarms[:3])


def test_the_weights_are_those_of_the_beginning_if_no_window_was_better(hacked: Config):
    """Token F1 of signs is 0 throughout, so the held-out judge likes nothing better."""
    (saved,) = (hacked.artifacts / "models").glob("policy-*/adapter_model.safetensors")
    lifted = [value for name, value in load_file(saved).items() if "lora_B" in name]
    assert lifted
    assert not any(value.any() for value in lifted)


def test_the_evidence_is_among_the_answers_of_the_window(hacked: Config):
    store = Store(hacked.store)
    for alarm in store.rows(GuardAlarm, "step > 0"):
        window = store.rows(RolloutRecord, "step > ? AND step <= ?", [alarm.step - 3, alarm.step])
        assert 0 < len(alarm.evidence) <= 8
        assert set(alarm.evidence) <= {rollout.id for rollout in window}


def test_the_held_out_judge_has_a_verdict_on_every_answer_and_its_baseline(hacked: Config):
    store = Store(hacked.store)
    rollouts = store.rows(RolloutRecord)
    verdicts = store.rows(RolloutVerdict, "role = 'guard'")
    assert {verdict.rollout_id for verdict in verdicts} == {rollout.id for rollout in rollouts}
    (version,) = {verdict.judge_version for verdict in verdicts}
    judged = {each.prompt_id for each in store.rows(Judgement, "judge_version = ?", [version])}
    assert {rollout.prompt_id for rollout in rollouts} <= judged
    refuse_judging_trainers(hacked, store, [rollouts[0].model_id])


def test_the_page_shows_the_alarm_with_answers_and_the_gains(hacked: Config):
    alarm = Store(hacked.store).rows(GuardAlarm, "step > 0")[0]
    page = Cycle(config=hacked, number=1, run_id="").report_path.read_text()
    assert "Guard against reward hacking" in page
    assert str(escape(alarm.reason)) in page
    assert "gain, held-out judge" in page


def test_a_resumed_training_decides_the_same(hacked: Config):
    """The guard of a training that resumes at its last step has seen none of the others."""
    store = Store(hacked.store)
    rollouts = sorted(store.rows(RolloutRecord), key=lambda rollout: (rollout.step, rollout.row))
    last, model_id = rollouts[-1].step, rollouts[-1].model_id
    own = [rollout for rollout in rollouts if rollout.step == last]
    (entropy,) = store.rows(
        Metric, "model_id = ? AND step = ? AND name = 'entropy'", [model_id, last]
    )
    sampler = store.query("SELECT id FROM models WHERE kind = 'sft'")[0]["id"]
    cycle = Cycle(config=hacked, number=1, run_id="again")
    batch = cycle.batch(sampler, hacked.sampling, 1)
    prompts = store.rows(Prompt, "split = 'train'")
    baseline = queries.candidates_by_prompt(store, sampler, batch.sampling, batch.seed, prompts)
    guard = TrainingGuard(cycle, store, model_id, prompts, baseline, {})
    before = store.counts()
    guard.watch(RolloutStep(last, STEPS, {"entropy": entropy.value}), own)
    assert guard.verdict() == StepVerdict(is_best=False, is_last=True)
    assert store.counts() == before


@pytest.mark.slow
def test_the_reward_model_s_signs_of_every_answer_are_watched(server: str, tmp_path: Path):
    """Two heads, and a reward of two parts; the steps are too few for an alarm of the lead."""
    parts = "{reward_model: 1.0, judges: [{kind: function, function: 'tests.flows.hacks:signs'}]}"
    training = (
        "training={algorithm: rloo, steps: 6, prompts_per_step: 4, samples_per_prompt: 2, "
        f"missing_eos_score: null, reward: {parts}}}"
    )
    config = smoke(tmp_path, training, "reward_model.heads=2", "guard.action=report")
    run_cycles(config, 1, is_quiet=True)
    store = Store(config.store)
    for rollout in store.rows(RolloutRecord):
        assert rollout.disagreement is not None
        assert rollout.disagreement >= 0
        assert rollout.distance is not None
        assert 0 <= rollout.distance <= 2
    last = {each.name: each.value for each in store.rows(Metric, "step = 6")}
    window = store.rows(RolloutRecord, "step > 3")
    for name in ("disagreement", "distance"):
        mean = sum(getattr(each, name) for each in window) / len(window)
        assert last[f"guard_{name}"] == pytest.approx(mean)


def test_the_guard_s_judge_may_not_judge_training_data(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"guard\.judge: 'similarity' also judges"):
        smoke(tmp_path, "guard.judge={kind: similarity}")
