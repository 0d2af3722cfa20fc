"""What came of one question with a closed set of answers: probabilities, or why there are none."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from judges._base import Opinion
from judges._parsing import label_probabilities, verdict_label
from rlhf_core.errors import EndpointError
from rlhf_core.records import Outcome, Response

TOO_LONG = "too_long"
"""Finish reason of a question that is longer than its model can read."""


@dataclass(frozen=True)
class Heard:
    """A model's answer to a question, or why there is none."""

    response: Response | EndpointError
    is_new: bool
    """Whether it was asked now; what it cost counts only then."""

    def record(self) -> Opinion:
        """Outcome and reason where nothing can be read; else a record to read a verdict into."""
        if isinstance(self.response, EndpointError):
            return Opinion(Outcome.UNAVAILABLE, reason=str(self.response))
        record = Opinion(Outcome.SCORED, response_ids=(self.response.id,))
        if self.is_new:
            record = replace(
                record,
                latency_seconds=self.response.latency_seconds,
                prompt_tokens=self.response.prompt_tokens,
                completion_tokens=self.response.completion_tokens,
                cost_usd=self.response.cost_usd,
            )
        if self.response.finish_reason == TOO_LONG:
            reason = f"the question is too long: {self.response.prompt_tokens} tokens"
            return replace(record, outcome=Outcome.ABSTAINS, reason=reason)
        return record

    @property
    def text(self) -> str | None:
        """The words; None where there are none to read."""
        if isinstance(self.response, EndpointError) or self.response.finish_reason == TOO_LONG:
            return None
        return self.response.text


@dataclass(frozen=True)
class Choice:
    """Probabilities of the labels, or the opinion that there are none."""

    probabilities: dict[str, float] | None
    """They sum to 1."""
    record: Opinion
    """What it took and, where there are no probabilities, outcome and reason."""

    def as_opinion(self, opinion: Opinion) -> Opinion:
        """An opinion drawn from the probabilities, with what the question took."""
        return replace(
            self.record,
            outcome=opinion.outcome,
            score=opinion.score,
            probability=opinion.probability,
            raw_output=opinion.raw_output or self.shown,
        )

    @property
    def shown(self) -> str:
        return shown(self.probabilities or {})


def shown(probabilities: Mapping[str, float]) -> str:
    """Probabilities as a JSON object, for people."""
    return json.dumps({label: round(share, 4) for label, share in probabilities.items()})


def read_choice(heard: Heard, labels: Sequence[str], tie: str | None = None) -> Choice:
    """Read an answer: by probabilities where the model gave them, else by the verdict it states.

    Args:
        heard: The answer.
        labels: What could be answered.
        tie: The label by which a model says that all labels are alike.
    """
    record = heard.record()
    if record.outcome is not Outcome.SCORED or isinstance(heard.response, EndpointError):
        return Choice(None, record)
    stated = json.loads(heard.response.probabilities or "{}")
    probabilities = label_probabilities(stated, labels)
    if probabilities is None:
        said = verdict_label(heard.response.text, labels, tie)
        if said is None:
            reason = "no label has any probability" if stated else "the reply names no label"
            return Choice(None, replace(record, outcome=Outcome.UNPARSED, reason=reason))
        chosen = tuple(labels) if said == tie else (said,)
        probabilities = {label: float(label in chosen) / len(chosen) for label in labels}
    return Choice(probabilities, record)
