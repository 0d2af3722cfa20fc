"""A language model that answers with one of a few labels: local, or behind an endpoint.

A local model answers by the probabilities of its next token, so its answer is soft. A remote one
does so where the server gives log-probabilities; elsewhere its words are parsed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from transformers import PreTrainedModel

from judges._base import Opinion, Workload
from judges._parsing import label_probabilities, last_label
from rlhf_core.config.tree import ComputeSettings, EndpointSettings, PositiveInt
from rlhf_core.errors import EndpointError
from rlhf_core.identity import content_id
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.device import Compute, choose_compute
from rlhf_core.models.endpoint import ChatReply, ChatRequest, Endpoint
from rlhf_core.models.loading import (
    Tokenizer,
    load_language_model,
    load_tokenizer,
    locate,
    parameter_count,
)
from rlhf_core.models.next_token import next_token_probabilities
from rlhf_core.records import Outcome, Prompt

REMOTE_PREFIX = "openai:"
TRANSPORT = frozenset(
    {
        "base_url",
        "api_key_env",
        "concurrency",
        "timeout_seconds",
        "max_attempts",
        "requests_per_minute",
        "tokens_per_minute",
        "deadline_seconds",
        "delivery",
        "batch_discount",
        "batch_poll_seconds",
        "price_per_million_input_tokens",
        "price_per_million_output_tokens",
    }
)
"""Options that say how the model is reached, not what it says."""


class LanguageModelOptions(EndpointSettings):
    model: str = "smollm2-135m-instruct"
    """A local model (bundled name, folder or hub id), or `openai:NAME` for a remote one."""
    top_logprobs: PositiveInt | None = 10
    """Alternatives of the first token to ask a remote model for; null for a server that refuses
    the question."""
    max_tokens: PositiveInt = 8
    """Length of a remote model's verdict."""


@dataclass(frozen=True)
class Choice:
    """What came of one question: probabilities of the labels, or the opinion that there is none."""

    probabilities: dict[str, float] | None
    """They sum to 1."""
    record: Opinion
    """Raw output, cost and, where there are no probabilities, outcome and reason."""

    def as_opinion(self, opinion: Opinion) -> Opinion:
        """An opinion drawn from the probabilities, with what the question took."""
        return replace(
            self.record,
            outcome=opinion.outcome,
            score=opinion.score,
            probability=opinion.probability,
        )


class LanguageModel:
    """The model that the options name; it is loaded when it is first asked."""

    def __init__(self, options: LanguageModelOptions) -> None:
        self.options = options

    @property
    def is_remote(self) -> bool:
        return self.options.model.startswith(REMOTE_PREFIX)

    def check(self) -> None:
        if self.is_remote:
            Endpoint(self.options)
        else:
            locate(self.options.model)

    def workload(self, tokens: float) -> Workload:
        """Of one question of that many tokens."""
        if self.is_remote:
            return Workload(cost_usd=self.options.cost(tokens, self.options.max_tokens))
        return Workload(tokens=tokens, parameters=parameter_count(self.options.model))

    def choose(
        self, questions: Sequence[str], labels: Sequence[str], ties: Sequence[str] = ()
    ) -> list[Choice]:
        """Which label the model answers each question with.

        Args:
            questions: Each a whole prompt.
            labels: What it may answer; of a local model each must begin with a token of its own.
            ties: Words by which a remote model says that all labels are alike.
        """
        if self.is_remote:
            replies = Endpoint(self.options).complete([self._request(q) for q in questions])
            return [read_reply(reply, labels, ties) for reply in replies]
        return self._choose_locally(questions, labels)

    def _request(self, question: str) -> ChatRequest:
        return ChatRequest(
            messages=(("user", question),),
            max_tokens=self.options.max_tokens,
            temperature=0.0,
            top_logprobs=self.options.top_logprobs or 0,
        )

    def _choose_locally(self, questions: Sequence[str], labels: Sequence[str]) -> list[Choice]:
        chat, compute = ChatFormat(self._tokenizer, system_prompt=None), self._compute
        tokens = [chat.plain_ids(label)[0] for label in labels]
        prompts = [chat.prompt_ids(question) for question in questions]
        with compute.autocast():
            found = next_token_probabilities(
                self._model, prompts, tokens, chat.pad_id, compute.forward_tokens
            )
        return [read_probabilities(dict(zip(labels, row, strict=True))) for row in found.tolist()]

    @cached_property
    def _compute(self) -> Compute:
        return choose_compute(ComputeSettings())

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return load_tokenizer(self.options.model)

    @cached_property
    def _model(self) -> PreTrainedModel:
        return load_language_model(self.options.model, self._compute.dtype, self._compute.device)


def fenced(template: str, prompt: Prompt, shows_reference: bool, **written: str) -> str:
    """A judge's template, filled in; the mark that fences candidates off cannot be guessed by one.

    Args:
        template: Names `nonce`, `request`, `reference` and every key of `written`.
        prompt: What was asked.
        shows_reference: Whether its first reference answer, if any, is shown.
        written: What candidates wrote, and plain settings of the judge.
    """
    nonce = content_id("nonce", prompt.id, *written.values())[:8]
    references = prompt.reference_answers[:1] if shows_reference else ()
    shown = [f"\n[{nonce} reference answer]\n{text}\n[{nonce} end]\n" for text in references]
    return template.format(
        nonce=nonce, request=prompt.instruction, reference="".join(shown), **written
    )


def read_probabilities(mass: dict[str, float]) -> Choice:
    """A choice from how likely each label is as the next token."""
    raw_output = json.dumps({label: round(share, 6) for label, share in mass.items()})
    total = sum(mass.values())
    if total == 0:
        reason = "no label has any probability"
        return Choice(None, Opinion(Outcome.UNPARSED, raw_output=raw_output, reason=reason))
    probabilities = {label: share / total for label, share in mass.items()}
    return Choice(probabilities, Opinion(Outcome.SCORED, raw_output=raw_output))


def read_reply(
    reply: ChatReply | EndpointError, labels: Sequence[str], ties: Sequence[str] = ()
) -> Choice:
    """A choice from a remote answer: by probabilities where given, else by its last label."""
    if isinstance(reply, EndpointError):
        return Choice(None, Opinion(Outcome.UNAVAILABLE, reason=str(reply)))
    record = Opinion(
        Outcome.SCORED,
        raw_output=reply.text,
        latency_seconds=reply.latency_seconds,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        cost_usd=reply.cost_usd,
    )
    probabilities = label_probabilities(reply.first_token, labels)
    if probabilities is None:
        said = last_label(reply.text, (*labels, *ties))
        if said is None:
            reason = "the reply names no label"
            return Choice(None, replace(record, outcome=Outcome.UNPARSED, reason=reason))
        chosen = labels if said in ties else (said,)
        probabilities = {label: float(label in chosen) / len(chosen) for label in labels}
    return Choice(probabilities, record)
