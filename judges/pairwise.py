"""A language model says which of two answers is better: local, or behind an endpoint.

A local model answers by the probabilities of its next token, so its label is soft. A remote one
does so where the server gives log-probabilities; elsewhere its words are parsed.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from importlib.resources import files

import torch
from transformers import PreTrainedModel

from judges._base import Contest, Opinion, PairwiseJudge, Workload, verdict
from judges._parsing import label_probability, last_label
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
from rlhf_core.records import Outcome

FIRST, SECOND, TIE = "A", "B", "TIE"
REMOTE_PREFIX = "openai:"
TEMPLATE_TOKENS = 150
TEMPLATE = (files("judges") / "prompts" / "pairwise.txt").read_text(encoding="utf-8")


class PairwiseOptions(EndpointSettings):
    model: str = "smollm2-135m-instruct"
    """A local model (bundled name, folder or hub id), or `openai:NAME` for a remote one."""
    shows_reference: bool = True
    """Put the reference answer, where there is one, into the prompt."""
    top_logprobs: PositiveInt | None = 10
    """Alternatives of the first token to ask a remote model for; null for a server that refuses
    the question."""
    max_tokens: PositiveInt = 8
    """Length of a remote model's verdict."""


class LanguageModelJudge(PairwiseJudge[PairwiseOptions]):
    Options = PairwiseOptions
    code = "1"
    transport = frozenset(
        {
            "base_url",
            "api_key_env",
            "concurrency",
            "timeout_seconds",
            "max_attempts",
            "price_per_million_input_tokens",
            "price_per_million_output_tokens",
        }
    )

    def fixed_text(self) -> str:
        return TEMPLATE

    @property
    def is_remote(self) -> bool:
        return self.options.model.startswith(REMOTE_PREFIX)

    def check(self) -> None:
        if self.is_remote:
            Endpoint(self.options)
        else:
            locate(self.options.model)

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        tokens = TEMPLATE_TOKENS + prompt_tokens + 3 * answer_tokens
        if self.is_remote:
            return Workload(cost_usd=self.options.cost(tokens, self.options.max_tokens))
        return Workload(tokens=tokens, parameters=parameter_count(self.options.model))

    def compare(self, contests: Sequence[Contest]) -> list[Opinion]:
        questions = [self._question(contest) for contest in contests]
        if self.is_remote:
            return self._ask_remote(questions)
        return self._ask_local(questions)

    def _question(self, contest: Contest) -> str:
        """The template, filled in; the mark that fences candidates off cannot be guessed by one."""
        nonce = content_id("nonce", contest.prompt.id, contest.first, contest.second)[:8]
        references = contest.prompt.reference_answers if self.options.shows_reference else ()
        shown = [
            f"\n[{nonce} reference answer]\n{text}\n[{nonce} end]\n" for text in references[:1]
        ]
        return TEMPLATE.format(
            nonce=nonce,
            request=contest.prompt.instruction,
            reference="".join(shown),
            first=contest.first,
            second=contest.second,
        )

    def _ask_remote(self, questions: Sequence[str]) -> list[Opinion]:
        requests = [
            ChatRequest(
                messages=(("user", question),),
                max_tokens=self.options.max_tokens,
                temperature=0.0,
                top_logprobs=self.options.top_logprobs or 0,
            )
            for question in questions
        ]
        return [read_reply(reply) for reply in Endpoint(self.options).complete(requests)]

    def _ask_local(self, questions: Sequence[str]) -> list[Opinion]:
        format_, compute = ChatFormat(self._tokenizer, system_prompt=None), self._compute
        choices = [format_.plain_ids(label)[0] for label in (FIRST, SECOND)]
        prompts = [format_.prompt_ids(question) for question in questions]
        with compute.autocast():
            found = next_token_probabilities(
                self._model, prompts, choices, format_.pad_id, compute.forward_tokens
            )
        return [_read_probabilities(row) for row in found]

    @cached_property
    def _compute(self) -> Compute:
        return choose_compute(ComputeSettings())

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return load_tokenizer(self.options.model)

    @cached_property
    def _model(self) -> PreTrainedModel:
        return load_language_model(self.options.model, self._compute.dtype, self._compute.device)


def read_reply(reply: ChatReply | EndpointError) -> Opinion:
    """A remote answer as an opinion: by probabilities where given, else by its last label."""
    if isinstance(reply, EndpointError):
        return Opinion(Outcome.UNAVAILABLE, reason=str(reply))
    probability = label_probability(reply.first_token, FIRST, SECOND)
    if probability is None:
        label = last_label(reply.text, (FIRST, SECOND, TIE))
        probability = {FIRST: 1.0, SECOND: 0.0, TIE: 0.5, None: None}[label]
    if probability is None:
        opinion = Opinion(Outcome.UNPARSED, reason="the reply names neither answer")
    else:
        opinion = verdict(probability)
    return replace(
        opinion,
        raw_output=reply.text,
        latency_seconds=reply.latency_seconds,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        cost_usd=reply.cost_usd,
    )


def _read_probabilities(row: torch.Tensor) -> Opinion:
    first, second = row.tolist()
    raw_output = json.dumps({FIRST: round(first, 6), SECOND: round(second, 6)})
    if first + second == 0:
        return Opinion(
            Outcome.UNPARSED, raw_output=raw_output, reason="neither label has any probability"
        )
    return verdict(first / (first + second), raw_output)


JUDGE = LanguageModelJudge
