"""A prompt with two answers, four judges, a ranking of them and a model that learnt from it."""

from rlhf_core.preferences.ranking import pairs_of, rank
from rlhf_core.preferences.votes import Combination
from rlhf_core.records import (
    ConfigVersion,
    Judgement,
    ModelInput,
    ModelKind,
    ModelVersion,
    Outcome,
    Presented,
    Record,
)
from tests.facts import candidate, prompt

ASKED = prompt("Why?")
LONG = candidate("a b c d", 0, prompt_id=ASKED.id)
SHORT = candidate("a", 1, prompt_id=ASKED.id)


def judgement(judge: str, of, value: float | None = None, **fields: object) -> Judgement:
    return Judgement.model_validate(
        {
            "prompt_id": ASKED.id,
            "judge": judge,
            "judge_version": f"{judge}-1",
            "candidate_id": of.id,
            "outcome": Outcome.SCORED,
            "score": value,
            **fields,
        }
    )


def contest(first, second, probability: float, presented: Presented) -> Judgement:
    outcome = Outcome.FIRST if probability > 0.5 else Outcome.SECOND
    fields = {"opponent_id": second.id, "presented": presented, "outcome": outcome}
    return judgement("pairwise", first, None, probability=probability, **fields)


JUDGEMENTS = [
    judgement("one", LONG, 0.9),
    judgement("one", SHORT, 0.2),
    judgement("other", LONG, 0.1),
    judgement("other", SHORT, 0.6),
    contest(LONG, SHORT, 0.9, Presented.FORWARD),
    contest(SHORT, LONG, 0.7, Presented.REVERSED),
    judgement("silent", LONG, None, outcome=Outcome.UNPARSED),
]
COMBINATION = Combination({"one-1": 1.0}, 0.02)


def judged() -> list[Record]:
    """All of it, as the stages would have added it."""
    ranking = rank([LONG, SHORT], JUDGEMENTS, COMBINATION)
    assert ranking is not None
    pairs = pairs_of(ranking, [LONG, SHORT], JUDGEMENTS, COMBINATION, "hash")
    base = ModelVersion(kind=ModelKind.BASE, base="tiny", recipe="{}", config_hash="hash")
    sft = ModelVersion(
        kind=ModelKind.SFT, base="tiny", parent_id=base.id, recipe="{}", config_hash="hash"
    )
    inputs = [ModelInput(model_id=sft.id, input_table="rankings", input_id=ranking.id)]
    config = ConfigVersion(config_hash="hash", config="{}")
    return [config, ASKED, LONG, SHORT, *JUDGEMENTS, ranking, *pairs, base, sft, *inputs]
