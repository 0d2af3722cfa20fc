"""The reward model's signs of answers, from the rankings it learnt from to the rows of rollouts."""

import pytest

from flows.guard.answers import guarded_candidates, guarded_rollouts
from flows.guard.reading import open_reader, signs_of
from flows.stages.train_policy import _rollout_records
from flows.training.rewards import RewardJudges, build_reward
from judges import Ledger
from rlhf_core.algorithms.online import train_online
from rlhf_core.config import Config
from rlhf_core.config.training import RLOOSettings
from rlhf_core.distributed.collective import RankZeroOnly
from rlhf_core.models.chat import policy_chat
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import PROXY, ModelInput, Ranking, RolloutRecord
from rlhf_core.store import Store
from tests.facts import candidate, prompt

PROMPTS = [prompt("Which river is the longest?"), prompt("Who painted the ceiling?")]
ANSWERS = {
    asked.id: [candidate(f"{word} it is", n, prompt_id=asked.id) for n, word in enumerate("abc")]
    for asked in PROMPTS
}
CONFIG = Config.model_validate(
    {
        "prompts": {"path": "p.jsonl"},
        "judges": [{"kind": "similarity"}],
        "evaluation": {"judges": [{"kind": "verifier"}]},
        "sampling": {"max_new_tokens": 32},
        "training": {
            "algorithm": "rloo",
            "steps": 1,
            "prompts_per_step": 2,
            "samples_per_prompt": 2,
            "missing_eos_score": None,
            "reward": {"judges": [{"kind": "brevity", "weight": 0.5}]},
        },
    }
)


@pytest.fixture
def learnt(store: Store) -> Store:
    """A store with what a reward model learnt from: a ranking of two answers to each prompt."""
    for asked in PROMPTS:
        ranking = Ranking(
            prompt_id=asked.id,
            model_id="sft-test",
            seed=1,
            recipe="r",
            candidate_ids=tuple(answer.id for answer in ANSWERS[asked.id][:2]),
            utilities=(1.0, 0.0),
            judgement_ids=(),
        )
        rows = ModelInput(model_id="reward", input_table="rankings", input_id=ranking.id)
        store.append([asked, *ANSWERS[asked.id], ranking, rows])
    return store


@pytest.fixture
def rewarded(trunk: Trunk) -> Trunk:
    trunk.add_role(Role.REWARD, seed=1, heads=2)
    trunk.add_role(Role.POLICY, seed=1)
    return trunk


def test_every_baseline_answer_has_both_signs(learnt: Store, rewarded: Trunk):
    chat = policy_chat(rewarded.tokenizer, CONFIG.policy)
    reader = open_reader(learnt, rewarded, chat, "reward", CONFIG)
    signs = signs_of(reader, chat, PROMPTS, ANSWERS)
    assert set(signs) == {answer.id for group in ANSWERS.values() for answer in group}
    known = {asked.id: asked for asked in PROMPTS}
    answers = [answer for group in ANSWERS.values() for answer in group]
    for read in guarded_candidates(answers, known, signs):
        assert read.disagreement == signs[read.id]["disagreement"] >= 0
        assert 0 <= read.distance == signs[read.id]["distance"] <= 2


def test_a_reward_model_of_unknown_data_measures_no_distance(store: Store, rewarded: Trunk):
    chat = policy_chat(rewarded.tokenizer, CONFIG.policy)
    reader = open_reader(store, rewarded, chat, "elsewhere", CONFIG)
    signs = signs_of(reader, chat, PROMPTS, ANSWERS)
    assert {name for each in signs.values() for name in each} == {"disagreement"}
    assert signs_of(None, chat, PROMPTS, ANSWERS) == {}


def test_rollouts_keep_their_signs_and_the_parts_of_their_reward(learnt: Store, rewarded: Trunk):
    """Each answer's addends sum to its score, and both signs come back from the store."""
    settings = CONFIG.training
    assert isinstance(settings, RLOOSettings)
    chat = policy_chat(rewarded.tokenizer, CONFIG.policy)
    reader = open_reader(learnt, rewarded, chat, "reward", CONFIG)
    judges = RankZeroOnly(RewardJudges(Ledger(), CONFIG.judging))
    reward = build_reward(settings.reward, rewarded, PROMPTS, judges, reader)
    tokens = [chat.prompt_ids(asked.conversation) for asked in PROMPTS]
    (step,) = train_online(rewarded, tokens, reward, settings, CONFIG.sampling, 1)
    learnt.append(_rollout_records("policy", step, PROMPTS))
    rows = sorted(learnt.rows(RolloutRecord), key=lambda row: row.row)
    known = {asked.id: asked for asked in PROMPTS}
    read = guarded_rollouts(rows, known, 1.0, [0.0] * len(rows), settings.reward)
    assert len(read) == 4
    for answer in read:
        assert set(answer.addends) == {PROXY, "brevity"}
        assert sum(answer.addends.values()) == pytest.approx(answer.reward, abs=1e-5)
        assert answer.disagreement >= 0
        assert 0 <= answer.distance <= 2
