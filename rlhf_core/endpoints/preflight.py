"""One tiny question to a remote model before anything is spent on it, once for each budget.

A wrong name, key or address and a server that is down show here, in the server's own words.
"""

from dataclasses import replace
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from rlhf_core.config.tree import EndpointSettings
from rlhf_core.endpoints.budget import Budget
from rlhf_core.endpoints.chat_completion import ChatRequest
from rlhf_core.endpoints.endpoint import Endpoint
from rlhf_core.errors import BudgetError, EndpointError
from rlhf_core.identity import content_id

QUESTION = "Reply with one word: yes."
MAX_TOKENS = 16
VERSION = "/v1"
COMPLETIONS = "/chat/completions"

_reached: WeakKeyDictionary[Budget, set[str]] = WeakKeyDictionary()
"""By the budget, which a run has one of: the models that answered."""


def preflight(settings: EndpointSettings, like: ChatRequest, budget: Budget) -> None:
    """Ask a remote model one tiny question, unless it answered one within this budget.

    Args:
        settings: Model, address and limits.
        like: A request as those that will follow; its words and its length are replaced.
        budget: What may be spent; the question counts.

    Raises:
        EndpointError: With the server's own words and what may be wrong.
    """
    tokens = min(like.max_tokens, MAX_TOKENS)
    request = replace(like, messages=(("user", QUESTION),), max_tokens=tokens, known_by=None)
    shape = [request.top_logprobs, request.seed is not None, request.temperature]
    name = content_id(settings.model, settings.base_url, settings.api_key_env, shape)
    reached = _reached.setdefault(budget, set())
    if name in reached:
        return
    direct = settings.model_copy(update={"delivery": "direct"})
    (reply,) = Endpoint(direct, budget).complete([request])
    if isinstance(reply, EndpointError):
        where = settings.base_url or "the openai default"
        said = f"model {settings.model!r} at {where} does not answer: {reply}"
        hint = "" if isinstance(reply, BudgetError) else hint_for(settings, str(reply))
        raise EndpointError(f"{said}{hint}")
    reached.add(name)


def hint_for(settings: EndpointSettings, said: str) -> str:
    """What may be wrong, to stand behind what a server said; empty where that says it all."""
    if "APIConnectionError" in said:
        return "; is the server running, and base_url its address?"
    if "HTTP 401" in said or "HTTP 403" in said:
        return f"; the key is read from {settings.api_key_env}"
    if settings.base_url is None:
        return ""
    base = settings.base_url.rstrip("/")
    is_lost = any(word in said for word in ("HTTP 404", "HTTP 405", "the reply is"))
    if is_lost and base.endswith(COMPLETIONS):
        return f"; did you mean base_url: {base.removesuffix(COMPLETIONS)}?"
    if is_lost and VERSION.strip("/") not in urlsplit(base).path.split("/"):
        return f"; did you mean base_url: {base}{VERSION}?"
    return ""
