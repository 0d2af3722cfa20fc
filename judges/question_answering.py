"""A language model derives questions from one text and answers them from another: shared facts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from judges.language_model.choice import ModelReply
from judges.language_model.facts import (
    ANSWER,
    ANSWER_TOKENS,
    PAIR_TOKENS,
    QUESTIONS,
    Fact,
    TextQuestion,
    is_confirmed,
    parse_pairs,
    request_answers,
    request_pairs,
)
from judges.language_model.model import LanguageModelJudge, LanguageModelOptions
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
    """precision: the other text confirms the candidate's facts (none added); recall: the candidate
    confirms the other text's facts (none missing); f1: both."""
    questions: PositiveInt = 5
    """Most question-answer pairs derived from each text."""
    same_answer: Share = 0.5
    """Token F1 from which two answers count as the same."""


@dataclass(frozen=True)
class FactCheck:
    """The text whose facts are checked, and the text that must confirm them."""

    source: str
    target: str


class QuestionAnsweringJudge(
    LanguageModelJudge[QuestionAnsweringOptions], PointwiseJudge[QuestionAnsweringOptions]
):
    """Scores the share of each text's facts that the other confirms; abstains without facts."""

    Options = QuestionAnsweringOptions
    code = "1"

    def fixed_prompts(self) -> str:
        return f"{QUESTIONS}\n{ANSWER}"

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        directions = 2 if self.options.measure == "f1" else 1
        answers = 2 * self.options.questions
        tokens = (1 + answers) * (TEMPLATE_TOKENS + answer_tokens)
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
        checks = self._check_facts(sorted(directions, key=lambda one: (one.source, one.target)))
        return [
            self._opinion(self._directions(answer.text, other), checks)
            if other
            else abstains(f"the prompt has no {self.options.against}")
            for answer, other in zip(answers, others, strict=True)
        ]

    def _other(self, answer: Answer) -> str | None:
        if self.options.against == "context":
            return answer.prompt.context
        return next(iter(answer.prompt.reference_answers), None)

    def _directions(self, candidate: str, other: str) -> dict[str, FactCheck]:
        both = {"precision": FactCheck(candidate, other), "recall": FactCheck(other, candidate)}
        if self.options.measure == "f1":
            return both
        return {self.options.measure: both[self.options.measure]}

    def _check_facts(self, directions: Sequence[FactCheck]) -> "FactChecks":
        """Derive facts, drop those their own text does not confirm, and check the rest."""
        sources = sorted({direction.source for direction in directions})
        derived = request_pairs(self._model, sources, self.options.questions)
        facts = {
            source: parse_pairs(reply.text or "", self.options.questions)
            for source, reply in derived.items()
        }
        own = request_answers(
            self._model, [(s, fact.question) for s in sources for fact in facts[s]]
        )
        threshold = self.options.same_answer
        kept = {s: [f for f in facts[s] if is_confirmed(f, own, s, threshold)] for s in sources}
        other = request_answers(
            self._model,
            [(one.target, fact.question) for one in directions for fact in kept[one.source]],
        )
        return FactChecks(derived, facts, kept, {**own, **other})

    def _opinion(self, directions: Mapping[str, FactCheck], checks: "FactChecks") -> Opinion:
        replies = [reply for one in directions.values() for reply in checks.replies(one)]
        records = [reply.record() for reply in replies]
        for record in records:
            if record.outcome is not Outcome.SCORED:
                return with_costs(Opinion(record.outcome, reason=record.reason), records)
        shares = {
            name: share
            for name, direction in directions.items()
            if (share := checks.share(direction, self.options.same_answer)) is not None
        }
        if not shares:
            opinion = abstains("no question was derived that its own text could answer")
        else:
            opinion = scored(harmonic_mean(list(shares.values())), json.dumps(shares))
        return with_costs(opinion, records)


@dataclass(frozen=True)
class FactChecks:
    """The facts of a batch of texts, and the model's replies about them."""

    derived: Mapping[str, ModelReply]
    """The question-answer pairs that the model wrote, by text."""
    facts: Mapping[str, Sequence[Fact]]
    """The parsed pairs, by text."""
    kept: Mapping[str, Sequence[Fact]]
    """The pairs that their own text confirms, by text."""
    answers: Mapping[TextQuestion, ModelReply]

    def replies(self, direction: FactCheck) -> list[ModelReply]:
        """Return every reply that one direction depends on."""
        source, target = direction.source, direction.target
        return [
            self.derived[source],
            *(self.answers[source, fact.question] for fact in self.facts[source]),
            *(self.answers[target, fact.question] for fact in self.kept[source]),
        ]

    def share(self, direction: FactCheck, threshold: float) -> float | None:
        """Return the share of the source's facts that the target confirms; None without facts."""
        kept = self.kept[direction.source]
        confirmed = [is_confirmed(f, self.answers, direction.target, threshold) for f in kept]
        return sum(confirmed) / len(confirmed) if confirmed else None


def harmonic_mean(shares: Sequence[float]) -> float:
    """Return the harmonic mean; 0 if any share is 0."""
    return len(shares) / sum(1 / share for share in shares) if all(shares) else 0.0


JUDGE = QuestionAnsweringJudge
