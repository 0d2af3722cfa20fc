"""The model's choice among a closed set of labels: their probabilities, or why there are none."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from judges.language_model.label_mass import SPACES, bare_token, label_mass
from judges.language_model.parsing import ParsedVerdict, parse_verdict
from judges.language_model.structured import parse_json_verdict
from judges.panel.judge import Opinion
from rlhf_core.endpoints.chat_completion import CALLED, FILTERED, REFUSED
from rlhf_core.endpoints.retries import one_line
from rlhf_core.errors import EndpointError
from rlhf_core.records import Outcome, Response
from rlhf_core.text.thoughts import split_thoughts

MIN_LABEL_MASS = 0.5
TOO_LONG = "too_long"
"""Finish reason of a prompt that is longer than its model can read."""


@dataclass(frozen=True)
class ModelReply:
    """A model's reply to a question, or the error that prevented it."""

    response: Response | EndpointError
    is_new: bool
    """True if the model was queried now; a cached reply costs nothing."""

    def record(self) -> Opinion:
        """Return an opinion with the reply's costs; if it cannot be read, with the reason."""
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
        if missing := _no_answer(self.response):
            return replace(record, outcome=Outcome.UNPARSED, reason=missing)
        return record

    @property
    def text(self) -> str | None:
        """The answer of the reply, without the model's thoughts; None if there is none to read."""
        if isinstance(self.response, EndpointError) or self.response.finish_reason == TOO_LONG:
            return None
        return None if _no_answer(self.response) else split_thoughts(self.response.text)[1]


@dataclass(frozen=True)
class Choice:
    """Probabilities of the labels, or the reason why there are none."""

    probabilities: dict[str, float] | None
    """The probabilities, by label; they sum to 1."""
    record: Opinion
    """The costs of the query and, without probabilities, outcome and reason."""
    rationale: str | None = None
    """The model's reasons, if the reply has them beside its verdict."""

    def as_opinion(self, opinion: Opinion) -> Opinion:
        """Return the verdict of an opinion with the costs of this query."""
        return replace(
            self.record,
            outcome=opinion.outcome,
            score=opinion.score,
            probability=opinion.probability,
            raw_output=opinion.raw_output or json.dumps(self.details()),
        )

    def details(self) -> dict[str, float | str]:
        """Return probabilities, rounded for people, and the rationale."""
        shares = {label: round(p, 4) for label, p in (self.probabilities or {}).items()}
        return {**shares, "rationale": self.rationale} if self.rationale else dict(shares)


def _no_answer(response: Response) -> str | None:
    """Return why a reply has no answer at all; None if it has one, be it an unreadable one."""
    thoughts, answer = split_thoughts(response.text)
    if response.finish_reason == FILTERED:
        return "the server's content filter withheld the reply"
    if response.finish_reason == REFUSED:
        return f"the model refused to answer: {one_line(answer)}"
    if response.finish_reason == CALLED and not answer.strip():
        return "the model only called a tool"
    if response.finish_reason == "length" and not answer.strip():
        spent = f"the reply was cut off after {response.completion_tokens} tokens"
        more = "thinking_tokens, or lower reasoning_effort" if thoughts else "max_tokens"
        return f"{spent}, before its answer began; raise {more}"
    return None


def read_choice(
    reply: ModelReply,
    labels: Sequence[str],
    tie: str | None = None,
    min_label_mass: float = MIN_LABEL_MASS,
    reads_words: bool = True,
) -> Choice:
    """Read a reply by the probabilities at the token where its verdict stands, or by its words.

    The words may be a JSON object with a verdict.

    Args:
        reply: The model's reply.
        labels: The labels it could choose from.
        tie: The label that stands for a tie of all labels.
        min_label_mass: Total probability of the labels below which only the words count.
        reads_words: False if a reply without such probabilities has no verdict.

    Returns:
        The labels' probabilities, 0 or 1 (in a tie, equal) if they were read from the words.
    """
    record = reply.record()
    if record.outcome is not Outcome.SCORED or isinstance(reply.response, EndpointError):
        return Choice(None, record)
    response = reply.response
    is_cut = response.finish_reason == "length"
    said = parse_json_verdict(response.text, labels if tie is None else (*labels, tie))
    verdict = said.verdict if said else parse_verdict(response.text, labels, tie, is_cut)
    rationale = said.rationale if said else None
    mass = _mass(response, verdict, labels, tie)
    total = sum(mass.values())
    if total > 0 and total >= min_label_mass:
        return Choice({label: share / total for label, share in mass.items()}, record, rationale)
    if verdict is not None and reads_words:
        chosen = tuple(labels) if verdict.label == tie else (verdict.label,)
        shares = {label: float(label in chosen) / len(chosen) for label in labels}
        return Choice(shares, record, rationale)
    if not reads_words and verdict is not None:
        reason = f"the labels have a probability of {total:.1e} together at the verdict"
        return Choice(None, replace(record, outcome=Outcome.UNPARSED, reason=reason))
    return Choice(None, replace(record, outcome=Outcome.UNPARSED, reason=_unread(response, total)))


def _mass(
    response: Response, verdict: ParsedVerdict | None, labels: Sequence[str], tie: str | None
) -> dict[str, float]:
    """Return each label's probability at the verdict's token; empty if that is not known."""
    by_token = json.loads(response.probabilities or "{}")
    if isinstance(by_token, dict):  # of the first token alone, or of a local model's labels
        place = verdict.place if verdict is not None else None
        is_first = not response.text or (
            place is not None and not bare_token(response.text[:place])
        )
        return label_mass(by_token, labels, tie, "") if is_first else {}
    if verdict is None or verdict.place is None:
        return {}
    token = token_index_at(response.text, [token for token, _ in by_token], verdict.place)
    if token is None:
        return {}
    chosen, alternatives = by_token[token]
    return label_mass(alternatives, labels, tie, chosen)


def token_index_at(text: str, tokens: Sequence[str], place: int) -> int | None:
    """Return the index of the token that contains a place in a text.

    A server may strip spaces from the text, return the tokens of its beginning or end only, those
    of the model's thoughts too, or tokens as its tokenizer spells them.

    Args:
        text: The text of the reply.
        tokens: Its tokens, as the server returned them.
        place: Index of a character of the text.

    Returns:
        An index into the tokens; None if no token contains the place.
    """
    start = len(text) - len(split_thoughts(text)[1].lstrip())
    if text[start:].strip() and place >= start:
        text, place = text[start:], place - start
    index = _token_index(text, tokens, place)
    if index is None and any(mark in token for token in tokens for mark in SPACES):
        plain = str.maketrans(SPACES)
        return _token_index(text, [token.translate(plain) for token in tokens], place)
    return index


def _token_index(text: str, tokens: Sequence[str], place: int) -> int | None:
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
        more = "rationale_tokens" if parse_json_verdict(response.text, ()) else "max_tokens"
        return f"{cut}, before it named a label; raise {more}"
    if not response.text and response.probabilities:
        return f"the labels have a probability of {total:.1e} together, and there are no words"
    return "the reply names no label" if response.text else "the reply is empty"
