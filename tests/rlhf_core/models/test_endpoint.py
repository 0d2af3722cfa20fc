"""Against a faulty server made for it here, and against a real one in test_serving.py."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rlhf_core.config.tree import EndpointSettings
from rlhf_core.errors import ConfigError, EndpointError
from rlhf_core.models import endpoint as module
from rlhf_core.models.endpoint import ChatReply, ChatRequest, Endpoint

Answer = tuple[int, dict[str, str], str]
KEY = "sk-secret-of-the-test"


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(answer: Callable[[dict[str, Any], int], Answer]) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("TEST_KEY", KEY)


def ask(
    server: Server, count: int = 1, request: dict[str, Any] | None = None, **settings: Any
) -> list[ChatReply | EndpointError]:
    chosen = {"model": "m", "base_url": server.url, "api_key_env": "TEST_KEY", **settings}
    requests = [
        ChatRequest((("user", f"question {n}"),), 8, 0.5, **(request or {})) for n in range(count)
    ]
    return Endpoint(EndpointSettings.model_validate(chosen)).complete(requests)


def test_replies_come_in_the_order_of_the_requests(serve):
    def answer(body: dict[str, Any], number: int) -> Answer:
        time.sleep(0.02 * (5 - number))
        return completion(body["messages"][0]["content"])

    replies = ask(serve(answer), count=5)
    assert [reply.text for reply in replies] == [f"question {n}" for n in range(5)]


def test_what_is_sent_and_what_comes_back(serve):
    server = serve(lambda body, number: completion())
    prices = {"price_per_million_input_tokens": 2.0, "price_per_million_output_tokens": 8.0}
    (reply,) = ask(server, request={"seed": 7, "top_logprobs": 5}, **prices)
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
    ask(server)
    assert not {"seed", "logprobs", "top_logprobs"} & set(server.requests[0])


def test_probabilities_of_the_first_token(serve):
    tops = [{"token": t, "logprob": p, "bytes": None} for t, p in (("A", -0.1), (" B", -2.0))]
    content = [{"token": "A", "logprob": -0.1, "bytes": None, "top_logprobs": tops}]
    server = serve(lambda body, number: completion("A", logprobs={"content": content}))
    (reply,) = ask(server, request={"top_logprobs": 2})
    assert reply.first_token == pytest.approx({"A": 0.9048, " B": 0.1353}, abs=1e-4)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failure_of_the_moment_is_tried_again(serve, status: int):
    server = serve(lambda body, number: (status, {}, "{}") if number < 3 else completion())
    (reply,) = ask(server)
    assert reply.text == "Paris."
    assert len(server.requests) == 3


def test_a_server_that_stays_down_is_given_up_after_max_attempts(serve):
    server = serve(lambda body, number: (503, {}, '{"error": {"message": "overloaded"}}'))
    (error,) = ask(server, max_attempts=3)
    assert isinstance(error, EndpointError)
    assert "HTTP 503" in str(error)
    assert "(3 attempts)" in str(error)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_mistake_is_not_tried_again(serve, status: int):
    server = serve(lambda body, number: (status, {}, '{"error": {"message": "no"}}'))
    (error,) = ask(server)
    assert f"HTTP {status}" in str(error)
    assert len(server.requests) == 1


def test_one_failure_does_not_lose_the_other_answers(serve):
    def answer(body: dict[str, Any], number: int) -> Answer:
        is_first = body["messages"][0]["content"] == "question 0"
        return (400, {}, "{}") if is_first else completion()

    failed, *others = ask(serve(answer), count=4)
    assert isinstance(failed, EndpointError)
    assert [reply.text for reply in others] == ["Paris."] * 3


@pytest.mark.parametrize(
    "body", ["not json", "[]", '{"choices": []}', '{"choices": null}', "{}", '"text"']
)
def test_a_reply_that_makes_no_sense_is_an_error_not_a_crash(serve, body: str):
    (error,) = ask(serve(lambda request, number: (200, {}, body)), max_attempts=1)
    assert isinstance(error, EndpointError)


def test_an_answer_of_nothing_is_empty_text(serve):
    message = {"role": "assistant", "content": None}
    (reply,) = ask(serve(lambda body, number: completion(message=message)))
    assert reply.text == ""


def test_a_server_that_does_not_answer_in_time_is_given_up(serve):
    def answer(body: dict[str, Any], number: int) -> Answer:
        time.sleep(0.5)
        return completion()

    (error,) = ask(serve(answer), timeout_seconds=0.05, max_attempts=2)
    assert "Timeout" in str(error)


def test_no_server_at_all_is_an_error():
    settings = EndpointSettings(model="m", base_url="http://127.0.0.1:9/v1", max_attempts=2)
    (error,) = Endpoint(settings).complete([ChatRequest((("user", "x"),), 1, 1.0)])
    assert "APIConnectionError" in str(error)


def test_no_more_requests_are_in_flight_than_configured(serve):
    def answer(body: dict[str, Any], number: int) -> Answer:
        time.sleep(0.03)
        return completion()

    server = serve(answer)
    ask(server, count=12, concurrency=3)
    assert server.busiest == 3


def test_the_server_is_asked_to_wait_no_longer_than_it_says(monkeypatch: pytest.MonkeyPatch):
    assert module._pause(1, 7.0) == 7.0
    assert module._pause(1, 3600.0) == module.LONGEST_PAUSE_SECONDS
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.5)
    assert all(0 <= module._pause(attempt, None) <= 30 for attempt in range(1, 12))


def test_the_key_shows_up_nowhere(serve):
    server = serve(lambda body, number: (400, {}, '{"error": {"message": "bad request"}}'))
    settings = EndpointSettings(model="m", base_url=server.url, api_key_env="TEST_KEY")
    endpoint = Endpoint(settings)
    (error,) = endpoint.complete([ChatRequest((("user", "x"),), 1, 1.0)])
    for text in (str(error), repr(error), str(settings), settings.model_dump_json()):
        assert KEY not in text


def test_a_remote_server_needs_its_key_before_anything_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set; it must hold the key for"):
        Endpoint(EndpointSettings(model="m", api_key_env="NO_SUCH_KEY"))
