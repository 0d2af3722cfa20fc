"""A chat model behind an OpenAI-compatible server: many requests at once, each answered or failed.

An endpoint reads its key from the environment when it is created. The key is never logged and never
part of an error.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import httpx2
from openai import AsyncAzureOpenAI, AsyncOpenAI

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.tree import BudgetSettings
from rlhf_core.endpoints.batch import BatchDelivery
from rlhf_core.endpoints.budget import Budget
from rlhf_core.endpoints.chat_completion import ChatReply, ChatRequest
from rlhf_core.endpoints.connections import http_clients
from rlhf_core.endpoints.direct import DirectDelivery
from rlhf_core.endpoints.pacing import Pace
from rlhf_core.errors import ConfigError, EndpointError

NO_KEY = "no-key-is-set"
"""Key to send to a server that needs none, because the client requires one."""

SHORTEST_SECRET = 8

__all__ = ["ChatReply", "ChatRequest", "Endpoint"]


class Endpoint:
    """A model that is queried over the network.

    An endpoint remembers its server's rate limits, so keep one instead of creating one for every
    call.

    Args:
        settings: Model, address and limits.
        budget: Limits the spending, shared with other endpoints; None sets no limit.

    Raises:
        ConfigError: If the environment variable of the key is not set and `base_url` is null, or
            that of a header is not set.
    """

    def __init__(self, settings: EndpointSettings, budget: Budget | None = None) -> None:
        self.settings = settings
        self.budget = budget or Budget(BudgetSettings())
        key = os.environ.get(settings.api_key_env)
        if key is None and settings.base_url is None:
            raise ConfigError(
                f"environment variable {settings.api_key_env} is not set; it must hold the key "
                f"for model {settings.model!r}, or name a server that needs none in base_url"
            )
        self._key = key or NO_KEY
        self._headers = {name: _variable(settings, at) for name, at in settings.headers.items()}
        self._pace = Pace(settings, self._key)

    def complete(
        self,
        requests: Sequence[ChatRequest],
        on_reply: Callable[[int, ChatReply | EndpointError], None] = lambda index, reply: None,
    ) -> list[ChatReply | EndpointError]:
        """Send requests and wait for all replies.

        Args:
            requests: The requests; with delivery by batch, pass as many as possible in one call.
            on_reply: Called exactly once for each request, with its index, as soon as it is
                answered or has failed. Other requests wait while it runs, so it must be quick. An
                exception in it ends the call.

        Returns:
            A reply to each request, in their order; an error where a request failed.
        """
        return asyncio.run(self._complete(requests, on_reply))

    async def _complete(
        self,
        requests: Sequence[ChatRequest],
        on_reply: Callable[[int, ChatReply | EndpointError], None],
    ) -> list[ChatReply | EndpointError]:
        replies: dict[int, ChatReply | EndpointError] = {}

        def report(index: int, reply: ChatReply | EndpointError) -> None:
            replies[index] = reply
            on_reply(index, reply)

        deadline = asyncio.timeout(self.settings.deadline_seconds)
        try:
            async with AsyncExitStack() as opened, deadline:
                clients = [
                    await opened.enter_async_context(self._client(each))
                    for each in http_clients(self.settings.concurrency)
                ]
                await self._delivery(clients).deliver(requests, report)
        except TimeoutError:
            if not deadline.expired():
                raise
        except ExceptionGroup as failures:  # from the task group: on_reply raised
            raise failures.exceptions[0] from None
        for index in range(len(requests)):
            if index not in replies:
                report(index, self._deadline_error())
        return [replies[index] for index in range(len(requests))]

    def _delivery(self, clients: Sequence[AsyncOpenAI]) -> DirectDelivery | BatchDelivery:
        if self.settings.delivery == "batch":
            return BatchDelivery(clients[0], self.settings, self.budget, self._secrets)
        return DirectDelivery(clients, self.settings, self._pace, self.budget, self._secrets)

    @property
    def _secrets(self) -> list[str]:
        """The texts that no error may repeat; a short header, such as a number, is none."""
        headers = [text for text in self._headers.values() if len(text) >= SHORTEST_SECRET]
        return [self._key, *headers]

    def _client(self, http_client: httpx2.AsyncClient) -> AsyncOpenAI:
        shared: dict[str, Any] = {
            "api_key": self._key,
            "timeout": self.settings.timeout_seconds,
            "max_retries": 0,
            "default_headers": self._headers,
            "http_client": http_client,
        }
        if self.settings.api_version is None:
            return AsyncOpenAI(base_url=self.settings.base_url, **shared)
        return AsyncAzureOpenAI(
            azure_endpoint=str(self.settings.base_url),
            api_version=self.settings.api_version,
            **shared,
        )

    def _deadline_error(self) -> EndpointError:
        reason = f"no answer within deadline_seconds ({self.settings.deadline_seconds:g})"
        if self.settings.delivery == "batch":
            reason += "; its batch continues, and the same requests sent again will find it"
        return EndpointError(reason)


def _variable(settings: EndpointSettings, name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise ConfigError(
            f"environment variable {name} is not set; it must hold the header that `headers` "
            f"names for model {settings.model!r}"
        )
    return value
