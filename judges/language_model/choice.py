"""What came of one question with a closed set of answers: probabilities, or why there are none."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from judges.language_model.label_mass import bare, label_mass
from judges.language_model.parsing import Stated, stated_verdict
from judges.panel.judge import Opinion
from rlhf_core.errors import EndpointError
from rlhf_core.records import Outcome, Response

MIN_LABEL_MASS = 0.5
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


def read_choice(
    heard: Heard,
    labels: Sequence[str],
    tie: str | None = None,
    min_label_mass: float = MIN_LABEL_MASS,
) -> Choice:
    """Read an answer by the probabilities at the token where its verdict stands, or by its words.

    Args:
        heard: The answer.
        labels: What could be answered.
        tie: The label by which a model says that all labels are alike.
        min_label_mass: Probability of all labels together below which only the words count.
    """
    record = heard.record()
    if record.outcome is not Outcome.SCORED or isinstance(heard.response, EndpointError):
        return Choice(None, record)
    response = heard.response
    is_cut = response.finish_reason == "length"
    said = stated_verdict(response.text, labels, tie, is_cut)
    mass = _mass(response, said, labels, tie)
    total = sum(mass.values())
    if total > 0 and total >= min_label_mass:
        return Choice({label: share / total for label, share in mass.items()}, record)
    if said is not None:
        chosen = tuple(labels) if said.label == tie else (said.label,)
        return Choice({label: float(label in chosen) / len(chosen) for label in labels}, record)
    return Choice(None, replace(record, outcome=Outcome.UNPARSED, reason=_unread(response, total)))


def _mass(
    response: Response, said: Stated | None, labels: Sequence[str], tie: str | None
) -> dict[str, float]:
    """Probability of each label where the verdict stands; none where that is not known."""
    stated = json.loads(response.probabilities or "{}")
    if isinstance(stated, dict):  # of the first token alone, or of a local model's labels
        place = said.place if said is not None else None
        is_first = not response.text or (place is not None and not bare(response.text[:place]))
        return label_mass(stated, labels, tie, "") if is_first else {}
    if said is None or said.place is None:
        return {}
    token = token_at(response.text, [token for token, _ in stated], said.place)
    if token is None:
        return {}
    chosen, alternatives = stated[token]
    return label_mass(alternatives, labels, tie, chosen)


def token_at(text: str, tokens: Sequence[str], place: int) -> int | None:
    """Which of the tokens a place in a text falls into; None where it falls into none.

    A server may strip the text of spaces, give tokens of its beginning or its end alone, or of its
    thoughts too.
    """
    joined = "".join(tokens)
    if not joined.strip():
        return None
    if text.strip() and (inside := joined.rfind(text.strip())) >= 0:
        offset = len(text) - len(text.lstrip()) - inside
    elif text.lstrip().startswith(joined.lstrip()):
        offset = len(text) - len(text.lstrip()) - (len(joined) - len(joined.lstrip()))
    elif text.rstrip().endswith(joined.rstrip()):
        offset = len(text.rstrip()) - len(joined.rstrip())
    else:
        return None
    if place < offset:
        return None
    for number, token in enumerate(tokens):
        offset += len(token)
        if place < offset:
            return number
    return None


def _unread(response: Response, total: float) -> str:
    if response.finish_reason == "length":
        cut = f"the reply was cut off after {response.completion_tokens} tokens"
        return f"{cut}, before it named a label; raise max_tokens"
    if not response.text and response.probabilities:
        return f"the labels have a probability of {total:.1e} together, and there are no words"
    return "the reply names no label" if response.text else "the reply is empty"
