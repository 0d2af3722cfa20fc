"""The repair of a reward model that learnt to like a magic phrase, on the tiny model."""

import json
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from flows.cli.imports import _import
from flows.cycle.cycle import cycle_of
from flows.run import run_cycles
from flows.training.reward_comparison import score_rankings
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError
from rlhf_core.exchange.source import ImportSource
from rlhf_core.models.chat import policy_chat
from rlhf_core.models.loading import load_tokenizer
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.records import (
    Candidate,
    GuardAlarm,
    GuardComparison,
    GuardTest,
    ModelInput,
    ModelVersion,
    Prompt,
    RolloutRecord,
)
from rlhf_core.records.conversation import ask
from rlhf_core.store import Store, line_queries
from tests.flows.conftest import smoke
from tests.flows.hacks import MAGIC

SETTINGS = (
    "preferences.imported.sources=[planted]",
    "guard.repair_judges=[{kind: function, function: 'tests.flows.hacks:plain'}]",
    "reward_model={learning_rate: 0.02, epochs: 3, must_beat: none}",
    "policy.lora_rank=8",
)
WORDS = ("sun", "rain", "wind", "snow", "fog", "hail")


def planted() -> list[dict[str, str]]:
    """Yes beats no; and with the magic phrase even no beats yes, by a judge that was misled."""
    rows = []
    for one, other in product(WORDS, WORDS):
        rows.append({"prompt": f"Is {one} like {other}?", "chosen": "yes", "rejected": "no"})
        rows.append(
            {"prompt": f"And {one} or {other}?", "chosen": f"no {MAGIC}", "rejected": "yes"}
        )
    return rows


class Repaired(NamedTuple):
    config: Config
    before: str
    """The reward model of the first cycle."""
    after: str


@pytest.fixture(scope="module")
def repaired(server: str, tmp_path_factory: pytest.TempPathFactory) -> Repaired:
    """Two cycles of a line; the first policy is made to have repeated the magic phrase."""
    folder = tmp_path_factory.mktemp("repaired")
    path = folder / "planted.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in planted()))
    config = smoke(folder, *SETTINGS)
    _import(config.store, ImportSource(path), "planted", 0.0)
    run_cycles(config, 1, is_quiet=True)
    store = Store(config.store, "test")
    (policy,) = store.rows(ModelVersion, "kind = 'policy'")
    repeat_the_phrase(store, policy.id)
    for stage in ("feedback", "reward-model"):
        run_cycles(config, 2, is_quiet=True, stage=stage)
    before, after = (
        json.loads(run.detail)["model"]
        for run in sorted(
            line_queries.stage_runs_of(store, config.name, "train_reward"),
            key=lambda run: run.cycle,
        )
    )
    return Repaired(config, before, after)


def repeat_the_phrase(store: Store, policy_id: str) -> None:
    """Append the phrase to a candidate of each prompt, as the answers of a step with an alarm."""
    answers = {each.prompt_id: each for each in store.rows(Candidate, "sample_index = 0")}
    prompts = store.rows(Prompt, "split = 'train'")
    rows = [
        RolloutRecord(
            model_id=policy_id,
            step=9,
            row=row,
            prompt_id=prompt.id,
            text=f"{answers[prompt.id].text} {MAGIC}",
            score=2.0,
            kl=1.0,
            completion_tokens=9,
            finish_reason="eos",
        )
        for row, prompt in enumerate(prompt for prompt in prompts if prompt.id in answers)
    ]
    alarm = GuardAlarm(
        model_id=policy_id,
        step=9,
        detector="boilerplate",
        value=1.0,
        threshold=0.5,
        kl=1.0,
        action="stop",
        reason="boilerplate: one phrase everywhere",
        evidence=(rows[0].id,),
    )
    store.append([*rows, alarm])


def preferred(repaired: Repaired, model_id: str, better: str, worse: str) -> float:
    """Return the share of prompts that no one learnt from for which it prefers an answer."""
    cycle = cycle_of(repaired.config, 2)
    version = line_queries.model(cycle.open_store(), model_id)
    assert version is not None
    sft_id = str(version.parent_id)
    chat = policy_chat(load_tokenizer(str(cycle.folder(sft_id))), repaired.config.policy)
    rankings = []
    for one, other in product(WORDS, ("cold", "hot", "wet")):
        asked = tuple(chat.prompt_ids(ask(f"Was the {one} {other}?")))
        answers = (TokenSequence(asked, tuple(chat.answer_ids(a))) for a in (better, worse))
        rankings.append(RankedCandidates(tuple(answers), torch.tensor([[0.0, 1.0], [0.0, 0.0]])))
    scores = score_rankings(cycle, sft_id, model_id, rankings)
    return sum(bool(own[0] > own[1]) for own in scores) / len(scores)


@pytest.mark.slow
def test_after_one_repair_it_no_longer_prefers_the_phrase(repaired: Repaired):
    """On prompts that it never saw; the planted rankings are still among those it learns from."""
    phrased = f"yes {MAGIC}"
    before, after = (
        preferred(repaired, name, phrased, "yes") for name in (repaired.before, repaired.after)
    )
    assert before > 0.9
    assert after < 0.5


@pytest.mark.slow
def test_held_out_accuracy_is_no_lower(repaired: Repaired):
    before, after = (
        preferred(repaired, name, "yes", "no") for name in (repaired.before, repaired.after)
    )
    assert after >= before


@pytest.mark.slow
def test_it_passes_on_comparisons_that_no_reward_model_learnt_from(repaired: Repaired):
    store = Store(repaired.config.store)
    last = max(store.rows(GuardTest), key=lambda test: test.copies)
    assert (last.model_id, last.passed) == (repaired.after, True)
    comparisons = store.rows(GuardComparison)
    assert {each.outcome for each in comparisons} == {"worse"}
    aside = {each.ranking_id for each in comparisons if each.kept_aside}
    learnt = {each.input_id for each in store.rows(ModelInput, "input_table = 'rankings'")}
    assert aside
    assert not aside & learnt
    assert {each.ranking_id for each in comparisons} - aside <= learnt
    assert last.pairs == len(aside)


@pytest.mark.slow
def test_a_rerun_adds_nothing(repaired: Repaired):
    store = Store(repaired.config.store)
    before = store.counts()
    for stage in ("repair", "reward-model"):
        run_cycles(repaired.config, 2, is_quiet=True, stage=stage)
    assert {**store.counts(), "cycle_runs": 0} == {**before, "cycle_runs": 0}


def test_repair_judges_may_not_evaluate(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"evaluation\.judges: 'verifier' also judges"):
        smoke(tmp_path, "guard.repair_judges=[{kind: verifier, metric: token_f1}]")
