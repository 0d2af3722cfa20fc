"""A server that fails half of all attempts in five ways: nothing is lost or overspent."""

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.tree import BudgetSettings
from rlhf_core.endpoints.budget import Budget
from rlhf_core.endpoints.endpoint import ChatReply, ChatRequest, Endpoint
from rlhf_core.errors import BudgetError, EndpointError
from rlhf_core.records.conversation import ask
from tests.servers import account, in_process

FAULT_SHARE = "0.1"
"""Share of attempts with each of 429, 500, a hang, truncated JSON and a wrong schema."""
MAX_TOKENS = 64


@pytest.fixture(autouse=True)
def _unstalled(impatient: None) -> Iterator[None]:
    gc.freeze()  # traversing torch's objects would stall the loop for longer than a timeout
    yield
    gc.unfreeze()


def billed(settings: EndpointSettings, tokens: dict[str, int]) -> float:
    """Return the bill in US dollars, by the server's token counts."""
    return settings.cost(tokens.get("prompt_tokens", 0), tokens.get("completion_tokens", 0))


def go_through(
    calls: int, max_usd: float, concurrency: int = 64, timeout_seconds: float = 1.0
) -> tuple[list[ChatReply], list[EndpointError]]:
    """Send every question and check each outcome against the server's records."""
    with in_process("tests.remote_server", "--latency", "0.002", "--faults", FAULT_SHARE) as url:
        settings = EndpointSettings(
            model="m",
            base_url=f"{url}/v1",
            concurrency=concurrency,
            timeout_seconds=timeout_seconds,
            price_per_million_input_tokens=2.0,
            price_per_million_output_tokens=8.0,
        )
        budget = Budget(BudgetSettings(max_usd=max_usd))
        questions = [f"question {number}" for number in range(calls)]
        requests = [ChatRequest(ask(text).messages, MAX_TOKENS, 0.0) for text in questions]
        reported: Counter[int] = Counter()
        replies = Endpoint(settings, budget).complete(
            requests, lambda index, reply: reported.update([index])
        )
        done = account(url)
    assert reported == dict.fromkeys(range(calls), 1)
    answered = []
    for question, reply in zip(questions, replies, strict=True):
        assert done["answers"].get(question, 0) == isinstance(reply, ChatReply)
        if isinstance(reply, ChatReply):
            assert reply.text == f"answer to {question}"
            answered.append(reply)
    failed = [reply for reply in replies if isinstance(reply, EndpointError)]
    assert len(answered) + len(failed) == calls
    for_answers = billed(settings, done["answered_tokens"])
    assert sum(reply.cost_usd for reply in answered) == pytest.approx(for_answers, abs=1e-9)
    assert for_answers + billed(settings, done["faulty_tokens"]) <= budget.spent.usd <= max_usd
    unbilled = done["faults"]["throttled"]
    assert budget.spent.calls == sum(done["attempts"].values()) - unbilled
    return answered, failed


def test_every_question_is_answered_once_or_has_a_reason():
    """Half of the attempts fail, so five in a row fail for 1 request in 32: about 9 of 300."""
    answered, failed = go_through(300, max_usd=10.0)
    assert 0 < len(failed) < 30
    assert all("(5 attempts)" in str(error) for error in failed)
    assert len(answered) > 270


def test_faults_and_retries_do_not_pass_the_budget():
    """An attempt costs at most $0.000812, so ten cents hold 123 that fail, or more that succeed."""
    answered, failed = go_through(300, max_usd=0.10)
    assert sum(isinstance(error, BudgetError) for error in failed) > 50
    assert len(answered) > 50


@pytest.mark.slow
def test_ten_thousand_questions_are_answered_once_or_have_a_reason():
    answered, failed = go_through(10_000, 100.0, concurrency=128, timeout_seconds=2.0)
    assert all("(5 attempts)" in str(error) for error in failed)
    assert len(answered) > 9_500
