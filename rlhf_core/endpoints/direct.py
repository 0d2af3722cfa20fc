"""Delivery of requests one by one, many in flight, within the endpoint's pace and budget."""

import asyncio
import time
from collections.abc import Callable, Sequence

import httpx2
from openai import AsyncOpenAI

from rlhf_core.config.tree import EndpointSettings
from rlhf_core.endpoints.budget import Budget, Spend
from rlhf_core.endpoints.chat_completion import (
    ChatReply,
    ChatRequest,
    read_completion,
    request_body,
    to_reply,
)
from rlhf_core.endpoints.pacing import Pace, Slots
from rlhf_core.endpoints.retries import client_errors, with_retries
from rlhf_core.errors import BudgetError, EndpointError, TransientError

FAILURES_IN_A_ROW = 20
"""After this many consecutive requests have failed for good, no more are sent."""
WORKERS_PER_SLOT = 4
"""A worker that waits before a retry holds no slot, so there are more workers than slots."""


class DirectDelivery:
    """Delivers the requests of one `Endpoint.complete` call one by one.

    Args:
        client: An open client that does not retry by itself.
        settings: Model, limits and prices.
        pace: Rate limits and congestion of the server; it outlives this object.
        budget: Limits the spending.
    """

    def __init__(
        self, client: AsyncOpenAI, settings: EndpointSettings, pace: Pace, budget: Budget
    ) -> None:
        self.client, self.settings, self.pace, self.budget = client, settings, pace, budget
        self.slots = Slots(pace.congestion)
        self._failed_in_a_row = 0

    async def deliver(
        self,
        requests: Sequence[ChatRequest],
        report: Callable[[int, ChatReply | EndpointError], None],
    ) -> None:
        """Send all requests and report each exactly once, as soon as it is answered or has failed.

        Args:
            requests: The requests.
            report: Called with the index of a request and its reply or error.
        """
        pending = iter(enumerate(requests))

        async def work() -> None:
            for index, request in pending:
                report(index, await self._answer(request))

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(len(requests), self.settings.concurrency * WORKERS_PER_SLOT)):
                workers.create_task(work())

    async def _answer(self, request: ChatRequest) -> ChatReply | EndpointError:
        if self._failed_in_a_row >= FAILURES_IN_A_ROW:
            return EndpointError(f"not sent: {FAILURES_IN_A_ROW} requests in a row had failed")
        try:
            reply = await with_retries(lambda: self._attempt(request), self.settings.max_attempts)
        except EndpointError as error:
            self._failed_in_a_row += not isinstance(error, BudgetError)
            return error
        self._failed_in_a_row = 0
        return reply

    async def _attempt(self, request: ChatRequest) -> ChatReply:
        body = request_body(request, self.settings)
        tokens = request.input_tokens_at_most + request.max_tokens
        usd = self.settings.cost(request.input_tokens_at_most, request.max_tokens)
        at_most = Spend(usd, tokens, 1)
        expected = request.input_tokens_expected + request.max_tokens
        async with self.slots, self.budget.hold(at_most) as hold:
            await self.pace.wait_turn(expected)
            sent_at = time.monotonic()
            hold.cost = at_most
            try:
                reply = await self._send(request, body)
            except EndpointError as error:
                if not error.may_be_billed:
                    hold.cost = Spend()
                self._slow_down(error, sent_at)
                raise
            used = reply.prompt_tokens + reply.completion_tokens
            hold.cost = Spend(reply.cost_usd, used or tokens, 1)
        self.pace.congestion.on_answer()
        self.pace.tokens.take((used or tokens) - expected, time.monotonic())
        return reply

    async def _send(self, request: ChatRequest, body: dict[str, object]) -> ChatReply:
        started = time.perf_counter()
        # The client's own timeout applies to each read, so a trickling server would never time out.
        with client_errors(self.client.api_key):
            async with asyncio.timeout(self.settings.timeout_seconds):
                response = await self.client.post(
                    "/chat/completions", cast_to=httpx2.Response, body=body
                )
        completion = read_completion(response.content)
        return to_reply(completion, request, self.settings, time.perf_counter() - started)

    def _slow_down(self, error: EndpointError, sent_at: float) -> None:
        if not isinstance(error, TransientError):
            return
        now = time.monotonic()
        if error.is_throttled:
            self.pace.congestion.on_throttle(sent_at, now)
        if error.retry_after_seconds is not None:
            self.pace.congestion.pause(now + error.retry_after_seconds)
