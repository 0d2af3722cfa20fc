"""Queries to a local language model: the probabilities of labels, or a text at temperature 0."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from weakref import WeakValueDictionary

from transformers import PreTrainedModel

from judges.language_model.choice import TOO_LONG
from judges.language_model.label_tokens import LabelTokens
from judges.language_model.parsing import parse_verdict
from judges.language_model.question import Question
from rlhf_core.config.compute import ComputeSettings
from rlhf_core.config.template import TemplateSettings
from rlhf_core.errors import EndpointError
from rlhf_core.models.answers import AnswerReader
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.chat_template import DEFAULTS
from rlhf_core.models.device import Compute, choose_compute
from rlhf_core.models.loading import load_language_model, load_tokenizer
from rlhf_core.models.turn_end import end_ids
from rlhf_core.records import Response
from rlhf_core.sampling.capacity import sampling_tokens
from rlhf_core.sampling.local import Sample, SamplingLimits, sample_on_all_ranks

ALMOST_ZERO = 1e-5
"""Temperature at which the likeliest token has all the probability, except in exact ties."""
UNKNOWN_CONTEXT = 2048
"""Context length in tokens of a model whose config names none."""
Keep = Callable[[int, Response | EndpointError], None]
"""Called with each response and the index of its question, as soon as it is there."""

_loaded: WeakValueDictionary[str, PreTrainedModel] = WeakValueDictionary()
"""Loaded models by name: judges share them, and the last judge to be dropped frees its model."""


@dataclass(frozen=True)
class _Reply:
    text: str
    finish_reason: str
    completion_tokens: int = 0
    probabilities: str | None = None


class LocalModel:
    """A model that runs on this machine; the first query loads it.

    Args:
        name: Bundled name, folder or hub id.
        settings: Settings of its chat template.
        thinking_tokens: Tokens for its thoughts, on top of the length of a reply. They are granted
            to a reply that would have none left.
        compute: Device and precision.
    """

    def __init__(
        self,
        name: str,
        settings: TemplateSettings = DEFAULTS,
        thinking_tokens: int = 4096,
        compute: ComputeSettings | None = None,
    ) -> None:
        self.name, self.settings, self.thinking_tokens = name, settings, thinking_tokens
        self._compute_settings = compute or ComputeSettings()
        self._labels: dict[tuple[str, ...], LabelTokens] = {}

    def check(self) -> None:
        """Refuse settings that the model's chat template does not read.

        Raises:
            ConfigError: If one would do nothing.
        """
        self._chat.template.check()

    def labels(self, labels: Sequence[str]) -> LabelTokens:
        """Return the spellings of these labels in the model's tokenizer.

        Raises:
            ConfigError: If it cannot spell one of them.
        """
        if tuple(labels) not in self._labels:
            self._labels[tuple(labels)] = LabelTokens(self._chat, labels)
        return self._labels[tuple(labels)]

    def answer(self, hashes: Sequence[str], questions: Sequence[Question], keep: Keep) -> None:
        """Answer questions of one kind in batches; prompts that are too long get no answer.

        Args:
            hashes: Request hash of each question.
            questions: All choices with the same labels, or all free texts of the same length.
            keep: Called with each response; one that is too long has that as its finish reason.
        """
        prompts = [self._chat.prompt_ids(question.conversation) for question in questions]
        room = self._context - max(question.max_tokens for question in questions)
        fitting = [place for place, prompt in enumerate(prompts) if len(prompt) <= room]
        for place in sorted(set(range(len(prompts))) - set(fitting)):
            keep(place, self._response(hashes[place], _Reply("", TOO_LONG), len(prompts[place])))
        if not fitting:
            return
        ids = [prompts[place] for place in fitting]
        started = time.perf_counter()
        if questions[0].labels:
            replies = self._choose(ids, questions[0])
        else:
            replies = self._write(ids, questions[0].max_tokens)
        # A batch is computed together, so an answer's latency is its share of the batch's.
        share = (time.perf_counter() - started) / len(fitting)
        for place, reply in zip(fitting, replies, strict=True):
            reply = replace(reply, text=questions[place].prompt.without_mark(reply.text))
            keep(place, self._response(hashes[place], reply, len(prompts[place]), share))

    def _choose(self, prompts: Sequence[Sequence[int]], question: Question) -> list[_Reply]:
        """Return the labels' probabilities; where they are too low, write a reply and read it."""
        masses = self._first_masses(prompts, question.labels)
        replies = [_Reply("", "eos", probabilities=json.dumps(mass)) for mass in masses]
        least = question.min_label_mass
        unsure = [n for n, mass in enumerate(masses) if sum(mass.values()) < least]
        if unsure:
            samples = self._replies([prompts[place] for place in unsure], question.max_tokens)
            for place, sample in zip(unsure, samples, strict=True):
                replies[place] = self._with_mass(
                    prompts[place], sample, masses[place], question.labels
                )
        return replies

    def _with_mass(
        self,
        prompt: Sequence[int],
        written: Sample,
        at_once: Mapping[str, float],
        labels: Sequence[str],
    ) -> _Reply:
        """Return a written reply with the labels' probabilities where it states its verdict."""
        text, finish = self._text(prompt, written.token_ids), written.finish_reason
        verdict = parse_verdict(text, labels, is_cut=finish == "length")
        before = self._tokens_before(prompt, written.token_ids, verdict.place if verdict else None)
        begun = self._text(prompt, written.token_ids[:before])
        tokens: list[tuple[str, Mapping[str, float]]] = [(text, at_once)]
        if before:
            (mass,) = self._mass([[*prompt, *written.token_ids[:before]]], labels)
            tokens = [(begun, {}), (text[len(begun) :], mass)]
        return _Reply(text, finish, len(written.token_ids), json.dumps(tokens))

    def _tokens_before(self, prompt: Sequence[int], ids: Sequence[int], place: int | None) -> int:
        """Return the number of tokens before the one that contains a place in the text."""
        if place is None:
            return 0
        # From the end, where a model that thinks first states its verdict.
        return next(
            n for n in range(len(ids) - 1, -1, -1) if len(self._text(prompt, ids[:n])) <= place
        )

    def _first_masses(
        self, prompts: Sequence[Sequence[int]], labels: Sequence[str]
    ) -> list[dict[str, float]]:
        """Return the labels' probabilities at once; 0 if the prompt opens the model's thoughts."""
        if any(self._reader.opened(prompt) for prompt in prompts):
            return [dict.fromkeys(labels, 0.0) for _ in prompts]
        return self._mass(prompts, labels)

    def _mass(
        self, prompts: Sequence[Sequence[int]], labels: Sequence[str]
    ) -> list[dict[str, float]]:
        with self._compute.autocast():
            return self.labels(labels).mass(self._model, prompts, self._compute.forward_tokens)

    def _write(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[_Reply]:
        samples = self._replies(prompts, max_tokens)
        return [
            _Reply(self._text(prompt, one.token_ids), one.finish_reason, len(one.token_ids))
            for prompt, one in zip(prompts, samples, strict=True)
        ]

    def _text(self, prompt: Sequence[int], ids: Sequence[int]) -> str:
        """Return the text of a reply, with the model's thoughts between marks."""
        return self._reader.read(prompt, ids).whole

    def _replies(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Sample]:
        """Return replies; those that were lost in thought are written once more, with more tokens.

        At temperature 0 the longer reply begins with the shorter one.
        """
        samples = self._sample(prompts, max_tokens)
        lost = [
            place
            for place, (prompt, sample) in enumerate(zip(prompts, samples, strict=True))
            if sample.finish_reason == "length"
            and self._reader.read(prompt, sample.token_ids).is_lost
        ]
        if lost:
            again = [prompts[place] for place in lost]
            room = self._context - max(map(len, again))
            longer = self._sample(again, min(max_tokens + self.thinking_tokens, room))
            for place, sample in zip(lost, longer, strict=True):
                samples[place] = sample
        return samples

    def _sample(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Sample]:
        limits = SamplingLimits(max_tokens, ALMOST_ZERO, self._end_ids, self._chat.pad_id)
        seeds = [[0] for _ in prompts]
        longest = max(map(len, prompts), default=0) + max_tokens
        tokens = sampling_tokens(self._model, self._compute, longest)
        with self._compute.autocast():
            samples = sample_on_all_ranks(self._model, prompts, seeds, limits, tokens)
        return [sample for (sample,) in samples]

    def _response(
        self, request_hash: str, reply: _Reply, prompt_tokens: int, latency_seconds: float = 0.0
    ) -> Response:
        return Response(
            request_hash=request_hash,
            model=self.name,
            prompt_tokens=prompt_tokens,
            latency_seconds=latency_seconds,
            **vars(reply),
        )

    @cached_property
    def _compute(self) -> Compute:
        return choose_compute(self._compute_settings)

    @cached_property
    def _chat(self) -> ChatFormat:
        return ChatFormat(load_tokenizer(self.name), None, self.settings)

    @cached_property
    def _reader(self) -> AnswerReader:
        return AnswerReader(self._chat.tokenizer, self._end_ids)

    @cached_property
    def _end_ids(self) -> frozenset[int]:
        return end_ids(self._model, self._chat.tokenizer)

    @cached_property
    def _model(self) -> PreTrainedModel:
        model = _loaded.get(self.name)
        if model is None:
            model = load_language_model(self.name, self._compute.dtype, self._compute.device)
            _loaded[self.name] = model
        return model

    @cached_property
    def _context(self) -> int:
        """Number of tokens the model can read and write."""
        config = self._model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", UNKNOWN_CONTEXT))
