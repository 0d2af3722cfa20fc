"""The base classes of judges: a judge is a function over a batch of texts, with a version.

Each file of judges/ is a judge, named by its file. It defines a subclass of PointwiseJudge or
PairwiseJudge and assigns it to `JUDGE`; README.md shows how. Presentation orders and weights are
the panel's work.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from judges.panel.ledger import Ledger
from rlhf_core.config import JudgeSettings, Settings
from rlhf_core.config.deciding import deciding
from rlhf_core.identity import content_id
from rlhf_core.records import Outcome, Prompt

AnyOptions = TypeVar("AnyOptions", bound=Settings)
REMOTE_PREFIX = "openai:"
"""Beginning of a remote model's name in a config."""
NOT_BEGUN = "the answer was cut off before it began"
"""Reason of an abstention: the model spent all its tokens on thoughts, say."""


@dataclass(frozen=True)
class Answer:
    """One candidate answer, as a pointwise judge sees it."""

    prompt: Prompt
    text: str
    is_finished: bool = True
    """True if the answer ended by itself; False if it was cut off at the token limit."""

    @property
    def has_begun(self) -> bool:
        """False if the answer was cut off before its first word, so that there is none to judge."""
        return self.is_finished or bool(self.text)


@dataclass(frozen=True)
class Contest:
    """Two candidate answers, as a pairwise judge sees them, in the order they are shown."""

    prompt: Prompt
    first: str
    second: str
    first_is_finished: bool = True
    second_is_finished: bool = True

    @property
    def answers(self) -> tuple[Answer, Answer]:
        """The two answers, each as a pointwise judge would see it."""
        return (
            Answer(self.prompt, self.first, self.first_is_finished),
            Answer(self.prompt, self.second, self.second_is_finished),
        )


@dataclass(frozen=True)
class Opinion:
    """A judge's verdict, with what it cost.

    `score` is 0 to 1, higher is better; `probability` is that of the first being better. `reason`
    says why there is neither. `raw_output` shows people what the verdict was computed from; the
    model's own words are in the responses that `response_ids` name.
    """

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


@dataclass(frozen=True)
class Workload:
    """The estimated cost of one judgement, for the plan."""

    tokens: float = 0.0
    """Tokens that a local model reads."""
    parameters: int = 0
    """Number of that model's parameters."""
    cost_usd: float = 0.0
    """Price of the remote model."""


class Judge(ABC, Generic[AnyOptions]):
    """Base class of all judges. Constructing one is cheap; models are loaded when first needed.

    Args:
        options: The settings of its kind.
        ledger: Cache of earlier replies, for judges that query language models.
    """

    Options: type[AnyOptions]
    """The settings of this kind, with their documentation and defaults."""
    code: ClassVar[str]
    """Version of the code. Change it with every edit that changes verdicts: prompt, parser,
    arithmetic."""

    def __init__(self, options: AnyOptions, ledger: Ledger | None = None) -> None:
        self.options = options
        self.ledger = ledger or Ledger()

    @property
    def batch(self) -> int:
        """Number of judgements per call."""
        return 256

    @cached_property
    def version(self) -> str:
        """Kind and hash of everything that decides a verdict; options marked ASIDE do not."""
        from judges.panel.registry import load  # which imports this file

        options = deciding(self.options, lambda settings: load(settings).version)
        return f"{self.kind}-{content_id(self.code, options, self.fixed_text())[:8]}"

    @property
    def kind(self) -> str:
        return self.kind_name()

    @classmethod
    def kind_name(cls) -> str:
        """Return the name of its file."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def summary(cls) -> str:
        """Return the first line of its file's docstring."""
        return (sys.modules[cls.__module__].__doc__ or "").strip().splitlines()[0]

    def fixed_text(self) -> str:
        """Return the prompt templates and other texts that the version must cover."""
        return ""

    def models(self) -> tuple[str, ...]:
        """Return the models behind its verdicts, as its options name them."""
        named = getattr(self.options, "model", None)
        return (named,) if isinstance(named, str) else ()

    @property
    def is_remote(self) -> bool:
        """True if a server answers for a model of it: its provider may change it unannounced."""
        return any(model.startswith(REMOTE_PREFIX) for model in self.models())

    def members(self) -> "tuple[Judge[Any], ...]":
        """Return the judges whose verdicts it combines, without those that have no weight."""
        return ()

    def check(self) -> None:
        """Refuse, cheaply, what would fail later, such as a missing model.

        Raises:
            InputError: If something is missing or wrong; the message says what would be right.
        """

    def check_machine(self) -> None:
        """Refuse a machine that lacks a program the judge needs, before a run spends anything.

        Raises:
            ConfigError: If something is missing; the message names the command that installs it.
        """

    def preflight(self) -> None:
        """Send each remote model behind its verdicts one tiny request, once a run.

        Raises:
            EndpointError: If a server does not answer; the message quotes the server.
        """

    def member_outcomes(
        self, raw_output: str | None
    ) -> list[tuple[JudgeSettings, Outcome, str | None]]:
        """Return the outcome and reason of each member judge, read from a verdict's raw output."""
        return []

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        """Estimate the cost of one judgement for a prompt and answers of that length."""
        return Workload()


class PointwiseJudge(Judge[AnyOptions]):
    @abstractmethod
    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        """Return an opinion on each answer, in order: a score, or the reason there is none."""


class PairwiseJudge(Judge[AnyOptions]):
    @abstractmethod
    def compare(self, contests: Sequence[Contest]) -> list[Opinion]:
        """Return an opinion on each contest, in order: first, second, tie, or why none."""


def scored(score: float, raw_output: str | None = None) -> Opinion:
    return Opinion(Outcome.SCORED, score=min(max(score, 0.0), 1.0), raw_output=raw_output)


def abstains(reason: str) -> Opinion:
    return Opinion(Outcome.ABSTAINS, reason=reason)


def verdict(probability: float, raw_output: str | None = None) -> Opinion:
    """Return an opinion on a contest from the probability that the first answer is better."""
    outcome = Outcome.TIE
    if probability != 0.5:
        outcome = Outcome.FIRST if probability > 0.5 else Outcome.SECOND
    return Opinion(outcome, probability=probability, raw_output=raw_output)


def with_costs(opinion: Opinion, records: Sequence[Opinion]) -> Opinion:
    """Return the opinion with the summed costs of the records; each response counts once."""
    by_response = {
        record.response_ids or place: record for place, record in enumerate(records)
    }.values()
    return replace(
        opinion,
        response_ids=tuple(name for record in by_response for name in record.response_ids),
        latency_seconds=sum(record.latency_seconds for record in by_response),
        prompt_tokens=sum(record.prompt_tokens for record in by_response),
        completion_tokens=sum(record.completion_tokens for record in by_response),
        cost_usd=sum(record.cost_usd for record in by_response),
    )
