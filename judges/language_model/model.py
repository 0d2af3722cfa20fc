"""A language model that judges ask: local, or behind an endpoint; each question once a ledger.

A choice is read by the labels' probabilities at the token where the verdict stands, so it is soft:
a local model's always, a remote one's where the server gives log-probabilities. Elsewhere, and
where the labels have little probability, the words of the reply are parsed.
"""

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from judges.language_model.choice import MIN_LABEL_MASS, Choice, Heard, read_choice
from judges.language_model.fence import Fenced, plain
from judges.language_model.local import LocalModel
from judges.language_model.parsing import PARSER
from judges.language_model.question import Question
from judges.panel.judge import Judge, Workload
from judges.panel.ledger import Ledger
from rlhf_core.config.base import PositiveInt, Share
from rlhf_core.config.tree import EndpointSettings
from rlhf_core.endpoints.batch_files import LINES_AT_MOST
from rlhf_core.endpoints.chat_completion import TokenChoice
from rlhf_core.endpoints.endpoint import ChatReply, ChatRequest, Endpoint
from rlhf_core.endpoints.preflight import preflight
from rlhf_core.errors import EndpointError
from rlhf_core.identity import content_id
from rlhf_core.models.loading import locate, parameter_count
from rlhf_core.records import Response

REMOTE_PREFIX = "openai:"
TOKENS_KEPT = 64
"""Of a reply, with their alternatives; a reasoning model may write thousands."""
LEAST_KEPT = 1e-6
"""Probability of an alternative that is kept."""


