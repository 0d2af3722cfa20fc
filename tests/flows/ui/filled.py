"""A store as two cycles leave it: prompts, answers, votes, pairs, models, decisions, by hand."""

import json
from pathlib import Path

from rlhf_core.files.dialogues import text_of
from rlhf_core.records import (
    Candidate,
    ConfigVersion,
    Judgement,
    ModelInput,
    ModelKind,
    ModelVersion,
    Outcome,
    Pair,
    PairOutcome,
    Presented,
    Promotion,
    Prompt,
    Ranking,
    Record,
    StageRun,
)
from rlhf_core.records.conversation import USER
from rlhf_core.store import Store
from tests.facts import candidate, prompt

RAINBOW = "Why does a rainbow have colours?"
CHOSEN = "Drops of water bend red light less than blue light."
REJECTED = "Drops of water bend red light more than green light, usually."
RATIONALE = "The first names the right order of the bending."
JUDGE = "pairwise-7c1f"
DIALOGUE = [
    {"role": "system", "content": "You are a teacher of sums."},
    {"role": "user", "content": "What is zero plus one?"},
    {"role": "assistant", "content": "<b>One</b>.\n\nHuman: is this a turn?"},
]
"""How some prompts begin; the assistant's words imitate a turn and a tag."""
TOOLS = json.dumps([{"type": "function", "function": {"name": "add"}}])

SFT = ModelVersion(kind=ModelKind.SFT, base="tiny-random", recipe='{"epochs": 1}', config_hash="c")
REWARD = ModelVersion(
    kind=ModelKind.REWARD, base="tiny-random", parent_id=SFT.id, recipe="{}", config_hash="c"
)
POLICY = ModelVersion(
    kind=ModelKind.POLICY, base="tiny-random", parent_id=SFT.id, recipe="{}", config_hash="c"
)


def fill(path: Path, pairs: int = 0) -> Store:
    """The store at that path, with the pair on rainbows and so many others."""
    store = Store(path, run_id="night-1")
    facts = [ConfigVersion(config_hash="c", config="{}"), *_models()]
    for number in range(pairs):
        facts += facts_of(_sum(number), str(number + 1), "No idea.")
    rainbow = prompt(RAINBOW, reference_answers=("Refraction.",), context="On light and water.")
    store.append([*facts, *facts_of(rainbow, CHOSEN, REJECTED, RATIONALE, (REWARD,))])
    return store


def _sum(number: int) -> Prompt:
    """A question; every thirteenth at the end of a dialogue."""
    question = f"What is {number} plus one?"
    if number % 13:
        return prompt(question)
    messages = [*DIALOGUE, {"role": "user", "content": question}]
    return prompt(text_of(messages, USER), messages=json.dumps(messages), tools=TOOLS)


def facts_of(
    asked: Prompt,
    chosen: str,
    rejected: str,
    rationale: str | None = None,
    learners: tuple[ModelVersion, ...] = (),
    judge: str = JUDGE,
) -> list[Record]:
    """A pair with all that it comes from: two votes on it, in both orders."""
    sampled = {"prompt_id": asked.id, "model_id": SFT.id}
    one, other = candidate(chosen, 0, **sampled), candidate(rejected, 1, **sampled)
    votes = [
        _vote(one, other, Presented.FORWARD, Outcome.FIRST, 0.875, rationale, judge),
        _vote(other, one, Presented.REVERSED, Outcome.SECOND, 0.25, rationale, judge),
    ]
    told = tuple(vote.id for vote in votes)
    ranking = Ranking(
        prompt_id=asked.id,
        model_id=SFT.id,
        seed=1,
        recipe="r",
        candidate_ids=(one.id, other.id),
        utilities=(0.8125, 0.1875),
        judgement_ids=told,
    )
    pair = Pair(
        prompt_id=asked.id,
        ranking_id=ranking.id,
        left_id=one.id,
        right_id=other.id,
        outcome=PairOutcome.PREFERRED,
        chosen_id=one.id,
        rejected_id=other.id,
        margin=0.625,
        agreement=1.0,
        judgement_ids=told,
        judge_versions=(judge,),
        config_hash="c",
    )
    learnt = [
        ModelInput(model_id=model.id, input_table="rankings", input_id=ranking.id)
        for model in learners
    ]
    return [asked, one, other, *votes, ranking, pair, *learnt]


def _vote(
    first: Candidate,
    second: Candidate,
    presented: Presented,
    outcome: Outcome,
    probability: float,
    reason: str | None,
    judge: str,
) -> Judgement:
    return Judgement(
        prompt_id=first.prompt_id,
        judge=judge.partition("-")[0],
        judge_version=judge,
        candidate_id=first.id,
        opponent_id=second.id,
        presented=presented,
        outcome=outcome,
        probability=probability,
        raw_output=reason,
        reason=reason,
        cost_usd=0.001,
    )


def _models() -> list[Record]:
    decided = Promotion(
        line="c",
        config_hash="c",
        cycle=1,
        policy_id=POLICY.id,
        baseline_id=SFT.id,
        evaluation_id="e",
        promoted=True,
        reasons=("win rate 0.61 is above 0.5",),
    )
    taught = ModelInput(model_id=POLICY.id, input_table="models", input_id=REWARD.id)
    ended = StageRun(line="c", config_hash="c", cycle=1, stage="pair", seconds=1.5, detail="{}")
    return [SFT, REWARD, POLICY, taught, decided, ended]
