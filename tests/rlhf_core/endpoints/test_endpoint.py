"""An endpoint against a fake, faulty server; test_serving.py uses a real one."""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.endpoints import retries
from rlhf_core.endpoints.budget import Spend
from rlhf_core.endpoints.endpoint import ChatReply, ChatRequest, Endpoint
from rlhf_core.errors import ConfigError, EndpointError
from rlhf_core.records.conversation import ask
from tests.rlhf_core.endpoints.conftest import KEY
from tests.servers import Answer, Server, completion, started

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with started(Server) as start:
        yield start


def send(
    server: Server,
    count: int = 1,
    request: dict[str, Any] | None = None,
    on_reply: Callable[[int, ChatReply | EndpointError], None] = lambda index, reply: None,
    **settings: Any,
) -> list[ChatReply | EndpointError]:
    chosen = {"model": "m", "base_url": server.url, "api_key_env": "TEST_KEY", **settings}
    requests = [
        ChatRequest(ask(f"question {n}").messages, 8, 0.5, **(request or {})) for n in range(count)
    ]
    return Endpoint(EndpointSettings.model_validate(chosen)).complete(requests, on_reply)


def test_replies_come_in_the_order_of_the_requests(serve):
    def answer(body: dict[str, Any], number: int) -> Answer:
        time.sleep(0.02 * (5 - number))
        return completion(body["messages"][0]["content"])

    replies = send(serve(answer), count=5)
    assert [reply.text for reply in replies] == [f"question {n}" for n in range(5)]


def test_what_is_sent_and_what_comes_back(serve):
    server = serve(lambda body, number: completion())
    prices = {"price_per_million_input_tokens": 2.0, "price_per_million_output_tokens": 8.0}
    (reply,) = send(server, request={"seed": 7, "top_logprobs": 5}, **prices)
    (sent,) = server.requests
    assert (sent["max_tokens"], sent["temperature"], sent["seed"]) == (8, 0.5, 7)
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 5)
    assert server.keys == [f"Bearer {KEY}"]
    assert (reply.text, reply.finish_reason) == ("Paris.", "eos")
    assert (reply.prompt_tokens, reply.completion_tokens) == (1000, 500)
    assert reply.cost_usd == pytest.approx((1000 * 2 + 500 * 8) / 1e6)
    assert reply.latency_seconds > 0


def test_what_was_not_asked_for_is_not_sent(serve):
    server = serve(lambda body, number: completion())
    send(server)
    assert not {"seed", "logprobs", "top_logprobs"} & set(server.requests[0])


def test_probabilities_of_each_token(serve):
    """exp(−0.1) = 0.9048; a token listed twice, for different bytes, counts with the sum.

    A server may leave the chosen token out of the alternatives.
    """

    def position(token: str, *tops: tuple[str, float]) -> dict[str, object]:
        named = [{"token": t, "logprob": p, "bytes": None} for t, p in tops]
        return {"token": token, "logprob": -0.1, "bytes": None, "top_logprobs": named}

    content = [position("I say", ("A", -0.1), (" B", -2.0)), position(" A", ("A", -3), ("A", -3))]
    server = serve(lambda body, number: completion("A", logprobs={"content": content}))
    (reply,) = send(server, request={"top_logprobs": 2})
    (one, first), (two, second) = reply.tokens
    assert (one, two) == ("I say", " A")
    assert first == pytest.approx({"A": 0.9048, " B": 0.1353, "I say": 0.9048}, abs=1e-4)
    assert second == pytest.approx({"A": 0.0996, " A": 0.9048}, abs=1e-4)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failure_of_the_moment_is_tried_again(serve, status: int):
    server = serve(lambda body, number: (status, {}, "{}") if number < 3 else completion())
    (reply,) = send(server)
    assert reply.text == "Paris."
    assert len(server.requests) == 3


