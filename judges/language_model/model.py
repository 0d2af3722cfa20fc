"""The language model behind a judge: local or at an endpoint, with a cache of its replies.

A choice is read from the labels' probabilities at the token where the verdict stands, so verdicts
are soft: a local model's always, a remote one's if the server returns log-probabilities. Otherwise,
or if the labels have little probability, the words of the reply are parsed.
"""

import json
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar

from judges.language_model.choice import MIN_LABEL_MASS, Choice, ModelReply, read_choice
from judges.language_model.fence import FencedPrompt, plain_prompt
from judges.language_model.local import LocalModel
from judges.language_model.parsing import PARSER
from judges.language_model.question import Question, question_to_continue
from judges.language_model.structured import (
    JSON_REPLY,
    REPLY_WITH,
    ask_for_json,
    verdict_schema,
)
from judges.panel.judge import REMOTE_PREFIX, Judge, Workload
from judges.panel.ledger import Ledger
from rlhf_core.config.base import UNLESS_SET, PositiveInt, Share
from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.template import TemplateSettings
from rlhf_core.endpoints.batch_files import LINES_AT_MOST
from rlhf_core.endpoints.endpoint import ChatReply, ChatRequest, Endpoint
from rlhf_core.endpoints.message import TokenChoice
from rlhf_core.endpoints.preflight import preflight
from rlhf_core.endpoints.profile import profile_of
from rlhf_core.errors import ConfigError, EndpointError
from rlhf_core.identity import content_id
from rlhf_core.models.loading import locate, parameter_count
from rlhf_core.records import Response
from rlhf_core.records.conversation import Conversation
from rlhf_core.text.thoughts import with_thoughts

TOKENS_KEPT = 64
"""Most tokens of a reply stored with their alternatives; a reasoning model may write thousands."""
LEAST_KEPT = 1e-6
"""Least probability of an alternative that is stored."""


class LanguageModelOptions(EndpointSettings, TemplateSettings):
    model: str = "smollm2-135m-instruct"
    """A local model (bundled name, folder or hub id), or `openai:NAME` for a remote one."""
    top_logprobs: PositiveInt | None = 10
    """Number of alternatives of each token to request from a remote model; null for a server that
    refuses this option."""
    max_tokens: PositiveInt = 8
    """Length of a verdict, after the thoughts of a model that thinks first. A local model writes
    one only if its labels have too little probability at the first token."""
    verdict: Annotated[Literal["auto", "logprobs", "json", "text"], UNLESS_SET] = "auto"
    """Form of a remote model's verdict. auto: a label, read by the log-probabilities that the
    server returns, else by the words. logprobs: the same, and a reply without log-probabilities has
    no verdict. json: an object with a rationale and then the label, under a JSON schema if the
    server takes one. text: a label, read by the words alone."""
    rationale_tokens: Annotated[PositiveInt, UNLESS_SET] = 256
    """Length of the rationale with `verdict: json`, on top of max_tokens."""
    min_label_mass: Share = MIN_LABEL_MASS
    """Total probability of the labels at the verdict's token below which the words of the reply are
    parsed; a reply without a verdict is then unparsed. 0 accepts any probability."""


AnyModelOptions = TypeVar("AnyModelOptions", bound=LanguageModelOptions)


