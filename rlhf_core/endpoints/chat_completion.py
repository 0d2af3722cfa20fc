"""A request to a chat model and its reply, in the format of OpenAI's chat completions."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, NonNegativeInt, ValidationError

from rlhf_core.config.tree import EndpointSettings
from rlhf_core.endpoints.retries import one_line
from rlhf_core.errors import EndpointError, TransientError
from rlhf_core.records.conversation import Message, Tool, to_json

TOO_MANY = "429"
WRONG_ADDRESS = "is base_url the right address?"
TEMPLATE_TOKENS_AT_MOST = 128
"""Tokens that a chat template may add: markers, roles, a default system prompt, the date."""
BYTES_PER_TOKEN = 4
"""Rule of thumb for English. A token of a byte-level tokenizer has at least one byte."""

Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True)
class ChatRequest:
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float
    seed: int | None = None
    top_logprobs: int = 0
    """Number of alternatives to request for each token; 0 requests none."""
    tools: tuple[Tool, ...] = ()
    """The tools that the model may call."""
    batch_key: str | None = None
    """Key that identifies the request in a batch if its text is drawn anew each time; None
    identifies it by its text."""

    @property
    def input_tokens_at_most(self) -> int:
        return self._bytes + TEMPLATE_TOKENS_AT_MOST

    @property
    def input_tokens_expected(self) -> float:
        return self._bytes / BYTES_PER_TOKEN

    @property
    def _bytes(self) -> int:
        texts = [f"{message['role']}{message['content'] or ''}" for message in self.messages]
        calls = [*(m for m in self.messages if m.get("tool_calls")), *self.tools]
        return sum(len(text.encode(errors="replace")) for text in [*texts, to_json(calls)[2:]])


TokenChoice = tuple[str, dict[str, float]]
"""A token of a reply, and the probabilities of its alternatives."""


@dataclass(frozen=True)
class ChatReply:
    text: str
    finish_reason: str
    prompt_tokens: int
    """Count by the server; 0 if it reports none."""
    completion_tokens: int
    """Count by the server; 0 if it reports none."""
    latency_seconds: float
    cost_usd: float
    """The highest possible cost if the server reports no token counts."""
    tokens: tuple[TokenChoice, ...] = ()
    """Each token of the reply with its alternatives, if the server sent them."""


def request_body(request: ChatRequest, settings: EndpointSettings) -> dict[str, Any]:
    """Return the JSON body of a request.

    Options that are not set are left out, because some servers refuse unknown keys.

    Raises:
        EndpointError: If a text holds half a surrogate pair, which cannot be encoded.
    """
    try:
        to_json([*request.messages, *request.tools]).encode()
    except UnicodeEncodeError as error:
        raise EndpointError(f"the request is not valid Unicode: {error.reason}") from None
    body: dict[str, Any] = {
        "model": settings.model.removeprefix("openai:"),
        "messages": [dict(message) for message in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
    }
    if request.seed is not None:
        body["seed"] = request.seed
    if request.tools:
        body["tools"] = [dict(tool) for tool in request.tools]
    if request.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    return body


class _Alternative(BaseModel):
    token: str
    logprob: Annotated[float, Field(le=1.0)]  # rounding may raise it above 0; NaN fails


class _Position(BaseModel):
    token: str = ""
    top_logprobs: list[_Alternative] | None = None


class _Logprobs(BaseModel):
    content: list[_Position] | None = None


class _Part(BaseModel):
    """A part of a message; a model's reasoning has no text of type "text"."""

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


class ChatCompletion(BaseModel):
    """The fields of a completion that Solon reads; a server may send more."""

    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


def parse_as(kind: type[Reply], content: bytes, name: str) -> Reply:
    """Parse and validate a response; the openai client does neither.

    Args:
        kind: The expected model.
        content: Body of the response.
        name: What the response should be, for the error.

    Returns:
        The parsed response.

    Raises:
        TransientError: If the content is truncated, not JSON, or of another form.
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


def read_completion(content: bytes) -> ChatCompletion:
    """Parse a chat completion.

    Raises:
        EndpointError: If the server sent an error with status 200.
        TransientError: If that error is temporary, or the content is no chat completion.
    """
    try:
        failed = _Failed.model_validate_json(content).error
    except ValidationError:
        return parse_as(ChatCompletion, content, "chat completion")
    reason = one_line(f"HTTP 200, and an error in it: {failed.message}")
    code = str(failed.code)
    if code == TOO_MANY or code.startswith("5"):
        raise TransientError(reason, is_throttled=code == TOO_MANY, may_be_billed=code != TOO_MANY)
    raise EndpointError(reason)


def to_reply(
    completion: ChatCompletion,
    request: ChatRequest,
    settings: EndpointSettings,
    latency_seconds: float,
) -> ChatReply:
    """Return a completion as a reply, with its cost.

    Args:
        completion: The completion; its first choice is read.
        request: The request; its upper bounds stand in for missing token counts.
        settings: Holds the prices.
        latency_seconds: Time from request to completion.

    Returns:
        The reply.
    """
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
    """Return the probability of each alternative, summed over entries with the same text.

    A server may list one text several times, for different bytes.
    """
    probabilities: dict[str, float] = {}
    for entry in position.top_logprobs or ():
        probability = math.exp(min(entry.logprob, 0.0))
        probabilities[entry.token] = probabilities.get(entry.token, 0.0) + probability
    return probabilities