def test_a_server_that_stays_down_is_given_up_after_max_attempts(serve):
    server = serve(lambda body, number: (503, {}, '{"error": {"message": "overloaded"}}'))
    (error,) = send(server, max_attempts=3)
    assert isinstance(error, EndpointError)
    assert "HTTP 503" in str(error)
    assert "(3 attempts)" in str(error)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 408, 422])
def test_a_mistake_is_not_tried_again(serve, status: int):
    server = serve(lambda body, number: (status, {}, '{"error": {"message": "no"}}'))
    (error,) = send(server)
    assert f"HTTP {status}" in str(error)
    assert len(server.requests) == 1


def test_one_failure_does_not_lose_the_other_answers(serve):
    def answer(body: dict[str, Any], number: int) -> Answer:
        is_first = body["messages"][0]["content"] == "question 0"
        return (400, {}, "{}") if is_first else completion()

    failed, *others = send(serve(answer), count=4)
    assert isinstance(failed, EndpointError)
    assert [reply.text for reply in others] == ["Paris."] * 3


@pytest.mark.parametrize(
    "body", ["not json", "[]", '{"choices": []}', '{"choices": null}', "{}", '"text"']
)
def test_a_reply_that_makes_no_sense_is_an_error_not_a_crash(serve, body: str):
    (error,) = send(serve(lambda request, number: (200, {}, body)), max_attempts=1)
    assert isinstance(error, EndpointError)
    assert "is base_url the right address?" in str(error)


@pytest.mark.parametrize("body", [completion()[2][:50], '{"choices": []}'])
def test_an_unreadable_reply_is_tried_again(serve, body: str):
    server = serve(lambda request, number: (200, {}, body) if number < 3 else completion())
    (reply,) = send(server)
    assert reply.text == "Paris."
    assert len(server.requests) == 3


def test_an_account_without_credit_is_not_asked_again(serve):
    """Waiting does not resolve this 429."""
    body = '{"error": {"message": "pay first", "code": "insufficient_quota"}}'
    server = serve(lambda request, number: (429, {}, body))
    (error,) = send(server)
    assert "pay first" in str(error)
    assert len(server.requests) == 1


def test_an_answer_of_nothing_is_empty_text(serve):
    message = {"role": "assistant", "content": None}
    (reply,) = send(serve(lambda body, number: completion(message=message)))
    assert reply.text == ""


def test_a_server_that_does_not_answer_in_time_is_given_up(serve):
    def answer(body: dict[str, Any], number: int) -> Answer:
        time.sleep(0.5)
        return completion()

    (error,) = send(serve(answer), timeout_seconds=0.05, max_attempts=2)
    assert "Timeout" in str(error)


