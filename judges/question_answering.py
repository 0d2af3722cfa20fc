"""Questions derived from one text are asked of the other: precision and recall of facts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from judges.language_model.choice import Heard
from judges.language_model.facts import (
    ANSWER,
    ANSWER_TOKENS,
    PAIR_TOKENS,
    QUESTIONS,
    Asked,
    Fact,
    ask,
    derive,
    is_confirmed,
    parse_pairs,
)
from judges.language_model.model import AsksLanguageModel, LanguageModelOptions
from judges.panel.judge import (
    Answer,
    Opinion,
    PointwiseJudge,
    Workload,
    abstains,
    scored,
    with_costs,
)
from rlhf_core.config.base import PositiveInt, Share
from rlhf_core.records import Outcome

TEMPLATE_TOKENS = 120


class QuestionAnsweringOptions(LanguageModelOptions):
    against: Literal["reference", "context"] = "reference"
    """Compare with the first reference answer, or with the text that the prompt is about."""
    measure: Literal["f1", "precision", "recall"] = "f1"
    """precision: what the candidate says is confirmed by the other text (no added facts); recall:
    the candidate knows what the other text says (no missing facts); f1: both."""
    questions: PositiveInt = 5
    """Pairs derived from each text, at most."""
    same_answer: Share = 0.5
    """Two answers are the same from this token F1 on."""


@dataclass(frozen=True)
class Direction:
    """Facts of one text, and the text they are asked of."""

    source: str
    target: str


class QuestionAnsweringJudge(
    AsksLanguageModel[QuestionAnsweringOptions], PointwiseJudge[QuestionAnsweringOptions]
):
    """Share of the facts of each text that the other confirms; abstains where there are none."""

    Options = QuestionAnsweringOptions
    code = "1"

    def fixed_prompts(self) -> str:
        return f"{QUESTIONS}\n{ANSWER}"

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        directions = 2 if self.options.measure == "f1" else 1
        asked = 2 * self.options.questions
        tokens = (1 + asked) * (TEMPLATE_TOKENS + answer_tokens)
        written = self.options.questions * (PAIR_TOKENS + 2 * ANSWER_TOKENS)
        return self._model.workload(directions * tokens, directions, written)

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        others = [self._other(answer) for answer in answers]
        directions = {
            direction
            for answer, other in zip(answers, others, strict=True)
            if other
            for direction in self._directions(answer.text, other).values()
        }
        inquiry = self._inquire(sorted(directions, key=lambda one: (one.source, one.target)))
        return [
            self._opinion(self._directions(answer.text, other), inquiry)
            if other
            else abstains(f"the prompt has no {self.options.against}")
            for answer, other in zip(answers, others, strict=True)
        ]

    def _other(self, answer: Answer) -> str | None:
        if self.options.against == "context":
            return answer.prompt.context
        return next(iter(answer.prompt.reference_answers), None)

    def _directions(self, candidate: str, other: str) -> dict[str, Direction]:
        both = {"precision": Direction(candidate, other), "recall": Direction(other, candidate)}
        if self.options.measure == "f1":
            return both
        return {self.options.measure: both[self.options.measure]}

    def _inquire(self, directions: Sequence[Direction]) -> "Inquiry":
        """Three rounds: derive, ask the text itself, ask the other one about what was kept."""
        sources = sorted({direction.source for direction in directions})
        derived = derive(self._model, sources, self.options.questions)
        facts = {
            source: parse_pairs(heard.text or "", self.options.questions)
            for source, heard in derived.items()
        }
        own = ask(self._model, [(s, fact.question) for s in sources for fact in facts[s]])
        threshold = self.options.same_answer
        kept = {s: [f for f in facts[s] if is_confirmed(f, own, s, threshold)] for s in sources}
        other = ask(
            self._model,
            [(one.target, fact.question) for one in directions for fact in kept[one.source]],
        )
        return Inquiry(derived, facts, kept, {**own, **other})

    def _opinion(self, directions: Mapping[str, Direction], inquiry: "Inquiry") -> Opinion:
        heard = [one for direction in directions.values() for one in inquiry.heard(direction)]
        records = [one.record() for one in heard]
        for record in records:
            if record.outcome is not Outcome.SCORED:
                return with_costs(Opinion(record.outcome, reason=record.reason), records)
        shares = {
            name: share
            for name, direction in directions.items()
            if (share := inquiry.share(direction, self.options.same_answer)) is not None
        }
        if not shares:
            opinion = abstains("no question was derived that its own text could answer")
        else:
            opinion = scored(harmonic_mean(list(shares.values())), json.dumps(shares))
        return with_costs(opinion, records)


@dataclass(frozen=True)
class Inquiry:
    """All that was asked about a batch."""

    derived: Mapping[str, Heard]
    facts: Mapping[str, Sequence[Fact]]
    kept: Mapping[str, Sequence[Fact]]
    answers: Mapping[Asked, Heard]

    def heard(self, direction: Direction) -> list[Heard]:
        """Every answer that went into one direction."""
        source, target = direction.source, direction.target
        return [
            self.derived[source],
            *(self.answers[source, fact.question] for fact in self.facts[source]),
            *(self.answers[target, fact.question] for fact in self.kept[source]),
        ]

    def share(self, direction: Direction, threshold: float) -> float | None:
        """Share of the source's facts that the target confirms; None where there are none."""
        kept = self.kept[direction.source]
        confirmed = [is_confirmed(f, self.answers, direction.target, threshold) for f in kept]
        return sum(confirmed) / len(confirmed) if confirmed else None


def harmonic_mean(shares: Sequence[float]) -> float:
    """0 where one of them is."""
    return len(shares) / sum(1 / share for share in shares) if all(shares) else 0.0


JUDGE = QuestionAnsweringJudge
