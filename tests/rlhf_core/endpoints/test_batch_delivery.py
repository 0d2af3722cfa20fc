"""Batch delivery against a fake server of files and batches; see tests/batch_server.py."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.tree import BudgetSettings
from rlhf_core.endpoints import batch_files
from rlhf_core.endpoints.budget import Budget, Spend
from rlhf_core.endpoints.endpoint import ChatReply, ChatRequest, Endpoint
from rlhf_core.endpoints.profile import KnownProfile, Profile
from rlhf_core.errors import BudgetError, EndpointError
from rlhf_core.records.conversation import ask
from tests.batch_server import BatchServer, Line, answered
from tests.rlhf_core.endpoints.conftest import KEY
from tests.servers import ROOT, started

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def serve() -> Iterator[Callable[..., BatchServer]]:
    with started(BatchServer) as start:
        yield start


def endpoint(server: BatchServer, budget: Budget | None = None, **settings: Any) -> Endpoint:
    chosen = {
        "model": "m",
        "base_url": server.url,
        "api_key_env": "TEST_KEY",
        "delivery": "batch",
        "batch_poll_seconds": 0.01,
        "price_per_million_input_tokens": 2.0,
        "price_per_million_output_tokens": 8.0,
    }
    return Endpoint(EndpointSettings.model_validate({**chosen, **settings}), budget)


def questions(*texts: str) -> list[ChatRequest]:
    return [ChatRequest(ask(text).messages, 8, 0.5, seed=1) for text in texts]


FOUR = questions("a", "b", "c", "d")


def failing(question: str, outcome: Line | None) -> Callable[[Line], Line | None]:
    """Return a server's behaviour: `outcome` for one question, an answer to every other."""

    def answer(line: Line) -> Line | None:
        if line["body"]["messages"][-1]["content"] != question:
            return answered(line)
        return outcome and {"custom_id": line["custom_id"], **outcome}

    return answer


def test_answers_find_their_requests_whatever_their_order(serve):
    server = serve()
    requests = questions(*(f"q{number}" for number in range(20)))
    seen: dict[int, Any] = {}
    replies = endpoint(server).complete(requests, lambda index, reply: seen.update({index: reply}))
    assert [reply.text for reply in replies] == [f"answer to q{number}" for number in range(20)]
    assert seen == dict(enumerate(replies))
    assert len(server.batches) == 1
    (sent,) = {line["url"] for line in server.lines("file-0")}
    assert sent == "/v1/chat/completions"
    assert server.lines("file-0")[0]["body"]["seed"] == 1


def test_a_batch_costs_half(serve):
    """10 tokens in at $2 and 5 out at $8 a million cost $0.00006; half of that is $0.00003."""
    budget = Budget(BudgetSettings(max_usd=1.0))
    replies = endpoint(serve(), budget).complete(FOUR)
    assert [reply.cost_usd for reply in replies] == pytest.approx([3e-5] * 4)
    assert budget.spent.usd == pytest.approx(12e-5)
    assert (budget.spent.tokens, budget.spent.calls) == (60, 4)


def test_the_same_request_twice_gets_two_answers(serve):
    server = serve()
    replies = endpoint(server).complete(questions("a", "a", "b"))
    assert [reply.text for reply in replies] == ["answer to a", "answer to a", "answer to b"]
    assert server.sent == {"a": 2, "b": 1}


ERROR = {"response": None, "error": {"code": "batch_expired", "message": "took too long"}}
REFUSED = {"response": {"status_code": 400, "body": {"error": "no such model"}}, "error": None}
SENSELESS = {"response": {"status_code": 200, "body": {"choices": []}}, "error": None}
EMPTY = {"response": None, "error": None}


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (None, "batch batch-0 completed; it holds no answer to this request"),
        (ERROR, "the batch's line failed: batch_expired: took too long"),
        (REFUSED, "HTTP 400: .*no such model"),
        (SENSELESS, "the reply is no chat completion"),
        (EMPTY, "neither an answer nor an error"),
    ],
)
def test_a_line_that_failed_is_an_error_with_its_reason(serve, outcome: Line | None, reason: str):
    first, failed, *others = endpoint(serve(failing("b", outcome))).complete(FOUR)
    assert isinstance(failed, EndpointError)
    with pytest.raises(EndpointError, match=reason):
        raise failed
    assert [r.text for r in (first, *others)] == ["answer to a", "answer to c", "answer to d"]


