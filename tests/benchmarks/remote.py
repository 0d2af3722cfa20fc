"""Calls of a remote model with every limit in force, against the bare client and a semaphore."""

import asyncio

from openai import AsyncOpenAI

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.tree import BudgetSettings
from rlhf_core.endpoints.budget import Budget
from rlhf_core.endpoints.endpoint import ChatReply, ChatRequest, Endpoint
from rlhf_core.models.device import Compute
from rlhf_core.records.conversation import ask
from tests.benchmarks.ratio import ratio
from tests.benchmarks.result import Result
from tests.servers import in_process

LOADS = ((1000, 32), (2000, 256))
"""Calls, and how many of them are in flight at once."""
LATENCY_SECONDS = 0.02
MAX_TOKENS, GOAL = 64, 0.95


def run(compute: Compute) -> list[Result]:
    """The server runs in a process of its own, and answers each call after 20 ms."""
    with in_process("tests.remote_server", "--latency", str(LATENCY_SECONDS)) as url:
        return [_calls(url, *load) for load in LOADS]


def _calls(url: str, calls: int, in_flight: int) -> Result:
    settings = EndpointSettings(
        model="m",
        base_url=f"{url}/v1",
        concurrency=in_flight,
        requests_per_minute=1e6,
        tokens_per_minute=1e9,
        deadline_seconds=60,
        price_per_million_input_tokens=2,
        price_per_million_output_tokens=8,
    )
    endpoint = Endpoint(settings, Budget(BudgetSettings(max_usd=100)))
    texts = [f"question {number}" for number in range(calls)]
    requests = [ChatRequest(ask(text).messages, MAX_TOKENS, 0.0) for text in texts]

    def ours() -> None:
        assert all(isinstance(reply, ChatReply) for reply in endpoint.complete(requests))

    async def bare() -> None:
        slots = asyncio.Semaphore(in_flight)

        async def ask(client: AsyncOpenAI, text: str) -> None:
            async with slots:
                await client.chat.completions.create(
                    model="m",
                    messages=[{"role": "user", "content": text}],
                    max_tokens=MAX_TOKENS,
                    temperature=0.0,
                )

        async with AsyncOpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0) as client:
            await asyncio.gather(*(ask(client, text) for text in texts))

    return ratio(
        "remote",
        ours,
        "bare client",
        lambda: asyncio.run(bare()),
        detail=f"{calls:,} calls, {in_flight} in flight",
        goal=GOAL,
    )
