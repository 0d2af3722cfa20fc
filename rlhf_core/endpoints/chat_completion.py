"""A request to a chat model and its reply, in the format of OpenAI's chat completions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, NonNegativeInt, ValidationError

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.endpoints.message import Logprobs, ReplyMessage, TokenChoice
from rlhf_core.endpoints.retries import one_line
from rlhf_core.errors import EndpointError, TransientError
from rlhf_core.records.conversation import Message, Tool, to_json

REFUSED = "refusal"
"""Finish reason of a reply in which the model says that it will not answer."""
FILTERED = "content_filter"
"""Finish reason of a reply that a filter of the server stopped or withheld."""
CALLED = "tool_calls"
"""Finish reason of a reply in which the model calls a tool."""
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
    schema: Mapping[str, Any] | None = None
    """JSON schema of the reply; None for free text."""
    needs_temperature: bool = False
    """True if the temperature is recorded with the reply, so that a server must not replace it."""
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


@dataclass(frozen=True)
class ChatReply:
    text: str
    """The answer, without the model's thoughts; of a refusal, the model's words."""
    finish_reason: str
    """`eos`, `length`, REFUSED, FILTERED, CALLED, or whatever else the server said."""
    prompt_tokens: int
    """Count by the server; 0 if it reports none."""
    completion_tokens: int
    """Count by the server; 0 if it reports none."""
    latency_seconds: float
    cost_usd: float
    """The highest possible cost if the server reports no token counts."""
    tokens: tuple[TokenChoice, ...] = ()
    """Each token of the reply with its alternatives, if the server sent them."""
    thoughts: str = ""
    """The model's thoughts before its answer, if the server shows them."""
    thinks: bool = False
    """True if the model thought before its answer, or seems to have."""
    is_unbilled: bool = False
    """True if the model never saw the request."""

    @property
    def is_lost_in_thought(self) -> bool:
        """True if all tokens were spent before the answer began."""
        return self.finish_reason == "length" and not self.text.strip()

    @property
    def only_calls(self) -> bool:
        """True if the model calls a tool and says nothing."""
        return self.finish_reason == CALLED and not self.text.strip()


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
    if request.schema is not None:
        schema = {"name": "reply", "strict": True, "schema": request.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if settings.reasoning_effort is not None:
        body["reasoning_effort"] = settings.reasoning_effort
    if request.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    return {**body, **settings.extra_body}


class _Error(BaseModel):
    message: str
    code: int | str | None = None


class _Choice(BaseModel):
    message: ReplyMessage = ReplyMessage()
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    error: _Error | None = None
    """The error that ended the reply, as some gateways say it."""


class _Details(BaseModel):
    reasoning_tokens: NonNegativeInt | None = None


class _Usage(BaseModel):
    prompt_tokens: NonNegativeInt | None = None
    completion_tokens: NonNegativeInt | None = None
    completion_tokens_details: _Details | None = None


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
        error = _Failed.model_validate_json(content).error
    except ValidationError:
        completion = parse_as(ChatCompletion, content, "chat completion")
        if completion.choices[0].error is None:
            return completion
        error = completion.choices[0].error
    reason = one_line(f"HTTP 200, and an error in it: {error.message}")
    code = str(error.code)
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
    thoughts, text = choice.message.thoughts_and_answer
    details = usage.completion_tokens_details or _Details()
    reply = ChatReply(
        text=text or choice.message.refusal or "",
        finish_reason=_finish_reason(choice, text),
        prompt_tokens=read or 0,
        completion_tokens=written or 0,
        latency_seconds=latency_seconds,
        cost_usd=cost_usd,
        tokens=choice.logprobs.tokens if choice.logprobs else (),
        thoughts=thoughts,
        thinks=bool(thoughts or details.reasoning_tokens),
    )
    return replace(reply, thinks=True) if reply.is_lost_in_thought else reply


def _finish_reason(choice: _Choice, text: str) -> str:
    """Return why a reply ended, in Solon's words."""
    said = choice.finish_reason or ""
    if said.startswith(FILTERED):  # Gemini's says by what
        return FILTERED
    if not text.strip() and choice.message.refusal:
        return REFUSED
    if choice.message.tool_calls:
        return CALLED
    return "eos" if said == "stop" else str(choice.finish_reason)


def filtered_reply(latency_seconds: float) -> ChatReply:
    """Return the reply to a request that a content filter kept from the model; it costs nothing."""
    return ChatReply("", FILTERED, 0, 0, latency_seconds, 0.0, is_unbilled=True)