class LanguageModelOptions(EndpointSettings):
    model: str = "smollm2-135m-instruct"
    """A local model (bundled name, folder or hub id), or `openai:NAME` for a remote one."""
    top_logprobs: PositiveInt | None = 10
    """Alternatives of each token to ask a remote model for; null for a server that refuses the
    question."""
    max_tokens: PositiveInt = 8
    """Length of a verdict; a remote model that reasons first needs more. A local model writes one
    only where it is not sure of a label at once."""
    min_label_mass: Share = MIN_LABEL_MASS
    """Where all labels together are less likely than this at the place of the verdict, the words of
    the reply are parsed, and a reply that says nothing is unparsed. 0 takes any probability."""


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

    def check(self, choices: Iterable[Sequence[str]] = ()) -> None:
        """Refuse what would fail later.

        Args:
            choices: The labels of each kind of question that it will be asked.

        Raises:
            InputError: If the model is not there, or cannot spell a label.
        """
        if self.is_remote:
            Endpoint(self.options)
            return
        locate(self.options.model)
        for labels in choices:
            self._local.labels(labels)

    def preflight(self) -> None:
        """Ask a remote model one tiny question, once a run.

        Raises:
            EndpointError: With the server's words, if it does not answer.
        """
        if self.is_remote:
            like = self._request("", Question(plain(""), self.options.max_tokens, ("yes",)))
            preflight(self.options, like, self.ledger.budget)

    def workload(self, tokens: float, calls: int = 1, written: int | None = None) -> Workload:
        """Of so many questions of that many tokens in all, each with an answer of `written`."""
        answers = calls * (self.options.max_tokens if written is None else written)
        if self.is_remote:
            return Workload(cost_usd=self.options.cost(tokens, answers))
        return Workload(tokens=tokens, parameters=parameter_count(self.options.model))

    def choose(
        self, questions: Sequence[Fenced], labels: Sequence[str], tie: str | None = None
    ) -> list[Choice]:
        """Which label the model answers each question with.

        Args:
            questions: Each a whole prompt.
            labels: What it may answer.
            tie: The word by which the model says that all labels are alike.
        """
        least = self.options.min_label_mass
        asked = [Question(q, self.options.max_tokens, tuple(labels), least) for q in questions]
        return [read_choice(heard, labels, tie, least) for heard in self.ask(asked)]

    def write(self, questions: Sequence[Fenced], max_tokens: int) -> list[Heard]:
        """What the model writes to each question, at temperature 0."""
        return self.ask([Question(text, max_tokens) for text in questions])

    def ask(self, questions: Sequence[Question]) -> list[Heard]:
        """An answer to each question, in order; those the ledger knows are not asked again."""
        hashes = [self._hash(question) for question in questions]
        known: Mapping[str, Response | EndpointError] = self._known(hashes, questions)
        missing = {h: q for h, q in zip(hashes, questions, strict=True) if h not in known}
        answers = {**known, **self._answers(missing)}
        heard = []
        for name in hashes:
            heard.append(Heard(answers[name], is_new=missing.pop(name, None) is not None))
        return heard

    def _known(self, hashes: Sequence[str], questions: Sequence[Question]) -> dict[str, Response]:
        """What was answered before; to those who only reread, under its former hash, too."""
        known = self.ledger.known(set(hashes))
        if self.ledger.may_query:
            return known
        former = {h: self._former_hash(q) for h, q in zip(hashes, questions, strict=True)}
        past = self.ledger.known({former[name] for name in former if name not in known})
        return {n: past[former[n]] for n in former if former[n] in past} | known

    def _answers(self, missing: Mapping[str, Question]) -> dict[str, Response | EndpointError]:
        if not self.ledger.may_query:
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
                keep(index, self._response(hashes[index], questions[index], reply))
            else:
                keep(index, reply)

        requests = [self._request(*asked) for asked in zip(hashes, questions, strict=True)]
        self._endpoint.complete(requests, keep_reply)

    @cached_property
    def _endpoint(self) -> Endpoint:
        """One for all calls: it remembers how fast its server lets itself be asked."""
        return Endpoint(self.options, self.ledger.budget)

    def _hash(self, question: Question) -> str:
        """What a question is known by: all that decides its answer, but for the secret mark."""
        how: list[Any] = [question.max_tokens]
        if question.labels and self.is_remote:
            how.append(self.options.top_logprobs)
        elif question.labels:
            how += [question.labels, question.min_label_mass]
        return content_id("fenced question", self.options.model, question.prompt.parts, how)

    def _former_hash(self, question: Question) -> str:
        """The hash under which it was kept when marks were hashes of its texts."""
        top = self.options.top_logprobs if self.is_remote and question.labels else None
        labels = () if self.is_remote else question.labels
        text = question.prompt.former_text
        return content_id("question", self.options.model, text, question.max_tokens, labels, top)

    def _request(self, request_hash: str, question: Question) -> ChatRequest:
        return ChatRequest(
            messages=(("user", question.text),),
            max_tokens=question.max_tokens,
            temperature=0.0,
            top_logprobs=(self.options.top_logprobs or 0) if question.labels else 0,
            batch_key=request_hash,
        )

    def _response(self, request_hash: str, question: Question, reply: ChatReply) -> Response:
        return Response(
            request_hash=request_hash,
            model=self.options.model,
            text=question.prompt.without_mark(reply.text),
            probabilities=as_json(reply.tokens) if reply.tokens else None,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            latency_seconds=reply.latency_seconds,
            cost_usd=reply.cost_usd,
        )


def as_json(tokens: Sequence[TokenChoice]) -> str:
    """The last tokens of a reply with their likelier alternatives: a verdict stands last."""
    kept = [
        (token, {name: round(p, 7) for name, p in alternatives.items() if p >= LEAST_KEPT})
        for token, alternatives in tokens[-TOKENS_KEPT:]
    ]
    return json.dumps(kept)


class AsksLanguageModel(Judge[AnyModelOptions]):
    """What judges that ask a language model share; beside PointwiseJudge or PairwiseJudge."""

    @abstractmethod
    def fixed_prompts(self) -> str:
        """Every template and text of the judge's own that the model is shown."""

    def fixed_text(self) -> str:
        return f"parser {PARSER}\n{self.fixed_prompts()}"

    def choices(self) -> Iterable[Sequence[str]]:
        """The labels of each kind of choice that the model is given; none without choices."""
        return ()

    def check(self) -> None:
        self._model.check(self.choices())

    def preflight(self) -> None:
        self._model.preflight()

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
