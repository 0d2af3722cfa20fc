"""A language model that judges ask: local, or behind an endpoint; each question once a ledger.

A local model answers a choice by the probabilities of its next token, so its answer is soft. A
remote one does so where the server gives log-probabilities; elsewhere its words are parsed.
"""

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

from judges._base import Judge, Workload
from judges._choice import Choice, Heard, read_choice
from judges._ledger import Ledger
from judges._local_model import LocalModel
from judges._parsing import PARSER
from judges._question import Question
from rlhf_core.config.base import PositiveInt
from rlhf_core.config.tree import EndpointSettings
from rlhf_core.errors import EndpointError
from rlhf_core.identity import content_id
from rlhf_core.models.batch_files import LINES_AT_MOST
from rlhf_core.models.endpoint import ChatReply, ChatRequest, Endpoint
from rlhf_core.models.loading import locate, parameter_count
from rlhf_core.records import Response

REMOTE_PREFIX = "openai:"


class LanguageModelOptions(EndpointSettings):
    model: str = "smollm2-135m-instruct"
    """A local model (bundled name, folder or hub id), or `openai:NAME` for a remote one."""
    top_logprobs: PositiveInt | None = 10
    """Alternatives of the first token to ask a remote model for; null for a server that refuses
    the question."""
    max_tokens: PositiveInt = 8
    """Length of a remote model's verdict."""


AnyModelOptions = TypeVar("AnyModelOptions", bound=LanguageModelOptions)


class LanguageModel:
    """The model that the options name; it is loaded when it is first asked.

    Args:
        options: Which model, and how it is reached.
        ledger: What was answered before.
    """

    def __init__(self, options: LanguageModelOptions, ledger: Ledger) -> None:
        self.options = options
        self.ledger = ledger
        self._local = LocalModel(options.model)

    @property
    def is_remote(self) -> bool:
        return self.options.model.startswith(REMOTE_PREFIX)

    def check(self) -> None:
        if self.is_remote:
            Endpoint(self.options)
        else:
            locate(self.options.model)

    def workload(self, tokens: float, calls: int = 1, written: int | None = None) -> Workload:
        """Of so many questions of that many tokens in all, each with an answer of `written`."""
        answers = calls * (self.options.max_tokens if written is None else written)
        if self.is_remote:
            return Workload(cost_usd=self.options.cost(tokens, answers))
        return Workload(tokens=tokens, parameters=parameter_count(self.options.model))

    def choose(
        self, questions: Sequence[str], labels: Sequence[str], tie: str | None = None
    ) -> list[Choice]:
        """Which label the model answers each question with.

        Args:
            questions: Each a whole prompt.
            labels: What it may answer; of a local model each must begin with a token of its own.
            tie: The word by which a remote model says that all labels are alike.
        """
        asked = [Question(text, self.options.max_tokens, tuple(labels)) for text in questions]
        return [read_choice(heard, labels, tie) for heard in self.ask(asked)]

    def write(self, questions: Sequence[str], max_tokens: int) -> list[Heard]:
        """What the model writes to each question, at temperature 0."""
        return self.ask([Question(text, max_tokens) for text in questions])

    def ask(self, questions: Sequence[Question]) -> list[Heard]:
        """An answer to each question, in order; those the ledger knows are not asked again."""
        hashes = [self._hash(question) for question in questions]
        known: Mapping[str, Response | EndpointError] = self.ledger.known(set(hashes))
        missing = {h: q for h, q in zip(hashes, questions, strict=True) if h not in known}
        answers = {**known, **self._answers(missing)}
        heard = []
        for name in hashes:
            heard.append(Heard(answers[name], is_new=missing.pop(name, None) is not None))
        return heard

    def _answers(self, missing: Mapping[str, Question]) -> dict[str, Response | EndpointError]:
        if not self.ledger.may_ask:
            return {name: EndpointError("not asked before") for name in missing}
        answers: dict[str, Response | EndpointError] = {}
        hashes = list(missing)

        def keep(index: int, response: Response | EndpointError) -> None:
            answers[hashes[index]] = response
            if isinstance(response, Response):
                self.ledger.add(response)

        asked = list(missing.values())
        if self.is_remote:
            self._ask_remotely(hashes, asked, keep)
        elif asked:
            self._local.answer(hashes, asked, keep)
        self.ledger.flush()
        return answers

    def _ask_remotely(
        self,
        hashes: Sequence[str],
        questions: Sequence[Question],
        keep: Callable[[int, Response | EndpointError], None],
    ) -> None:
        def keep_reply(index: int, reply: ChatReply | EndpointError) -> None:
            if isinstance(reply, ChatReply):
                keep(index, self._response(hashes[index], reply))
            else:
                keep(index, reply)

        self._endpoint.complete([self._request(question) for question in questions], keep_reply)

    @cached_property
    def _endpoint(self) -> Endpoint:
        """One for all calls: it remembers how fast its server lets itself be asked."""
        return Endpoint(self.options, self.ledger.budget)

    def _hash(self, question: Question) -> str:
        top = self.options.top_logprobs if self.is_remote and question.labels else None
        labels = () if self.is_remote else question.labels
        return content_id(
            "question", self.options.model, question.text, question.max_tokens, labels, top
        )

    def _request(self, question: Question) -> ChatRequest:
        return ChatRequest(
            messages=(("user", question.text),),
            max_tokens=question.max_tokens,
            temperature=0.0,
            top_logprobs=(self.options.top_logprobs or 0) if question.labels else 0,
        )

    def _response(self, request_hash: str, reply: ChatReply) -> Response:
        return Response(
            request_hash=request_hash,
            model=self.options.model,
            text=reply.text,
            probabilities=json.dumps(reply.first_token) if reply.first_token else None,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            latency_seconds=reply.latency_seconds,
            cost_usd=reply.cost_usd,
        )


class AsksLanguageModel(Judge[AnyModelOptions]):
    """What judges that ask a language model share; beside PointwiseJudge or PairwiseJudge."""

    @abstractmethod
    def fixed_prompts(self) -> str:
        """Every template and text of the judge's own that the model is shown."""

    def fixed_text(self) -> str:
        return f"parser {PARSER}\n{self.fixed_prompts()}"

    def check(self) -> None:
        self._model.check()

    @property
    def batch(self) -> int:
        """More where answers are kept as they come: connections stay busy.

        All at once where they come by batch: each batch takes hours.
        """
        if not self._model.is_remote:
            return super().batch
        return LINES_AT_MOST if self.options.delivery == "batch" else 2048

    @cached_property
    def _model(self) -> LanguageModel:
        return LanguageModel(self.options, self.ledger)
