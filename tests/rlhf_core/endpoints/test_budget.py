"""A budget is never exceeded: not by concurrent calls, not by retries, not by several threads."""

import asyncio
import json
import threading
import time
from typing import Any

import pytest

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.tree import BudgetSettings
from rlhf_core.endpoints.budget import Budget, Spend
from rlhf_core.endpoints.endpoint import ChatReply, ChatRequest, Endpoint
from rlhf_core.errors import BudgetError, EndpointError
from rlhf_core.records.conversation import ask
from tests.servers import Answer, Server, completion

pytestmark = pytest.mark.usefixtures("impatient")
TEN_CENTS = Spend(usd=0.10, tokens=10, calls=1)


async def call(budget: Budget, at_most: Spend, cost: Spend, seconds: float = 0.0) -> None:
    async with budget.hold(at_most) as hold:
        await asyncio.sleep(seconds)
        hold.cost = cost


def test_ten_times_ten_cents_are_exactly_a_dollar():
    """Ten times 0.1 is not 1 in floats, but fits; the eleventh call does not."""
    budget = Budget(BudgetSettings(max_usd=1.0))
    for _ in range(10):
        asyncio.run(call(budget, TEN_CENTS, TEN_CENTS))
    with pytest.raises(BudgetError, match=r"the budget of \$1\.00 is spent; raise budget\.max_usd"):
        asyncio.run(call(budget, TEN_CENTS, TEN_CENTS))
    assert budget.spent.usd == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("limit", "refusal"),
    [
        ({"max_tokens": 25}, "the budget of 25 tokens is spent; raise budget.max_tokens"),
        ({"max_calls": 2}, "the budget of 2 calls is spent; raise budget.max_calls"),
    ],
)
def test_tokens_and_calls_are_limited_like_money(limit: dict[str, int], refusal: str):
    budget = Budget(BudgetSettings.model_validate(limit))
    for _ in range(2):
        asyncio.run(call(budget, TEN_CENTS, TEN_CENTS))
    with pytest.raises(BudgetError, match=refusal):
        asyncio.run(call(budget, TEN_CENTS, TEN_CENTS))


def test_who_does_not_fit_waits_for_what_others_leave_over():
    """$0.30 hold three calls of ten cents at a time; each costs one cent, so all thirteen fit."""
    budget = Budget(BudgetSettings(max_usd=0.30))
    cent = Spend(usd=0.01, tokens=1, calls=1)

    async def main() -> None:
        await asyncio.gather(*(call(budget, TEN_CENTS, cent, 0.001) for _ in range(13)))

    asyncio.run(main())
    assert budget.spent.usd == pytest.approx(0.13)


def test_who_waits_is_refused_when_others_leave_nothing_over():
    budget = Budget(BudgetSettings(max_usd=0.15))

    async def main() -> list[Any]:
        calls = (call(budget, TEN_CENTS, TEN_CENTS, 0.01) for _ in range(5))
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(main())
    assert [type(outcome) for outcome in outcomes] == [type(None), *[BudgetError] * 4]


def test_a_call_that_is_cancelled_while_it_waits_leaves_no_trace():
    budget = Budget(BudgetSettings(max_usd=0.10))

    async def main() -> None:
        first = asyncio.create_task(call(budget, TEN_CENTS, Spend(), 0.05))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call(budget, TEN_CENTS, TEN_CENTS), 0.01)
        await first
        await call(budget, TEN_CENTS, TEN_CENTS)

    asyncio.run(main())
    assert budget.spent == TEN_CENTS


def test_threads_share_a_budget():
    """Eight loops of fifty calls would cost $40; the budget is $5, so exactly fifty are made."""
    budget, made, lock = Budget(BudgetSettings(max_usd=5.0)), [0], threading.Lock()

    async def one() -> None:
        try:
            await call(budget, TEN_CENTS, TEN_CENTS, 0.0001)
        except BudgetError:
            return
        with lock:
            made[0] += 1

    async def many() -> None:
        await asyncio.gather(*(one() for _ in range(50)))

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert made == [50]
    assert budget.spent.usd == pytest.approx(5.0)


def test_what_was_spent_before_counts():
    budget = Budget(BudgetSettings(max_usd=1.0), spent=Spend(usd=0.95))
    with pytest.raises(BudgetError, match=r"\$0\.95 are gone, and this may cost \$0\.10"):
        asyncio.run(call(budget, TEN_CENTS, TEN_CENTS))


def spent_on(answer: Answer, **settings: Any) -> Spend:
    """Return the spending of one request with one attempt."""
    server, budget = Server(lambda body, number: answer), Budget(BudgetSettings())
    try:
        chosen = EndpointSettings(model="m", base_url=server.url, max_attempts=1, **settings)
        Endpoint(chosen, budget).complete([ChatRequest(ask("x").messages, 8, 0.0)])
    finally:
        server.close()
    return budget.spent


AT_MOST = Spend(tokens=5 + 128 + 8, calls=1)
"""Highest cost of that request: five bytes, the template, the answer."""


@pytest.mark.parametrize(
    ("answer", "cost"),
    [
        (completion(), Spend(tokens=1500, calls=1)),
        ((429, {}, "{}"), Spend()),
        ((401, {}, "{}"), Spend()),
        ((500, {}, "{}"), AT_MOST),
        ((200, {}, "cut of"), AT_MOST),
    ],
)
def test_what_may_have_been_billed_counts_in_full(answer: Answer, cost: Spend):
    assert spent_on(answer) == cost


def test_a_time_out_counts_in_full_and_an_unreachable_server_not_at_all():
    server, budget = (
        Server(lambda body, number: time.sleep(0.3) or completion()),
        Budget(BudgetSettings()),
    )
    slow = EndpointSettings(model="m", base_url=server.url, max_attempts=2, timeout_seconds=0.05)
    request = ChatRequest(ask("x").messages, 8, 0.0)
    Endpoint(slow, budget).complete([request])
    server.close()
    assert budget.spent == AT_MOST + AT_MOST
    nobody = EndpointSettings(model="m", base_url="http://127.0.0.1:9/v1", max_attempts=2)
    Endpoint(nobody, budget).complete([request])
    assert budget.spent == AT_MOST + AT_MOST


def test_what_the_budget_does_not_hold_is_not_asked_and_the_rest_is():
    """A call holds 141 tokens and uses 20: with 500, the 18th starts at 340 and ends at 360.

    The 19th might end at 501, so neither it nor any later request is sent.
    """
    counted = json.loads(completion()[2])
    counted["usage"] = {"prompt_tokens": 12, "completion_tokens": 8}
    server = Server(lambda body, number: (200, {}, json.dumps(counted)))
    budget = Budget(BudgetSettings(max_tokens=500))
    settings = EndpointSettings(model="m", base_url=server.url, concurrency=8)
    requests = [ChatRequest(ask("x").messages, 8, 0.0)] * 100
    replies = Endpoint(settings, budget).complete(requests)
    server.close()
    answered = [reply for reply in replies if isinstance(reply, ChatReply)]
    assert len(answered) == len(server.requests) == 18
    assert budget.spent == Spend(tokens=360, calls=18)
    refused = [reply for reply in replies if isinstance(reply, EndpointError)]
    assert {type(reply) for reply in refused} == {BudgetError}
