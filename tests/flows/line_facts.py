"""A policy line made by hand: feedback of some prompts, reward models, evaluations."""

import json
from collections.abc import Sequence

from flows.cycle.identity import config_hash
from rlhf_core.config import Config
from rlhf_core.records import (
    PROXY,
    Candidate,
    ConfigVersion,
    CycleRun,
    Evaluation,
    Judgement,
    ModelInput,
    ModelKind,
    ModelVersion,
    Outcome,
    Pair,
    PairOutcome,
    PromptSet,
    Ranking,
    StageRun,
)
from rlhf_core.store import Store
from tests import facts
from tests.facts import candidate, prompt

SFT, SEED, RECIPE = "sft-test", 1, "recipe"


class Line:
    """Writes the facts of a line to its store, as its stages would."""

    def __init__(self, config: Config) -> None:
        self.config, self.store = config, Store(config.store, "test")
        self.asked: list[str] = []
        version = ConfigVersion(config_hash=config_hash(config), config=config.model_dump_json())
        begun = CycleRun(
            line=config.name, cycle=1, config_hash=version.config_hash, source="", attempt="test"
        )
        self.store.append([version, begun])

    def ended(self, stage: str, number: int, detail: object, result: object = None) -> None:
        self.store.append(
            [
                StageRun(
                    line=self.config.name,
                    config_hash=config_hash(self.config),
                    cycle=1,
                    stage=stage,
                    number=number,
                    seconds=1.0,
                    detail=json.dumps(detail),
                    result=json.dumps(result or {}),
                )
            ]
        )

    def feedback(
        self, *words: str, outcome: PairOutcome = PairOutcome.PREFERRED, recipe: str = RECIPE
    ) -> list[Ranking]:
        """Add a ranking of one pair for each new prompt; the line's prompts are all so far."""
        rankings = []
        for word in words:
            asked = prompt(word)
            sides = [candidate(f"{word} {n}", n, prompt_id=asked.id, seed=SEED) for n in (0, 1)]
            ranking = Ranking(
                prompt_id=asked.id,
                model_id=SFT,
                seed=SEED,
                recipe=recipe,
                candidate_ids=tuple(side.id for side in sides),
                utilities=(0.5, -0.5),
                judgement_ids=(),
            )
            pair = Pair(
                prompt_id=asked.id,
                ranking_id=ranking.id,
                left_id=sides[0].id,
                right_id=sides[1].id,
                outcome=outcome,
                judgement_ids=(),
                judge_versions=(),
                config_hash="c",
            )
            self.store.append([asked, *sides, ranking, pair])
            rankings.append(ranking)
            self.asked.append(asked.id)
        self.paired(self.asked, recipe)
        return rankings

    def paired(self, prompt_ids: Sequence[str], recipe: str = RECIPE) -> None:
        """End the stages sample and pair on these prompts."""
        prompts = PromptSet(source=self.config.prompts.path, prompt_ids=tuple(prompt_ids))
        self.store.append([prompts])
        result = {"prompt_set_id": prompts.id, "recipe": recipe}
        number = len(self.store.rows(StageRun)) + 1
        self.ended("sample", 1, {"from": SFT, "seed": SEED})
        self.ended("pair", number, {}, result)

    def reward_model(self, rankings: Sequence[Ranking]) -> str:
        """Train a reward model on rankings; return its id."""
        number = len(self.store.rows(StageRun)) + 1
        model = ModelVersion(kind=ModelKind.REWARD, base="b", recipe=f"{number}", config_hash="c")
        learnt = [
            ModelInput(model_id=model.id, input_table="rankings", input_id=ranking.id)
            for ranking in rankings
        ]
        self.store.append([model, *learnt])
        self.ended("train_reward", number, {"model": model.id}, {"reward_id": model.id})
        return model.id

    def evaluated(self, reward_id: str, agreeing: int, opposed: int) -> None:
        """Compare a policy on held-out prompts, on some of which reward and judge differ."""
        policy, baseline = "policy-test", SFT
        rows: list[Candidate | Judgement | Evaluation] = []
        for number in range(agreeing + opposed):
            asked = prompt(f"held out {number}")
            ours, theirs = (
                candidate("a", 0, prompt_id=asked.id, model_id=model)
                for model in (policy, baseline)
            )
            said = 1.0 if number < agreeing else 0.0
            rows += [ours, theirs]
            rows += [_score(ours, PROXY, reward_id, 2.0), _score(theirs, PROXY, reward_id, -1.0)]
            rows += [
                _score(ours, "alike", "alike-1", said),
                _score(theirs, "alike", "alike-1", 0.5),
            ]
        rows += [
            evaluation(policy, baseline, judge, version, role)
            for judge, version, role in (
                (PROXY, reward_id, PROXY),
                ("alike", "alike-1", "trained_on"),
                ("decides", "decides-1", "decides"),
            )
        ]
        self.store.append(rows)


def _score(of: Candidate, judge: str, version: str, score: float) -> Judgement:
    return Judgement(
        prompt_id=of.prompt_id,
        judge=judge,
        judge_version=version,
        candidate_id=of.id,
        outcome=Outcome.SCORED,
        score=score,
    )


def evaluation(policy: str, baseline: str, judge: str, version: str, role: str) -> Evaluation:
    return facts.evaluation(policy, baseline, judge=judge, judge_version=version, role=role)
