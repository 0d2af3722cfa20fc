"""A chat model behind an OpenAI-compatible server: many requests at once, each answered or failed.

An endpoint reads its key from the environment when it is created. The key is never logged and never
part of an error.
"""

import asyncio
import os
from collections.abc import Callable, Sequence

import httpx2
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from rlhf_core.config.tree import BudgetSettings, EndpointSettings
from rlhf_core.endpoints.batch import BatchDelivery
from rlhf_core.endpoints.budget import Budget
from rlhf_core.endpoints.chat_completion import ChatReply, ChatRequest
from rlhf_core.endpoints.direct import DirectDelivery
from rlhf_core.endpoints.pacing import Pace
from rlhf_core.errors import ConfigError, EndpointError

NO_KEY = "no-key-is-set"
"""Key to send to a server that needs none, because the client requires one."""

__all__ = ["ChatReply", "ChatRequest", "Endpoint"]


class Endpoint:
    """A model that is queried over the network.

    An endpoint remembers its server's rate limits, so keep one instead of creating one for every
    call.

    Args:
        settings: Model, address and limits.
        budget: Limits the spending, shared with other endpoints; None sets no limit.

    Raises:
        ConfigError: If the environment variable of the key is not set and `base_url` is null.
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
        self._pace = Pace(settings)

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
            async with self._client() as client, deadline:
                await self._delivery(client).deliver(requests, report)
        except TimeoutError:
            if not deadline.expired():
                raise
        except ExceptionGroup as failures:  # from the task group: on_reply raised
            raise failures.exceptions[0] from None
        for index in range(len(requests)):
            if index not in replies:
                report(index, self._deadline_error())
        return [replies[index] for index in range(len(requests))]

    def _delivery(self, client: AsyncOpenAI) -> DirectDelivery | BatchDelivery:
        if self.settings.delivery == "batch":
            return BatchDelivery(client, self.settings, self.budget)
        return DirectDelivery(client, self.settings, self._pace, self.budget)

    def _client(self) -> AsyncOpenAI:
        connections = httpx2.Limits(
            max_connections=None, max_keepalive_connections=self.settings.concurrency
        )
        return AsyncOpenAI(
            api_key=self._key,
            base_url=self.settings.base_url,
            timeout=self.settings.timeout_seconds,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(limits=connections),
        )

    def _deadline_error(self) -> EndpointError:
        reason = f"no answer within deadline_seconds ({self.settings.deadline_seconds:g})"
        if self.settings.delivery == "batch":
            reason += "; its batch continues, and the same requests sent again will find it"
        return EndpointError(reason)
