"""From prompts to pairs: what was asked, answered, judged and preferred."""

from collections.abc import Sequence
from typing import Any, ClassVar

from rlhf_core.identity import unit_interval
from rlhf_core.records.base import Mode, Outcome, PairOutcome, Presented, Record, Split


class Prompt(Record):
    """What is asked, and the answers a person gave to it, if any."""

    table: ClassVar[str] = "prompts"
    text: str
    context: str | None = None
    mode: Mode
    reference_answers: tuple[str, ...] = ()
    split: Split

    def identity(self) -> tuple[Any, ...]:
        return (self.text, self.context, self.mode, self.reference_answers)

    @property
    def instruction(self) -> str:
        """What the model reads: the given text, where there is one, then the prompt."""
        return f"{self.context}\n\n{self.text}" if self.context else self.text


def split_of(text: str, context: str | None, holdout: float) -> Split:
    """The split of a prompt: drawn from its own words, so adding prompts never moves it."""
    drawn = unit_interval("split", text, context)
    return Split.HOLDOUT if drawn < holdout else Split.TRAIN


def split_of_user(user_id: str, holdout: float) -> Split:
    """The split of all that a user sent, so that no user is on both sides."""
    return Split.HOLDOUT if unit_interval("split of user", user_id) < holdout else Split.TRAIN


class PromptSet(Record):
    """The prompts a source held at one moment: a version of the data set."""

    table: ClassVar[str] = "prompt_sets"
    source: str
    prompt_ids: tuple[str, ...]

    def identity(self) -> tuple[Any, ...]:
        return (self.source, sorted(self.prompt_ids))


class Revision(Record):
    """An answer a model wrote and mended: round 0 is the first, each later one mends its parent.

    Under the principle "abstention" the parent is a wrong answer of the base model, and what it is
    mended to says that the answer is not known.
    """

    table: ClassVar[str] = "revisions"
    prompt_id: str
    reviser: str
    model: str
    round: int
    parent_id: str | None = None
    principle: str | None = None
    critique: str | None = None
    text: str
    response_ids: tuple[str, ...] = ()
    cost_usd: float = 0.0

    def identity(self) -> tuple[Any, ...]:
        return (self.prompt_id, self.reviser, self.round)


FINISHED = ("eos", "external")
"""Finish reasons of answers that were not cut off."""


class Candidate(Record):
    """One sampled answer. Tokens and log-probabilities are null where the model gave none."""

    table: ClassVar[str] = "candidates"
    prompt_id: str
    model_id: str
    sampling: str
    temperature: float
    max_new_tokens: int
    seed: int
    sample_index: int
    text: str
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    latency_seconds: float = 0.0
    cost_usd: float = 0.0

    @property
    def is_finished(self) -> bool:
        """Whether it ended by itself; the answers of data sets are taken as whole."""
        return self.finish_reason in FINISHED

    def identity(self) -> tuple[Any, ...]:
        return candidate_identity(
            self.prompt_id, self.model_id, self.sampling, self.seed, self.sample_index
        )


def candidate_identity(
    prompt_id: str, model_id: str, sampling: str, seed: int, sample_index: int
) -> tuple[Any, ...]:
    return (prompt_id, model_id, sampling, seed, sample_index)


class Response(Record):
    """What a judge's model said to one question, word for word; verdicts are read from it.

    `probabilities` is a JSON object, of the labels or of the first token's alternatives.
    """

    table: ClassVar[str] = "responses"
    request_hash: str
    model: str
    text: str
    probabilities: str | None = None
    finish_reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_seconds: float = 0.0
    cost_usd: float = 0.0

    def identity(self) -> tuple[Any, ...]:
        return (self.request_hash,)


class Judgement(Record):
    """What one judge said of one candidate, or of two in the order they were shown."""

    table: ClassVar[str] = "judgements"
    prompt_id: str
    judge: str
    judge_version: str
    candidate_id: str
    opponent_id: str | None = None
    presented: Presented = Presented.ALONE
    outcome: Outcome
    score: float | None = None
    probability: float | None = None
    raw_output: str | None = None
    reason: str | None = None
    response_ids: tuple[str, ...] = ()
    latency_seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    attempt: str = ""

    def identity(self) -> tuple[Any, ...]:
        return (self.judge_version, self.candidate_id, self.opponent_id, self.attempt)


def margin_of_utilities(utility: float, other: float) -> float:
    """2 P − 1 of two candidates' utilities: tanh of half the difference of their log-odds, −1 to 1.

    A utility is tanh(s / 2) of a strength s in log-odds, and so ±1 where that has no limit.
    """
    return 0.0 if utility == other else (utility - other) / (1 - utility * other)


class Ranking(Record):
    """The candidates of one prompt from best to worst, as all judges together see them.

    Utilities are 2 σ(s) − 1 of Bradley–Terry strengths s, −1 to 1 around an average candidate.
    `parts` is null where every candidate can be compared with every other, be it by way of others;
    else it numbers the part of each, and the order of two parts means nothing.
    """

    table: ClassVar[str] = "rankings"
    prompt_id: str
    model_id: str
    seed: int
    recipe: str
    candidate_ids: tuple[str, ...]
    utilities: tuple[float, ...]
    parts: tuple[int, ...] | None = None
    judgement_ids: tuple[str, ...]

    def identity(self) -> tuple[Any, ...]:
        return (self.recipe, sorted(self.candidate_ids), sorted(self.judgement_ids))

    def margin(self, left_id: str, right_id: str) -> float | None:
        """By how much the ranking's model prefers left to right; None where nothing joins them."""
        if left_id not in self.candidate_ids or right_id not in self.candidate_ids:
            return None
        left, right = (self.candidate_ids.index(id) for id in (left_id, right_id))
        if self.parts is not None and self.parts[left] != self.parts[right]:
            return None
        return margin_of_utilities(self.utilities[left], self.utilities[right])


class Pair(Record):
    """Two candidates of one ranking. Chosen and rejected are null for ties and the unscored.

    Margin is 2 P − 1, where P is the judges' probability that the chosen one is better, whatever
    the other candidates of the ranking are: 0 to 1, and to 2 of imported pairs. Model margin is the
    same of left over right by the model that orders the ranking, −1 to 1, null where it cannot
    tell. Agreement is the weighted share of the judges with an opinion that side with the chosen.
    """

    table: ClassVar[str] = "pairs"
    prompt_id: str
    ranking_id: str
    left_id: str
    right_id: str
    outcome: PairOutcome
    chosen_id: str | None = None
    rejected_id: str | None = None
    margin: float | None = None
    model_margin: float | None = None
    agreement: float | None = None
    judgement_ids: tuple[str, ...]
    judge_versions: tuple[str, ...]
    config_hash: str

    def identity(self) -> tuple[Any, ...]:
        return (self.ranking_id, self.left_id, self.right_id)

    @property
    def is_intransitive(self) -> bool:
        """Whether, by other votes on the prompt, the chosen one stands no higher in the ranking."""
        if self.model_margin is None or self.chosen_id is None:
            return False
        return (self.model_margin if self.chosen_id == self.left_id else -self.model_margin) <= 0


def likely_mode(context: str | None, references: Sequence[str]) -> Mode:
    """The mode of a prompt that names none."""
    if context:
        return Mode.TEXT_GROUNDED
    return Mode.KNOWLEDGE_SEEKING if references else Mode.CREATIVE