def test_a_server_that_trickles_is_given_up_too():
    """A timeout for each read would never expire with a byte now and then."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection, suppress(ConnectionError):
                for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b" " * 400:
                    connection.send(bytes([byte]))
                    time.sleep(0.05)

        server = threading.Thread(target=trickle)
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        settings = EndpointSettings(
            model="m", base_url=url, api_key_env="TEST_KEY", timeout_seconds=0.3, max_attempts=1
        )
        started = time.monotonic()
        (error,) = Endpoint(settings).complete([ChatRequest(ask("x").messages, 1, 1.0)])
        assert time.monotonic() - started < 10.0
        server.join()
    assert "timed out" in str(error)


def test_no_server_at_all_is_an_error():
    settings = EndpointSettings(model="m", base_url="http://127.0.0.1:9/v1", max_attempts=2)
    (error,) = Endpoint(settings).complete([ChatRequest(ask("x").messages, 1, 1.0)])
    assert "APIConnectionError" in str(error)


def test_no_more_requests_are_in_flight_than_configured(serve):
    def answer(body: dict[str, Any], number: int) -> Answer:
        time.sleep(0.03)
        return completion()

    server = serve(answer)
    send(server, count=12, concurrency=3)
    assert server.busiest == 3


def test_the_key_shows_up_nowhere(serve, caplog):
    """The key does not show even if the server quotes it, as some servers do with a wrong key."""
    said = "x" * 262 + f"wrong key {KEY}"  # where the reason is truncated
    server = serve(lambda body, number: (401, {}, json.dumps({"error": {"message": said}})))
    settings = EndpointSettings(model="m", base_url=server.url, api_key_env="TEST_KEY")
    endpoint = Endpoint(settings)
    with caplog.at_level(logging.DEBUG):
        (error,) = endpoint.complete([ChatRequest(ask("x").messages, 1, 1.0)])
    assert "HTTP 401" in str(error)
    shown = (str(error), repr(error), repr(endpoint), str(settings), caplog.text)
    for text in (*shown, settings.model_dump_json()):
        assert KEY[:8] not in text


def test_a_remote_server_needs_its_key_before_anything_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set; it must hold the key for"):
        Endpoint(EndpointSettings(model="m", api_key_env="NO_SUCH_KEY"))


def test_what_a_server_says_is_shown_without_control_characters(serve):
    said = json.dumps({"error": {"message": "bad\x1b[2J\nrequest"}})
    (error,) = send(serve(lambda body, number: (400, {}, said)))
    assert "\x1b" not in str(error)
    assert "\n" not in str(error)


def test_each_reply_is_handed_over_as_soon_as_it_is_there(serve):
    """The server answers the first only after the three others have been reported."""
    others = threading.Event()

    def answer(body: dict[str, Any], number: int) -> Answer:
        question = body["messages"][0]["content"]
        if question == "question 0":
            assert others.wait(20)
        return (400, {}, "{}") if question == "question 2" else completion(question)

    seen: list[tuple[int, ChatReply | EndpointError]] = []

    def note(index: int, reply: ChatReply | EndpointError) -> None:
        seen.append((index, reply))
        if len(seen) == 3:
            others.set()

    replies = send(serve(answer), 4, on_reply=note)
    assert sorted(index for index, _ in seen) == [0, 1, 2, 3]
    assert seen[-1][0] == 0
    assert all(replies[index] is reply for index, reply in seen)
    assert isinstance(replies[2], EndpointError)


def test_what_on_reply_raises_ends_everything(serve):
    def stop(index: int, reply: object) -> None:
        raise ValueError("enough")

    server = serve(lambda body, number: completion())
    with pytest.raises(ValueError, match="enough"):
        send(server, 100, on_reply=stop, concurrency=2)
    assert len(server.requests) < 100


def test_what_is_not_answered_by_the_deadline_is_an_error(serve):
    """The server answers one request at once and hangs on the others."""
    over = threading.Event()

    def answer(body: dict[str, Any], number: int) -> Answer:
        if body["messages"][0]["content"] != "question 0":
            over.wait(20)
        return completion()

    seen: list[int] = []
    started = time.monotonic()
    replies = send(
        serve(answer),
        20,
        on_reply=lambda index, reply: seen.append(index),
        concurrency=2,
        deadline_seconds=1.0,
    )
    assert time.monotonic() - started < 10.0
    over.set()
    assert replies[0].text == "Paris."
    for late in replies[1:]:
        assert str(late) == "no answer within deadline_seconds (1)"
    assert sorted(seen) == list(range(20))


def test_a_request_that_waits_before_a_retry_leaves_its_slot_to_others(serve, monkeypatch):
    """There is one slot and a pause of 1 s, in which the three other requests are answered."""
    monkeypatch.setattr(retries, "jitter", lambda attempt: 1.0)

    def answer(body: dict[str, Any], number: int) -> Answer:
        if number == 1:
            return 500, {}, "{}"
        return completion(body["messages"][0]["content"])

    seen: list[int] = []
    replies = send(
        serve(answer), 4, on_reply=lambda index, reply: seen.append(index), concurrency=1
    )
    assert seen[-1] == 0
    assert [reply.text for reply in replies] == [f"question {n}" for n in range(4)]


def test_retry_after_holds_back_every_request(serve):
    """One 429 asks for 0.5 s; in that time no request is sent, not only the refused one."""
    arrivals: list[float] = []

    def answer(body: dict[str, Any], number: int) -> Answer:
        arrivals.append(time.monotonic())
        return (429, {"retry-after": "0.5"}, "{}") if number == 1 else completion()

    replies = send(serve(answer), 6, concurrency=1)
    assert all(isinstance(reply, ChatReply) for reply in replies)
    assert min(arrivals[1:]) - arrivals[0] >= 0.5


@pytest.mark.parametrize(
    "limit", [{"requests_per_minute": 600}, {"tokens_per_minute": 600 * (14 / 4 + 8)}]
)
def test_the_rate_is_kept(serve, limit: dict[str, float]):
    """Ten requests a second follow the first eleven; 14 bytes count as 3.5 tokens, and 8 may come.

    The server counts the same 11.5 tokens, rounded up, so nothing is returned to the bucket.
    """
    counted = json.loads(completion()[2])
    counted["usage"] = {"prompt_tokens": 4, "completion_tokens": 8}
    server = serve(lambda body, number: (200, {}, json.dumps(counted)))
    started = time.monotonic()
    replies = send(server, 17, **limit)
    assert all(isinstance(reply, ChatReply) for reply in replies)
    assert time.monotonic() - started > 0.5


def test_tokens_that_were_not_used_are_given_back(serve):
    """Otherwise 211 requests of 11.5 tokens, at ten requests a second, would take 20 s."""
    counted = json.loads(completion()[2])
    counted["usage"] = {"prompt_tokens": 1, "completion_tokens": 0}
    server = serve(lambda body, number: (200, {}, json.dumps(counted)))
    started = time.monotonic()
    send(server, 211, tokens_per_minute=600 * 11.5)
    assert time.monotonic() - started < 18.0


def test_a_server_that_refused_is_asked_less_at_a_time_by_the_next_call_too(serve):
    """The concurrency falls from 32 to 16 at most; 32 answered requests raise it to 19 at most."""
    is_refusing = True

    def answer(body: dict[str, Any], number: int) -> Answer:
        if is_refusing:
            return 429, {}, "{}"
        time.sleep(0.2)
        return completion()

    server = serve(answer)
    settings = EndpointSettings(model="m", base_url=server.url, concurrency=32, max_attempts=2)
    endpoint = Endpoint(settings)
    requests = [ChatRequest(ask("x").messages, 8, 0.0)] * 32
    refusals = [str(reply) for reply in endpoint.complete(requests)]
    assert [text for text in refusals if "HTTP 429" not in text] == []
    is_refusing, server.busiest = False, 0
    assert all(isinstance(reply, ChatReply) for reply in endpoint.complete(requests))
    assert server.busiest <= 19


def test_half_a_surrogate_pair_is_an_error_of_that_request_alone(serve):
    server = serve(lambda body, number: completion())
    settings = EndpointSettings(model="m", base_url=server.url, api_key_env="TEST_KEY")
    requests = [ChatRequest(ask(text).messages, 8, 0.0) for text in ("\ud800", "fine")]
    broken, fine = Endpoint(settings).complete(requests)
    assert "not valid Unicode" in str(broken)
    assert fine.text == "Paris."


def test_a_server_that_counts_no_tokens_is_charged_for_the_most(serve):
    """4 + 1 bytes and 128 tokens of template in, 8 tokens out: (133 x 1 + 8 x 10) millionths."""
    uncounted = json.loads(completion()[2]) | {"usage": None}
    server = serve(lambda body, number: (200, {}, json.dumps(uncounted)))
    settings = EndpointSettings(
        model="m",
        base_url=server.url,
        api_key_env="TEST_KEY",
        price_per_million_input_tokens=1.0,
        price_per_million_output_tokens=10.0,
    )
    endpoint = Endpoint(settings)
    (reply,) = endpoint.complete([ChatRequest(ask("x").messages, 8, 0.0)])
    assert (reply.prompt_tokens, reply.completion_tokens) == (0, 0)
    assert reply.cost_usd == pytest.approx(213e-6)
    assert endpoint.budget.spent == Spend(reply.cost_usd, 141, 1)
