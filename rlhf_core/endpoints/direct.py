"""Delivery of requests one by one, many in flight, within the endpoint's pace and budget."""

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx2
from openai import APIStatusError, AsyncOpenAI

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.endpoints.budget import Budget, Spend
from rlhf_core.endpoints.chat_completion import (
    ChatReply,
    ChatRequest,
    filtered_reply,
    read_completion,
    request_body,
    to_reply,
)
from rlhf_core.endpoints.pacing import Pace, Slots
from rlhf_core.endpoints.profile import (
    KnownProfile,
    Profile,
    Refusal,
    lost_in_thought,
    refused_option,
    with_room,
)
from rlhf_core.endpoints.retries import client_errors, with_retries
from rlhf_core.errors import BudgetError, ContentFilteredError, EndpointError, TransientError

FAILURES_IN_A_ROW = 20
"""After this many consecutive requests have failed for good, no more are sent."""
LOST_IN_A_ROW = 5
"""After this many consecutive replies without an answer after their thoughts, no more are sent."""
WORKERS_PER_SLOT = 4
"""A worker that waits before a retry holds no slot, so there are more workers than slots."""


class _OptionRefusedError(Exception):
    """A server refused an option of a request by name."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.option)
        self.refusal = refusal


class DirectDelivery:
    """Delivers the requests of one `Endpoint.complete` call one by one.

    Args:
        clients: Open clients that do not retry by themselves; requests take them in turn.
        settings: Model, limits and prices.
        pace: Rate limits and congestion of the server; it outlives this object.
        budget: Limits the spending.
        secrets: Texts of the requests that no error may repeat.
    """

    def __init__(
        self,
        clients: Sequence[AsyncOpenAI],
        settings: EndpointSettings,
        pace: Pace,
        budget: Budget,
        secrets: Collection[str] = (),
    ) -> None:
        self.settings, self.pace, self.budget = settings, pace, budget
        self.secrets = secrets
        self.slots = Slots(pace.congestion)
        self._turns = itertools.cycle(clients)
        self._known = KnownProfile(settings)
        self._failed_in_a_row = 0
        self._lost_in_a_row = 0

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
        if reason := self._reason_to_stop():
            return EndpointError(f"not sent: {reason}")
        try:
            reply = await self._with_room_for_thoughts(request)
        except EndpointError as error:
            self._failed_in_a_row += not isinstance(error, BudgetError)
            return error
        self._failed_in_a_row = 0
        self._lost_in_a_row = self._lost_in_a_row + 1 if reply.is_lost_in_thought else 0
        return reply

    def _reason_to_stop(self) -> str | None:
        if self._failed_in_a_row >= FAILURES_IN_A_ROW:
            return f"{FAILURES_IN_A_ROW} requests in a row had failed"
        if self._lost_in_a_row >= LOST_IN_A_ROW:
            return f"{LOST_IN_A_ROW} replies in a row were {lost_in_thought(self.settings)}"
        return None

    async def _with_room_for_thoughts(self, request: ChatRequest) -> ChatReply:
        """Return the reply; one that is lost in thought is requested once more, with more tokens.

        The reply then has the costs of both.
        """
        reply, had_room = await self._try(request)
        if had_room or not reply.is_lost_in_thought:
            return reply
        again, _ = await self._try(request)
        return replace(
            again,
            prompt_tokens=reply.prompt_tokens + again.prompt_tokens,
            completion_tokens=reply.completion_tokens + again.completion_tokens,
            latency_seconds=reply.latency_seconds + again.latency_seconds,
            cost_usd=reply.cost_usd + again.cost_usd,
        )

    async def _try(self, request: ChatRequest) -> tuple[ChatReply, bool]:
        return await with_retries(lambda: self._attempt(request), self.settings.max_attempts)

    async def _attempt(self, request: ChatRequest) -> tuple[ChatReply, bool]:
        """Return the reply, and whether the request had room for thoughts."""
        async with self.slots:
            has_room = self._known.profile.thinks
            reply = await self._pay(with_room(request, self.settings) if has_room else request)
        if reply.thinks:
            self._known.learn(Profile(thinks=True))
        return reply, has_room

    async def _pay(self, request: ChatRequest) -> ChatReply:
        body = request_body(request, self.settings)
        tokens = request.input_tokens_at_most + request.max_tokens
        usd = self.settings.cost(request.input_tokens_at_most, request.max_tokens)
        at_most = Spend(usd, tokens, 1)
        expected = request.input_tokens_expected + request.max_tokens
        async with self.budget.hold(at_most) as hold:
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
            if reply.is_unbilled:
                used, hold.cost = 0, Spend()
            else:
                used = used or tokens
                hold.cost = Spend(reply.cost_usd, used, 1)
        self.pace.congestion.on_answer()
        self.pace.tokens.take(used - expected, time.monotonic())
        return reply

    async def _send(self, request: ChatRequest, body: Mapping[str, Any]) -> ChatReply:
        """Return the reply, without the options that the server refuses by name."""
        started = time.perf_counter()
        profile = self._known.profile
        while True:
            fitted = profile.fit(request, body)
            try:
                content = await self._post(fitted)
                break
            except _OptionRefusedError as error:
                profile = profile.after(error.refusal, fitted)
                await self.pace.wait_turn(0.0)
            except ContentFilteredError:
                return filtered_reply(time.perf_counter() - started)
        self._known.learn(profile)
        completion = read_completion(content)
        return to_reply(completion, request, self.settings, time.perf_counter() - started)

    async def _post(self, body: Mapping[str, Any]) -> bytes:
        # The client's own timeout applies to each read, so a trickling server would never time out.
        with client_errors(self.secrets):
            async with asyncio.timeout(self.settings.timeout_seconds):
                try:
                    response = await next(self._turns).post(
                        "/chat/completions", cast_to=httpx2.Response, body=dict(body)
                    )
                except APIStatusError as error:
                    if refusal := refused_option(error, body):
                        raise _OptionRefusedError(refusal) from None
                    raise
        return response.content

    def _slow_down(self, error: EndpointError, sent_at: float) -> None:
        if not isinstance(error, TransientError):
            return
        now = time.monotonic()
        if error.is_throttled:
            self.pace.congestion.on_throttle(sent_at, now)
        if error.retry_after_seconds is not None:
            self.pace.pause(now + error.retry_after_seconds)
