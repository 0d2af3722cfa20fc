"""What a judge is: a function over a batch, with a version. Orders and weights are the panel's.

A file in this folder without a leading underscore is a judge, named by its file. It defines a
subclass of PointwiseJudge or PairwiseJudge and names it in `JUDGE`. README.md shows how.
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


@dataclass(frozen=True)
class Answer:
    """One candidate before a pointwise judge."""

    prompt: Prompt
    text: str
    is_finished: bool = True
    """Whether it ended by itself; one that was cut off has no end that a model could read."""


@dataclass(frozen=True)
class Contest:
    """Two candidates before a pairwise judge, in the order they are shown."""

    prompt: Prompt
    first: str
    second: str
    first_is_finished: bool = True
    second_is_finished: bool = True

    @property
    def answers(self) -> tuple[Answer, Answer]:
        """The two, each by itself."""
        return (
            Answer(self.prompt, self.first, self.first_is_finished),
            Answer(self.prompt, self.second, self.second_is_finished),
        )


@dataclass(frozen=True)
class Opinion:
    """What a judge came to.

    `score` is 0 to 1, higher is better; `probability` is that of the first being better. `reason`
    says why there is neither. `raw_output` is what the verdict was made of, for people; what a
    model said word for word stands in the responses that it was read from.
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
    """What one call takes: for the plan, before anything is called."""

    tokens: float = 0.0
    """Through a local model."""
    parameters: int = 0
    """Of that model."""
    cost_usd: float = 0.0
    """Paid to a remote one."""


class Judge(ABC, Generic[AnyOptions]):
    """Base of all judges. Constructing one is cheap; models are loaded when first needed.

    Args:
        options: The settings of its kind.
        ledger: Where a judge that asks language models finds what they said before.
    """

    Options: type[AnyOptions]
    """The settings of this kind, with their documentation and defaults."""
    code: ClassVar[str]
    """Changed by hand with everything that changes verdicts: prompt, parser, arithmetic."""

    def __init__(self, options: AnyOptions, ledger: Ledger | None = None) -> None:
        self.options = options
        self.ledger = ledger or Ledger()

    @property
    def batch(self) -> int:
        """How many judgements to ask for at once."""
        return 256

    @cached_property
    def version(self) -> str:
        """Kind and hash of all that decides a verdict; options marked ASIDE do not."""
        from judges.panel.registry import load  # which imports this file

        options = deciding(self.options, lambda settings: load(settings).version)
        return f"{self.kind}-{content_id(self.code, options, self.fixed_text())[:8]}"

    @property
    def kind(self) -> str:
        return self.kind_name()

    @classmethod
    def kind_name(cls) -> str:
        """The name of its file."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def summary(cls) -> str:
        """The first line of its file's documentation."""
        return (sys.modules[cls.__module__].__doc__ or "").strip().splitlines()[0]

    def fixed_text(self) -> str:
        """Prompt templates and the like that the version must cover."""
        return ""

    def models(self) -> tuple[str, ...]:
        """The models behind its verdicts, as its options name them."""
        named = getattr(self.options, "model", None)
        return (named,) if isinstance(named, str) else ()

    def members(self) -> "tuple[Judge[Any], ...]":
        """The judges whose verdicts its own are made of; those that decide nothing are left out."""
        return ()

    def check(self) -> None:
        """Refuse what would fail later, such as a model that is not there; cheap.

        Raises:
            InputError: With what would be right.
        """

    def check_machine(self) -> None:
        """Refuse a machine that lacks what the judge runs on, before a run spends anything.

        Raises:
            ConfigError: With the command that installs it.
        """

    def preflight(self) -> None:
        """Ask each remote model behind its verdicts one tiny question, once a run.

        Raises:
            EndpointError: With the words of a server that does not answer it.
        """

    def members_said(
        self, raw_output: str | None
    ) -> list[tuple[JudgeSettings, Outcome, str | None]]:
        """Outcome and reason of each judge that it asks, as a verdict's raw output tells them."""
        return []

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        """What one call takes for a prompt and answers of that length."""
        return Workload()


class PointwiseJudge(Judge[AnyOptions]):
    @abstractmethod
    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        """An opinion on each answer, in order: scored, or why not."""


class PairwiseJudge(Judge[AnyOptions]):
    @abstractmethod
    def compare(self, contests: Sequence[Contest]) -> list[Opinion]:
        """An opinion on each contest, in order: first, second, tie, or why not."""


def scored(score: float, raw_output: str | None = None) -> Opinion:
    return Opinion(Outcome.SCORED, score=min(max(score, 0.0), 1.0), raw_output=raw_output)


def abstains(reason: str) -> Opinion:
    return Opinion(Outcome.ABSTAINS, reason=reason)


def verdict(probability: float, raw_output: str | None = None) -> Opinion:
    """An opinion on a contest from the probability that the first is better."""
    outcome = Outcome.TIE
    if probability != 0.5:
        outcome = Outcome.FIRST if probability > 0.5 else Outcome.SECOND
    return Opinion(outcome, probability=probability, raw_output=raw_output)


def together(opinion: Opinion, records: Sequence[Opinion]) -> Opinion:
    """An opinion with what several questions took; each response counts once."""
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
