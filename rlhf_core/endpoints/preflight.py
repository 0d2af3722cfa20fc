"""A tiny request to a remote model before anything is spent on it, once for each budget.

It detects a wrong name, key or address and a server that is down, and quotes the server. It also
learns which options the server accepts, and whether the model thinks before it answers.
"""

import logging
from dataclasses import replace
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.endpoints.budget import Budget
from rlhf_core.endpoints.chat_completion import ChatReply, ChatRequest
from rlhf_core.endpoints.endpoint import Endpoint
from rlhf_core.endpoints.profile import CONSEQUENCES, lost_in_thought, profile_of
from rlhf_core.errors import BudgetError, EndpointError
from rlhf_core.identity import content_id
from rlhf_core.records.conversation import ask

logger = logging.getLogger(__name__)

QUESTION = "Reply with one word: yes."
MAX_TOKENS = 16
VERSION = "/v1"
COMPLETIONS = "/chat/completions"

_answered: WeakKeyDictionary[Budget, set[str]] = WeakKeyDictionary()
"""Models that have answered, by budget; a run has one budget."""


def preflight(
    settings: EndpointSettings, like: ChatRequest, budget: Budget, needs_logprobs: bool = False
) -> None:
    """Send a remote model one tiny request, unless it has answered one within this budget.

    Args:
        settings: Model, address and limits.
        like: A request like those that will follow; its text and length are replaced.
        budget: Limits the spending; the request counts.
        needs_logprobs: True to refuse a server that sends no log-probabilities.

    Raises:
        EndpointError: If the model does not answer; it quotes the server and names likely causes.
            Also if its thoughts leave no room for an answer.
    """
    tokens = min(like.max_tokens, MAX_TOKENS)
    request = replace(
        like, messages=ask(QUESTION).messages, max_tokens=tokens, tools=(), batch_key=None
    )
    shape = [request.top_logprobs, request.seed is not None, request.temperature]
    shape += [request.schema is not None, request.needs_temperature, needs_logprobs]
    sender = [settings.api_key_env, settings.api_version, settings.headers]
    decided = settings.beyond_defaults()
    name = content_id(settings.model, settings.base_url, sender, decided, shape)
    reached = _answered.setdefault(budget, set())
    if name in reached:
        return
    direct = settings.model_copy(update={"delivery": "direct"})
    (reply,) = Endpoint(direct, budget).complete([request])
    if isinstance(reply, EndpointError):
        address = settings.base_url or "the openai default"
        failure = f"model {settings.model!r} at {address} does not answer: {reply}"
        hint = "" if isinstance(reply, BudgetError) else hint_for(settings, str(reply))
        raise EndpointError(f"{failure}{hint}")
    if reply.is_lost_in_thought:
        raise EndpointError(f"model {settings.model!r}: the reply was {lost_in_thought(settings)}")
    if needs_logprobs and not reply.tokens:
        raise EndpointError(
            f"model {settings.model!r} returns no log-probabilities, which `verdict: logprobs` "
            "needs; leave it out, or set it to json or text"
        )
    _note_missing_logprobs(settings, request, reply)
    reached.add(name)


def _note_missing_logprobs(
    settings: EndpointSettings, request: ChatRequest, reply: ChatReply
) -> None:
    """Log if a server neither refuses nor sends log-probabilities, or sends too few."""
    wanted = profile_of(settings).alternatives(request.top_logprobs)
    if not wanted:
        return
    fewest = min((len(alternatives) for _, alternatives in reply.tokens), default=0)
    if not reply.tokens:
        logger.warning(
            "model %r returns no log-probabilities: %s",
            settings.model,
            CONSEQUENCES["top_logprobs"],
        )
    elif fewest < wanted:
        logger.warning(
            "model %r returns only %d of %d alternatives of a token: labels beyond them have a "
            "probability of 0",
            settings.model,
            fewest,
            wanted,
        )


def hint_for(settings: EndpointSettings, message: str) -> str:
    """Return a likely cause, to append to a server's message; empty if the message says enough."""
    if "APIConnectionError" in message:
        return "; is the server running, and base_url its address?"
    if "HTTP 401" in message or "HTTP 403" in message:
        return f"; the key is read from {settings.api_key_env}"
    if "max_tokens" in message and profile_of(settings).thinks:
        return f"; {settings.thinking_tokens} of them are thinking_tokens, which can be lowered"
    if settings.base_url is None:
        return ""
    base = settings.base_url.rstrip("/")
    is_lost = any(word in message for word in ("HTTP 404", "HTTP 405", "the reply is"))
    if is_lost and base.endswith(COMPLETIONS):
        return f"; did you mean base_url: {base.removesuffix(COMPLETIONS)}?"
    if is_lost and VERSION.strip("/") not in urlsplit(base).path.split("/"):
        return f"; did you mean base_url: {base}{VERSION}?"
    return ""