class LanguageModel:
    """The model that the options name; the first query loads it.

    Args:
        options: The model and its endpoint.
        ledger: Cache of earlier replies, and the budget.
    """

    def __init__(self, options: LanguageModelOptions, ledger: Ledger) -> None:
        self.options = options
        self.ledger = ledger
        self._local = LocalModel(options.model, options, options.thinking_tokens, ledger.compute)

    @property
    def is_remote(self) -> bool:
        return self.options.model.startswith(REMOTE_PREFIX)

    def check(self, choices: Collection[Sequence[str]] = ()) -> None:
        """Refuse what would fail later.

        Args:
            choices: The labels of each kind of choice that it will make.

        Raises:
            InputError: If the model is not there, or cannot spell a label, or an option does
                nothing.
        """
        form = self.options.verdict
        if form in ("json", "text") and not self.is_remote:
            raise ConfigError(
                f"verdict: {form} is for a remote model; the verdicts of a local one are read from "
                "its probabilities, so leave it out"
            )
        if form != "auto" and not choices:
            raise ConfigError("verdict: this judge asks for no label; leave it out")
        if self.is_remote:
            self._refuse_template_settings()
            Endpoint(self.options)
            return
        locate(self.options.model)
        self._local.check()
        for labels in choices:
            self._local.labels(labels)

    def _refuse_template_settings(self) -> None:
        if changes := self.options.template_changes():
            raise ConfigError(
                f"{changes[0][0]} is for a local model; a server's chat template takes it in "
                "extra_body, as vLLM does in {chat_template_kwargs: {enable_thinking: false}}"
            )

    def preflight(self) -> None:
        """Send a remote model one tiny request, once a run.

        Raises:
            EndpointError: If the server does not answer; the message quotes it.
        """
        if self.is_remote:
            like = self._request("", self._choice(plain_prompt(f"{REPLY_WITH} yes."), ("yes",)))
            preflight(self.options, like, self.ledger.budget, self.options.verdict == "logprobs")

    def workload(self, tokens: float, calls: int = 1, written: int | None = None) -> Workload:
        """Return the workload of some queries.

        Args:
            tokens: Total number of prompt tokens.
            calls: Number of queries.
            written: Tokens of each reply; those of a verdict by default.
        """
        answer = self._verdict_tokens if written is None else written
        if self.is_remote:
            thoughts = self.options.thinking_tokens if profile_of(self.options).thinks else 0
            cost = self.options.cost(tokens, calls * (answer + thoughts))
            return Workload(cost_usd=cost)
        return Workload(tokens=tokens, parameters=parameter_count(self.options.model))

    def choose(
        self, questions: Sequence[FencedPrompt], labels: Sequence[str], tie: str | None = None
    ) -> list[Choice]:
        """Have the model choose a label for each prompt.

        Args:
            questions: The whole prompts.
            labels: The labels to choose from.
            tie: The word that stands for a tie of all labels.

        Returns:
            A choice for each prompt, in order.
        """
        choices = [self._choice(question, labels, tie) for question in questions]
        least, reads_words = self.options.min_label_mass, self.options.verdict != "logprobs"
        replies = self.query(choices)
        return [read_choice(reply, labels, tie, least, reads_words) for reply in replies]

    def _choice(
        self, prompt: FencedPrompt, labels: Sequence[str], tie: str | None = None
    ) -> Question:
        schema = None
        if self.options.verdict == "json":
            verdicts = labels if tie is None else (*labels, tie)
            prompt, schema = ask_for_json(prompt, verdicts), verdict_schema(verdicts)
        least = self.options.min_label_mass
        return Question(prompt, self._verdict_tokens, tuple(labels), schema, least)

    @property
    def _verdict_tokens(self) -> int:
        reasons = self.options.rationale_tokens if self.options.verdict == "json" else 0
        return self.options.max_tokens + reasons

    @property
    def _top_logprobs(self) -> int | None:
        return 0 if self.options.verdict == "text" else self.options.top_logprobs

    def write(self, questions: Sequence[FencedPrompt], max_tokens: int) -> list[ModelReply]:
        """Have the model write a reply to each prompt, at temperature 0."""
        return self.query([Question(text, max_tokens) for text in questions])

    def answer(self, conversations: Sequence[Conversation], max_tokens: int) -> list[ModelReply]:
        """Have the model write the next turn of each conversation, at temperature 0."""
        return self.query([question_to_continue(each, max_tokens) for each in conversations])

    def query(self, questions: Sequence[Question]) -> list[ModelReply]:
        """Return a reply to each question, in order; cached replies are not requested again."""
        questions = [question.on(self.ledger.occasion) for question in questions]
        hashes = [self._hash(question) for question in questions]
        known: Mapping[str, Response | EndpointError] = self._cached(hashes, questions)
        missing = {h: q for h, q in zip(hashes, questions, strict=True) if h not in known}
        responses = {**known, **self._query_missing(missing)}
        replies = []
        for name in hashes:
            replies.append(ModelReply(responses[name], is_new=missing.pop(name, None) is not None))
        return replies

    def _cached(self, hashes: Sequence[str], questions: Sequence[Question]) -> dict[str, Response]:
        """Return the known replies by hash; if only rereading, those under a former hash too."""
        known = self.ledger.known(set(hashes))
        if self.ledger.may_query:
            return known
        former = {h: self._former_hash(q) for h, q in zip(hashes, questions, strict=True)}
        past = self.ledger.known({former[name] for name in former if name not in known})
        return {n: past[former[n]] for n in former if former[n] in past} | known

    def _query_missing(
        self, missing: Mapping[str, Question]
    ) -> dict[str, Response | EndpointError]:
        if not self.ledger.may_query:
            return {name: EndpointError("not asked before") for name in missing}
        responses: dict[str, Response | EndpointError] = {}
        hashes = list(missing)

        def keep(index: int, response: Response | EndpointError) -> None:
            responses[hashes[index]] = response
            if isinstance(response, Response):
                self.ledger.add(response)

        questions = list(missing.values())
        if self.is_remote:
            self._query_endpoint(hashes, questions, keep)
        elif questions:
            self._local.answer(hashes, questions, keep)
        self.ledger.flush()
        return responses

    def _query_endpoint(
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

        requests = [self._request(*pair) for pair in zip(hashes, questions, strict=True)]
        self._endpoint.complete(requests, keep_reply)

    @cached_property
    def _endpoint(self) -> Endpoint:
        """One endpoint for all calls, because it remembers its server's rate limit."""
        return Endpoint(self.options, self.ledger.budget)

    def _hash(self, question: Question) -> str:
        """Return the hash of everything that decides a reply, without the secret mark."""
        how: list[Any] = [question.max_tokens]
        if question.labels and self.is_remote:
            how.append(self._top_logprobs)
        elif question.labels:
            how += [question.labels, question.min_label_mass]
        how += self.options.beyond_defaults() + self.options.template_changes()
        parts = ("fenced question", self.options.model, question.prompt.parts, how)
        again = ("asked again", self.ledger.occasion) if self.ledger.occasion else ()
        return content_id(*parts, *again)

    def _former_hash(self, question: Question) -> str:
        """Return the hash of this question from when marks were hashes of its texts."""
        top = self.options.top_logprobs if self.is_remote and question.labels else None
        labels = () if self.is_remote else question.labels
        text = question.prompt.former_text
        return content_id("question", self.options.model, text, question.max_tokens, labels, top)

    def _request(self, request_hash: str, question: Question) -> ChatRequest:
        return ChatRequest(
            messages=question.conversation.messages,
            tools=question.conversation.tools,
            max_tokens=question.max_tokens,
            temperature=0.0,
            top_logprobs=(self._top_logprobs or 0) if question.labels else 0,
            schema=question.schema,
            batch_key=request_hash,
        )

    def _response(self, request_hash: str, question: Question, reply: ChatReply) -> Response:
        return Response(
            request_hash=request_hash,
            model=self.options.model,
            text=question.prompt.without_mark(with_thoughts(reply.thoughts, reply.text)),
            probabilities=as_json(reply.tokens) if reply.tokens else None,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            latency_seconds=reply.latency_seconds,
            cost_usd=reply.cost_usd,
        )


def as_json(tokens: Sequence[TokenChoice]) -> str:
    """Return a reply's last tokens, where its verdict stands, and their likelier alternatives."""
    kept = [
        (token, {name: round(p, 7) for name, p in alternatives.items() if p >= LEAST_KEPT})
        for token, alternatives in tokens[-TOKENS_KEPT:]
    ]
    return json.dumps(kept)


class LanguageModelJudge(Judge[AnyModelOptions]):
    """Base of judges that query a language model; combine with PointwiseJudge or PairwiseJudge."""

    @abstractmethod
    def fixed_prompts(self) -> str:
        """Return every template and fixed text that the judge shows the model."""

    def fixed_text(self) -> str:
        json_reply = JSON_REPLY if self.options.verdict == "json" else ""
        return f"parser {PARSER}\n{self.fixed_prompts()}{json_reply}"

    def choices(self) -> Iterable[Sequence[str]]:
        """Return the labels of each kind of choice that the model makes."""
        return ()

    def check(self) -> None:
        self._model.check(tuple(self.choices()))

    def preflight(self) -> None:
        self._model.preflight()

    @property
    def batch(self) -> int:
        """Larger for a remote model, whose replies are kept as they arrive: connections stay busy.

        A batch API gets as many as it takes, because each batch lasts hours.
        """
        if not self._model.is_remote:
            return super().batch
        return LINES_AT_MOST if self.options.delivery == "batch" else 2048

    @cached_property
    def _model(self) -> LanguageModel:
        return LanguageModel(self.options, self.ledger)