def test_a_line_that_is_cut_off_loses_no_other(serve):
    server = serve(looks=None)
    begun = endpoint(server, deadline_seconds=0.3)
    begun.complete(FOUR)
    server.end(server.batches[0])
    name = server.batches[0]["output_file_id"]
    server.files[name] = server.files[name][:-20]
    replies = endpoint(server).complete(FOUR)
    assert sorted(type(reply).__name__ for reply in replies) == ["ChatReply"] * 3 + [
        "EndpointError"
    ]


def test_an_expired_batch_gives_what_it_finished(serve):
    server = serve(failing("b", ERROR), status="expired")
    replies = endpoint(server).complete(FOUR)
    assert [isinstance(reply, ChatReply) for reply in replies] == [True, False, True, True]
    again = endpoint(server).complete(FOUR)
    assert [str(reply) for reply in again] == [str(reply) for reply in replies]
    assert len(server.batches) == 1


def test_a_batch_that_failed_whole_is_an_error_and_is_made_anew_when_asked_again(serve):
    server = serve(lambda line: None, status="failed")
    replies = endpoint(server).complete(FOUR)
    assert [str(reply) for reply in replies] == [
        "batch batch-0 failed; it holds no answer to this request"
    ] * 4
    server.answer, server.status = answered, "completed"
    assert all(isinstance(reply, ChatReply) for reply in endpoint(server).complete(FOUR))
    assert len(server.batches) == 2


def test_a_batch_is_found_again_in_any_order_and_behind_others(serve):
    """The server lists batches in pages of two, newest first."""
    server = serve()
    first = endpoint(server).complete(FOUR)
    for text in ("x", "y", "z"):
        endpoint(server).complete(questions(text))
    again = endpoint(server).complete(FOUR[::-1])
    assert [reply.text for reply in again] == [reply.text for reply in first[::-1]]
    assert set(server.sent.values()) == {1}


def test_other_requests_are_another_batch(serve):
    server = serve()
    endpoint(server).complete(questions("a"))
    endpoint(server, model="other").complete(questions("a"))
    assert server.sent == {"a": 2}


def test_a_batch_whose_answers_are_deleted_by_now_is_made_anew(serve):
    server = serve()
    endpoint(server).complete(FOUR)
    server.batches[0]["created_at"] -= 30 * 24 * 3600
    endpoint(server).complete(FOUR)
    assert set(server.sent.values()) == {2}


def test_a_batch_whose_creation_only_seemed_to_fail_is_not_made_twice(serve):
    server = serve()
    server.failures_after_creation = 1
    assert all(isinstance(reply, ChatReply) for reply in endpoint(server).complete(FOUR))
    assert set(server.sent.values()) == {1}


@pytest.mark.parametrize(("limit", "value"), [("LINES_AT_MOST", 3), ("BYTES_AT_MOST", 700)])
def test_what_is_over_the_limits_is_split(serve, monkeypatch, limit: str, value: int):
    """A line takes about 230 bytes, so three fit into 700, and 7 requests make 3 batches."""
    monkeypatch.setattr(batch_files, limit, value)
    server = serve()
    texts = [f"q{number}" for number in range(7)]
    replies = endpoint(server).complete(questions(*texts))
    assert [reply.text for reply in replies] == [f"answer to {text}" for text in texts]
    sizes = [len(server.lines(batch["input_file_id"])) for batch in server.batches]
    assert sorted(sizes) == [1, 3, 3]


def test_a_run_killed_while_it_waits_goes_on_with_its_batch(serve):
    """The run is killed after its first poll; the next collects and sends nothing twice."""
    server = serve(looks=None)
    command = [sys.executable, "-m", "tests.rlhf_core.endpoints.ask_by_batch", server.url]
    victim = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    with victim:
        assert server.seen.wait(60)
        victim.kill()
    assert victim.returncode == -signal.SIGKILL
    server.looks = 1
    survivor = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert survivor.stdout.splitlines() == [f"answer to question {n}" for n in range(4)]
    assert len(server.batches) == 1
    assert server.sent == {f"question {number}": 1 for number in range(4)}


