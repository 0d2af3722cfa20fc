"""A question to a chat model and its answer, in the form of OpenAI's chat completions."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, NonNegativeInt, ValidationError

from rlhf_core.config.tree import EndpointSettings
from rlhf_core.endpoints.retries import one_line
from rlhf_core.errors import EndpointError, TransientError

TOO_MANY = "429"
WRONG_ADDRESS = "is base_url the right address?"
TEMPLATE_TOKENS_AT_MOST = 128
"""What chat templates add by themselves: marks, roles, a default system prompt, the date."""
BYTES_PER_TOKEN = 4
"""Rule of thumb for English; no token of a byte-level tokenizer is less than one byte."""

Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True)
class ChatRequest:
    messages: tuple[tuple[str, str], ...]
    """Role and content of each."""
    max_tokens: int
    temperature: float
    seed: int | None = None
    top_logprobs: int = 0
    """How many alternatives of each token to ask for; 0 asks for none."""
    known_by: str | None = None
    """What the request is found again by in a batch, where its words are drawn anew each time; else
    by its words."""

    @property
    def input_tokens_at_most(self) -> int:
        return self._bytes + TEMPLATE_TOKENS_AT_MOST

    @property
    def input_tokens_expected(self) -> float:
        return self._bytes / BYTES_PER_TOKEN

    @property
    def _bytes(self) -> int:
        return sum(len(f"{role}{text}".encode(errors="replace")) for role, text in self.messages)


TokenChoice = tuple[str, dict[str, float]]
"""A token of a reply, and the probabilities of those that could have stood in its place."""


@dataclass(frozen=True)
class ChatReply:
    text: str
    finish_reason: str
    prompt_tokens: int
    """As the server counts; 0 where it does not say."""
    completion_tokens: int
    """The same."""
    latency_seconds: float
    cost_usd: float
    """The most that it can have cost, where the server does not count tokens."""
    tokens: tuple[TokenChoice, ...] = ()
    """Each token of the reply with its alternatives, where the server gave them."""


def request_body(request: ChatRequest, settings: EndpointSettings) -> dict[str, Any]:
    """What is sent; what was not asked for is left out, for servers that refuse the key.

    Raises:
        EndpointError: If a text holds half a surrogate pair, which no encoding can send.
    """
    try:
        "".join(content for _, content in request.messages).encode()
    except UnicodeEncodeError as error:
        raise EndpointError(f"the request is not valid Unicode: {error.reason}") from None
    body: dict[str, Any] = {
        "model": settings.model.removeprefix("openai:"),
        "messages": [{"role": role, "content": content} for role, content in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
    }
    if request.seed is not None:
        body["seed"] = request.seed
    if request.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    return body


class _Alternative(BaseModel):
    token: str
    logprob: Annotated[float, Field(le=1.0)]  # rounding may lift it above 0; NaN fails


class _Position(BaseModel):
    token: str = ""
    top_logprobs: list[_Alternative] | None = None


class _Logprobs(BaseModel):
    content: list[_Position] | None = None


class _Part(BaseModel):
    """A piece of a message; what a model thought has no text of its own."""

    type: str = "text"
    text: str | None = None


class _Message(BaseModel):
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text or "" for part in self.content or () if part.type == "text")


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(BaseModel):
    prompt_tokens: NonNegativeInt | None = None
    completion_tokens: NonNegativeInt | None = None


class Completion(BaseModel):
    """The part of a completion that is read; a server may send more."""

    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


def read_as(kind: type[Reply], content: bytes, name: str) -> Reply:
    """What the server sent, checked; the client itself checks nothing.

    Raises:
        TransientError: If it is cut off, not JSON or something else than its name says.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        is_json = all(detail["type"] != "json_invalid" for detail in error.errors())
        what = f"no {name}" if is_json else "not JSON"
        raise TransientError(f"the reply is {what}; {WRONG_ADDRESS}") from None


class _Error(BaseModel):
    message: str
    code: int | str | None = None


class _Failed(BaseModel):
    """An error that a server sends with status 200."""

    error: _Error


def read_completion(content: bytes) -> Completion:
    """The completion that a server sent.

    Raises:
        EndpointError: If it sent an error instead, whatever its status.
        TransientError: If that may pass, or nothing of the kind can be read.
    """
    try:
        failed = _Failed.model_validate_json(content).error
    except ValidationError:
        return read_as(Completion, content, "chat completion")
    reason = one_line(f"HTTP 200, and an error in it: {failed.message}")
    code = str(failed.code)
    if code == TOO_MANY or code.startswith("5"):
        raise TransientError(reason, is_throttled=code == TOO_MANY, may_be_billed=code != TOO_MANY)
    raise EndpointError(reason)


def as_reply(
    completion: Completion,
    request: ChatRequest,
    settings: EndpointSettings,
    latency_seconds: float,
) -> ChatReply:
    choice, usage = completion.choices[0], completion.usage or _Usage()
    read, written = usage.prompt_tokens, usage.completion_tokens
    cost_usd = settings.cost(
        request.input_tokens_at_most if read is None else read,
        request.max_tokens if written is None else written,
    )
    return ChatReply(
        text=choice.message.text,
        finish_reason="eos" if choice.finish_reason == "stop" else str(choice.finish_reason),
        prompt_tokens=read or 0,
        completion_tokens=written or 0,
        latency_seconds=latency_seconds,
        cost_usd=cost_usd,
        tokens=_tokens(choice.logprobs),
    )


def _tokens(logprobs: _Logprobs | None) -> tuple[TokenChoice, ...]:
    positions = (logprobs.content if logprobs else None) or ()
    return tuple((position.token, _probabilities(position)) for position in positions)


def _probabilities(position: _Position) -> dict[str, float]:
    """Of each token, which a server may name more than once in different bytes."""
    found: dict[str, float] = {}
    for entry in position.top_logprobs or ():
        found[entry.token] = found.get(entry.token, 0.0) + math.exp(min(entry.logprob, 0.0))
    return found
