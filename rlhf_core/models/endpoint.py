"""A chat model behind an OpenAI-compatible server: many requests at once, each answered or failed.

Retries live here and nowhere else. Keys come from the environment when a client is made and are
never kept, logged or put into an error.
"""

import asyncio
import json
import math
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import openai
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion

from rlhf_core.config.tree import EndpointSettings
from rlhf_core.errors import ConfigError, EndpointError, TransientError

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
WRONG_ADDRESS = "is base_url the right address?"


@dataclass(frozen=True)
class ChatRequest:
    messages: tuple[tuple[str, str], ...]
    """Role and content of each."""
    max_tokens: int
    temperature: float
    seed: int | None = None
    top_logprobs: int = 0
    """How many alternatives of the first token to ask for; 0 asks for none."""


@dataclass(frozen=True)
class ChatReply:
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    latency_seconds: float
    cost_usd: float
    first_token: dict[str, float] = field(default_factory=dict)
    """Probabilities of the first token's alternatives, where the server gave them."""


class Endpoint:
    """A model that is asked over the network.

    Args:
        settings: Model, address and limits.

    Raises:
        ConfigError: If the variable that should hold the key is not set. A server on loopback
            needs none.
    """

    def __init__(self, settings: EndpointSettings) -> None:
        self.settings = settings
        key = os.environ.get(settings.api_key_env)
        if key is None and settings.base_url is None:
            raise ConfigError(
                f"environment variable {settings.api_key_env} is not set; it must hold the key "
                f"for model {settings.model!r}, or name a server that needs none in base_url"
            )
        self._key = key or "none"

    def complete(
        self,
        requests: Sequence[ChatRequest],
        on_reply: Callable[[], None] = lambda: None,
    ) -> list[ChatReply | EndpointError]:
        """Answer every request, in order; a failed one is its error, never a gap.

        Args:
            requests: Sent with at most `concurrency` in flight.
            on_reply: Called after each, for a progress bar.
        """
        return asyncio.run(self._complete_all(requests, on_reply))

    async def _complete_all(
        self, requests: Sequence[ChatRequest], on_reply: Callable[[], None]
    ) -> list[ChatReply | EndpointError]:
        slots = asyncio.Semaphore(self.settings.concurrency)

        async def answer(client: AsyncOpenAI, request: ChatRequest) -> ChatReply | EndpointError:
            async with slots:
                try:
                    return await self._with_retries(client, request)
                except EndpointError as error:
                    return error
                finally:
                    on_reply()

        async with AsyncOpenAI(
            api_key=self._key,
            base_url=self.settings.base_url,
            timeout=self.settings.timeout_seconds,
            max_retries=0,
        ) as client:
            return list(await asyncio.gather(*(answer(client, request) for request in requests)))

    async def _with_retries(self, client: AsyncOpenAI, request: ChatRequest) -> ChatReply:
        for attempt in range(1, self.settings.max_attempts + 1):
            try:
                return await self._once(client, request)
            except TransientError as error:
                if attempt == self.settings.max_attempts:
                    raise EndpointError(f"{error} ({attempt} attempts)") from None
                await asyncio.sleep(_pause(attempt, error.retry_after_seconds))
        raise EndpointError("max_attempts is 0")

    async def _once(self, client: AsyncOpenAI, request: ChatRequest) -> ChatReply:
        started = time.perf_counter()
        try:
            completion = await client.chat.completions.create(
                model=self.settings.model.removeprefix("openai:"),
                messages=[{"role": r, "content": c} for r, c in request.messages],  # type: ignore[misc]
                max_tokens=request.max_tokens,
                temperature=request.temperature,
                seed=request.seed if request.seed is not None else openai.omit,
                logprobs=True if request.top_logprobs else openai.omit,
                top_logprobs=request.top_logprobs or openai.omit,
            )
        except (openai.APITimeoutError, openai.APIConnectionError) as error:
            raise TransientError(_describe(error)) from None
        except openai.APIStatusError as error:
            if error.status_code == 429 or error.status_code >= 500:
                raise TransientError(_describe(error), _retry_after(error)) from None
            raise EndpointError(_describe(error)) from None
        except openai.OpenAIError as error:
            raise EndpointError(_describe(error)) from None
        except json.JSONDecodeError:
            raise EndpointError(f"the reply is not JSON; {WRONG_ADDRESS}") from None
        return self._reply(completion, time.perf_counter() - started)

    def _reply(self, completion: object, latency_seconds: float) -> ChatReply:
        # The client checks nothing: from a server of another kind it hands on a string or a list.
        if not isinstance(completion, ChatCompletion) or not completion.choices:
            raise EndpointError(f"the reply is no chat completion; {WRONG_ADDRESS}")
        choice, usage = completion.choices[0], completion.usage
        prompt_tokens = usage.prompt_tokens if usage else 0
        completion_tokens = usage.completion_tokens if usage else 0
        return ChatReply(
            text=choice.message.content or "",
            finish_reason="eos" if choice.finish_reason == "stop" else str(choice.finish_reason),
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            latency_seconds=latency_seconds,
            cost_usd=self.settings.cost(prompt_tokens, completion_tokens),
            first_token=_first_token(choice.logprobs),
        )


def _first_token(logprobs: object) -> dict[str, float]:
    content = getattr(logprobs, "content", None)
    if not content:
        return {}
    return {entry.token: math.exp(entry.logprob) for entry in content[0].top_logprobs}


def _pause(attempt: int, retry_after_seconds: float | None) -> float:
    """Exponential with full jitter, or what the server asked for."""
    if retry_after_seconds is not None:
        return min(retry_after_seconds, LONGEST_PAUSE_SECONDS)
    ceiling = min(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), LONGEST_PAUSE_SECONDS)
    return random.uniform(0, ceiling)


def _retry_after(error: openai.APIStatusError) -> float | None:
    try:
        return float(error.response.headers["retry-after"])
    except (KeyError, ValueError):
        return None


def _describe(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    kind = f"HTTP {status}" if status else type(error).__name__
    return f"{kind}: {' '.join(str(error).split())[:300]}"