def test_the_deadline_ends_the_wait_and_not_the_batch(serve):
    server = serve(looks=None)
    budget = Budget(BudgetSettings())
    late = endpoint(server, budget, deadline_seconds=0.3).complete(FOUR)
    assert all("will find it" in str(reply) for reply in late)
    assert budget.spent.calls == 4
    server.looks = 1
    assert all(isinstance(reply, ChatReply) for reply in endpoint(server).complete(FOUR))
    assert len(server.batches) == 1


def test_a_batch_that_the_budget_does_not_hold_is_not_made(serve):
    """A request is 1 byte of text, 4 of role, 128 of template and 8 of answer: 141 tokens."""
    server = serve()
    refused = endpoint(server, Budget(BudgetSettings(max_tokens=4 * 141 - 1))).complete(FOUR)
    assert all(isinstance(reply, BudgetError) for reply in refused)
    assert server.batches == []
    held = endpoint(server, Budget(BudgetSettings(max_tokens=4 * 141))).complete(FOUR)
    assert all(isinstance(reply, ChatReply) for reply in held)


def test_a_batch_that_is_found_again_is_collected_whatever_the_budget(serve):
    server = serve()
    endpoint(server).complete(FOUR)
    budget = Budget(BudgetSettings(max_calls=1))
    replies = endpoint(server, budget).complete(FOUR)
    assert all(isinstance(reply, ChatReply) for reply in replies)
    assert budget.spent.calls == 4


def test_a_server_without_batches_is_an_error_that_costs_nothing(serve):
    server = serve()
    server.get = lambda address: (404, b'{"error": {"message": "no such path"}}')
    budget = Budget(BudgetSettings())
    replies = endpoint(server, budget).complete(FOUR)
    assert all("HTTP 404" in str(reply) for reply in replies)
    assert budget.spent == Spend()


@pytest.mark.parametrize("garbage", [b"not json", b"[]", b'{"data": null}', b'{"id": "batch-0"'])
def test_a_state_that_makes_no_sense_is_an_error_not_a_second_batch(serve, garbage: bytes):
    server = serve()
    server.get = lambda address: (200, garbage)
    replies = endpoint(server, max_attempts=2).complete(FOUR)
    assert all("is base_url the right address? (2 attempts)" in str(reply) for reply in replies)
    assert server.batches == []


def test_the_key_shows_up_in_no_reason(serve):
    said = {"response": None, "error": {"code": "x", "message": f"wrong key {KEY}"}}
    replies = endpoint(serve(failing("b", said))).complete(FOUR)
    assert "wrong key [key]" in str(replies[1])


def test_a_batch_is_made_for_what_the_server_was_seen_to_accept(serve):
    """The tiny request before it taught so; of the options, `seed` stays."""
    bodies: list[dict[str, Any]] = []
    server = serve(lambda line: bodies.append(line["body"]) or answered(line))
    asking = endpoint(server)
    learnt = Profile(frozenset({"max_tokens", "temperature"}), thinks=True)
    KnownProfile(asking.settings).learn(learnt)
    asking.complete(questions("a"))
    (body,) = bodies
    assert (body["max_completion_tokens"], body["seed"]) == (8 + 4096, 1)
    assert not {"max_tokens", "temperature"} & set(body)


def test_a_line_that_a_filter_refused_is_a_reply_without_cost(serve):
    body = {"error": {"message": "filtered", "code": "content_filter", "param": "prompt"}}
    refused = {"response": {"status_code": 400, "body": body}, "error": None}
    replies = endpoint(serve(failing("b", refused))).complete(FOUR)
    assert [reply.finish_reason for reply in replies] == ["eos", "content_filter", "eos", "eos"]
    assert (replies[1].text, replies[1].cost_usd) == ("", 0.0)
