"""Records of the preference data: prompts, candidates, judgements, rankings and pairs."""

from collections.abc import Sequence
from typing import Any, ClassVar

from rlhf_core.identity import unit_interval
from rlhf_core.records.base import Mode, Outcome, PairOutcome, Presented, Record, Split
from rlhf_core.records.conversation import (
    Conversation,
    ask,
    from_json,
    with_context,
    with_few_shot,
)
from rlhf_core.records.turns import Turn, turns_to_show


class Prompt(Record):
    """A prompt, with the reference answers that a person gave, if any.

    `messages`, `few_shot`, `tools` and `rubric` are JSON lists. `messages` is null for a single
    message of the user, which is the text itself; for any other conversation the text is the
    dialogue. `few_shot` holds worked examples: the model reads them before the first message that
    is not the system's; they are not part of what is asked. `rubric` holds the criteria of answers
    to this prompt, in the form of records/rubric.py.
    """

    table: ClassVar[str] = "prompts"
    text: str
    context: str | None = None
    mode: Mode
    reference_answers: tuple[str, ...] = ()
    messages: str | None = None
    few_shot: str | None = None
    tools: str | None = None
    rubric: str | None = None
    split: Split

    def identity(self) -> tuple[Any, ...]:
        single = (self.text, self.context, self.mode, self.reference_answers)
        more = (self.messages, self.few_shot, self.tools, self.rubric)
        return (*single, *more) if any(more) else single

    @property
    def instruction(self) -> str:
        """The context, if there is one, then the prompt or the dialogue, as text."""
        return f"{self.context}\n\n{self.text}" if self.context else self.text

    @property
    def conversation(self) -> Conversation:
        """All messages that the model reads, worked examples included."""
        asked = self.asked
        return Conversation(with_few_shot(asked.messages, from_json(self.few_shot)), asked.tools)

    @property
    def asked(self) -> Conversation:
        """The messages to answer, with the context before the last of the user, for judges."""
        messages = from_json(self.messages) or ask(self.text).messages
        return Conversation(with_context(messages, self.context), from_json(self.tools))

    @property
    def turns(self) -> list[Turn]:
        """Its turns for people to read; none if its text alone says all."""
        return turns_to_show(self.text, self.messages, self.few_shot, self.tools)


def split_of(opening: str, context: str | None, holdout: float) -> Split:
    """Return the split of a prompt, drawn from its own words: adding prompts never changes it.

    Args:
        opening: The prompt, or the first message of the user in a conversation, so that a dialogue
            and its continuations are on one side.
        context: The text that the prompt is about, if any.
        holdout: Share of the prompts that are held out, 0 to 1.
    """
    drawn = unit_interval("split", opening, context)
    return Split.HOLDOUT if drawn < holdout else Split.TRAIN


def split_of_user(user_id: str, holdout: float) -> Split:
    """Return the split of all prompts of a user, so that no user is on both sides."""
    return Split.HOLDOUT if unit_interval("split of user", user_id) < holdout else Split.TRAIN


class PromptSet(Record):
    """The prompts of a source at one time: a version of the data set."""

    table: ClassVar[str] = "prompt_sets"
    source: str
    prompt_ids: tuple[str, ...]

    def identity(self) -> tuple[Any, ...]:
        return (self.source, sorted(self.prompt_ids))


class Revision(Record):
    """An answer that a model wrote (round 0) or revised (each later round revises its parent).

    Under the principle "abstention" the parent is a wrong answer of the base model, and the
    revision says that the answer is not known.
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
    """One sampled answer. Tokens and log-probabilities are null if the model returned none.

    `reasoning` is what the model thought before the answer; judges never see it.
    """

    table: ClassVar[str] = "candidates"
    prompt_id: str
    model_id: str
    sampling: str
    temperature: float
    max_new_tokens: int
    seed: int
    sample_index: int
    text: str
    reasoning: str | None = None
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    latency_seconds: float = 0.0
    cost_usd: float = 0.0

    @property
    def is_finished(self) -> bool:
        """True if the answer ended by itself; answers of data sets count as complete."""
        return self.finish_reason in FINISHED

    def identity(self) -> tuple[Any, ...]:
        return candidate_identity(
            self.prompt_id, self.model_id, self.sampling, self.seed, self.sample_index
        )


def candidate_identity(
    prompt_id: str, model_id: str, sampling: str, seed: int, sample_index: int
) -> tuple[Any, ...]:
    """Return the fields that identify a candidate, before it is sampled.

    Args:
        prompt_id: Id of the prompt.
        model_id: Id of the model that answers.
        sampling: Hash of the sampling settings.
        seed: Seed of the run.
        sample_index: Number of the answer among those to the prompt, from 0.
    """
    return (prompt_id, model_id, sampling, seed, sample_index)


class Response(Record):
    """The verbatim reply of a judge's model to one question; verdicts are parsed from it.

    `probabilities` is a JSON object with those of the labels or of the first token's alternatives.
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
    """One judge's verdict on one candidate, or on two in the order they were shown."""

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
    """Return 2 P − 1 of two utilities: tanh of half the difference of their log-odds, −1 to 1.

    A utility is tanh(s / 2) of a strength s in log-odds, and therefore ±1 for an infinite strength.
    """
    return 0.0 if utility == other else (utility - other) / (1 - utility * other)


class Ranking(Record):
    """The candidates of one prompt from best to worst, by all judges together.

    Utilities are 2 σ(s) − 1 of Bradley–Terry strengths s, −1 to 1 around an average candidate.
    `parts` is null if every candidate is compared with every other, directly or through others;
    else it numbers the connected part of each, and the order between two parts has no meaning.
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
        """Return by how much the ranking's model prefers left to right, −1 to 1.

        None if one of them is absent, or they are not connected by comparisons.
        """
        if left_id not in self.candidate_ids or right_id not in self.candidate_ids:
            return None
        left, right = (self.candidate_ids.index(id) for id in (left_id, right_id))
        if self.parts is not None and self.parts[left] != self.parts[right]:
            return None
        return margin_of_utilities(self.utilities[left], self.utilities[right])


class Pair(Record):
    """Two candidates of one ranking. Chosen and rejected are null for ties and unscored pairs.

    Margin is 2 P − 1, where P is the judges' probability that the chosen one is better, whatever
    the other candidates of the ranking are: 0 to 1, or up to 2 for imported pairs. Model margin is
    the same for left over right by the model that orders the ranking, −1 to 1, null if it cannot
    compare them. Agreement is the weighted share of the judges with an opinion that prefer the
    chosen answer.
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
        """True if the chosen answer ranks no higher than the rejected one, due to other votes."""
        if self.model_margin is None or self.chosen_id is None:
            return False
        return (self.model_margin if self.chosen_id == self.left_id else -self.model_margin) <= 0


def likely_mode(context: str | None, references: Sequence[str]) -> Mode:
    """Return the mode of a prompt that names none."""
    if context:
        return Mode.TEXT_GROUNDED
    return Mode.KNOWLEDGE_SEEKING if references else Mode.CREATIVE
