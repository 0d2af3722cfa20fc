"""One tiny request before anything is spent, once a budget; errors quote the server."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.tree import BudgetSettings
from rlhf_core.endpoints.budget import Budget
from rlhf_core.endpoints.chat_completion import ChatRequest
from rlhf_core.endpoints.endpoint import Endpoint
from rlhf_core.endpoints.preflight import hint_for, preflight
from rlhf_core.errors import EndpointError
from rlhf_core.records.conversation import ask
from tests.servers import Answer, Server, completion, started

LIKE = ChatRequest(ask("never sent").messages, 200, 0.0, seed=3, top_logprobs=5)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with started(Server) as start:
        yield start


def refusal(status: int, message: str, **error: Any) -> Answer:
    return status, {}, json.dumps({"error": {"message": message, **error}})


def settings(url: str, **options: Any) -> EndpointSettings:
    return EndpointSettings(model="openai:typo", base_url=url, max_attempts=2, **options)


def test_a_model_is_asked_once_a_budget_and_as_it_will_be_asked(serve):
    server = serve(lambda body, number: completion("yes"))
    budget = Budget(BudgetSettings())
    for delivery in ("direct", "batch", "direct"):
        preflight(settings(server.url, delivery=delivery), LIKE, budget)
    (sent,) = server.requests
    assert (sent["max_tokens"], sent["seed"], sent["top_logprobs"]) == (16, 3, 5)
    assert "never sent" not in str(sent["messages"])
    assert budget.spent.calls == 1
    preflight(settings(server.url), LIKE, Budget(BudgetSettings()))
    assert len(server.requests) == 2


def test_a_model_with_other_settings_is_asked_again(serve, monkeypatch):
    """One judge with an effort that the server refuses must not hide behind another without."""
    monkeypatch.setenv("TEAM", "x")
    server = serve(lambda body, number: completion("yes"))
    budget = Budget(BudgetSettings())
    changes = (
        {"reasoning_effort": "low"},
        {"extra_body": {"top_k": 1}},
        {"headers": {"X-Team": "TEAM"}},
        {},
    )
    for asked, changed in enumerate(changes, 1):
        preflight(settings(server.url, **changed), LIKE, budget)
        assert len(server.requests) == asked
    with pytest.raises(EndpointError, match="returns no log-probabilities, which `verdict: logp"):
        preflight(settings(server.url), LIKE, budget, needs_logprobs=True)


def test_an_option_that_is_refused_with_an_effort_is_sent_without_it(serve):
    """OpenAI's gpt-5.1 takes a temperature only with `reasoning_effort: none`."""

    def answer(body: dict[str, Any], number: int) -> Answer:
        if body.get("reasoning_effort") == "low" and "temperature" in body:
            return refusal(400, "Unsupported parameter", param="temperature")
        return completion("yes")

    server = serve(answer)
    for effort in ("low", "none"):
        Endpoint(settings(server.url, reasoning_effort=effort)).complete([LIKE])
    assert ["temperature" in body for body in server.requests] == [True, False, True]


def test_the_servers_own_words_are_shown(serve):
    said = "The model `typo` does not exist or you do not have access to it."
    server = serve(lambda body, number: refusal(404, said))
    with pytest.raises(EndpointError) as error:
        preflight(settings(server.url), LIKE, Budget(BudgetSettings()))
    assert str(error.value).startswith(f"model 'openai:typo' at {server.url} does not answer: HTTP")
    assert said in str(error.value)
    assert "did you mean" not in str(error.value)


def test_an_unsupported_parameter_is_told(serve):
    said = "Unsupported parameter: 'max_tokens' is not supported with this model."
    server = serve(lambda body, number: refusal(400, said, param="max_tokens"))
    with pytest.raises(EndpointError, match="Unsupported parameter: 'max_tokens'"):
        preflight(settings(server.url), LIKE, Budget(BudgetSettings()))


def test_an_error_in_another_form_than_openais_is_shown_too(serve):
    said = json.dumps({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]})
    server = serve(lambda body, number: (422, {}, said))
    with pytest.raises(EndpointError, match=r"HTTP 422: .*extra_forbidden.*seed"):
        preflight(settings(server.url), LIKE, Budget(BudgetSettings()))
    server = serve(lambda body, number: (404, {}, "<h1>Not here</h1>"))
    with pytest.raises(EndpointError, match="HTTP 404: <h1>Not here</h1>"):
        preflight(settings(server.url), LIKE, Budget(BudgetSettings()))


def test_an_error_with_status_200_is_one_line_of_the_servers(serve):
    said = "Rate limit exceeded: free-models-per-min"
    server = serve(lambda body, number: refusal(200, said, code=429))
    with pytest.raises(EndpointError, match=r"HTTP 200, and an error in it: Rate limit.*attempts"):
        preflight(settings(server.url), LIKE, Budget(BudgetSettings()))
    assert len(server.requests) == 2
    server = serve(lambda body, number: refusal(200, "No credit left", code="402"))
    with pytest.raises(EndpointError, match="an error in it: No credit left"):
        preflight(settings(server.url), LIKE, Budget(BudgetSettings()))
    assert len(server.requests) == 1


def test_a_dead_port_is_told():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    with pytest.raises(EndpointError, match="is the server running"):
        preflight(settings(url), LIKE, Budget(BudgetSettings()))


def test_a_key_that_is_refused_names_its_variable(serve):
    server = serve(lambda body, number: refusal(401, "Incorrect API key provided"))
    with pytest.raises(EndpointError, match=r"Incorrect API key.*read from MY_KEY"):
        preflight(settings(server.url, api_key_env="MY_KEY"), LIKE, Budget(BudgetSettings()))


def test_a_spent_budget_asks_nothing(serve):
    server = serve(lambda body, number: completion())
    costly = settings(server.url, price_per_million_input_tokens=5.0)
    with pytest.raises(EndpointError, match=r"budget of \$0.00 is spent; raise budget.max_usd"):
        preflight(costly, LIKE, Budget(BudgetSettings(max_usd=0.0)))
    assert server.requests == []


@pytest.mark.parametrize(
    ("base_url", "said", "hint"),
    [
        ("http://h:1", "HTTP 404: Not Found", "did you mean base_url: http://h:1/v1?"),
        ("http://h:1/", "HTTP 405", "did you mean base_url: http://h:1/v1?"),
        ("http://h:1/api", "the reply is not JSON", "did you mean base_url: http://h:1/api/v1?"),
        ("http://h/v1/chat/completions", "HTTP 404", "did you mean base_url: http://h/v1?"),
        ("http://h:1/v1", "HTTP 404", ""),
        ("http://h/v1/projects/p", "HTTP 404", ""),
        ("http://h:1", "HTTP 500", ""),
        (None, "HTTP 404", ""),
    ],
)
def test_an_address_without_its_version_is_completed(base_url: str | None, said: str, hint: str):
    found = hint_for(EndpointSettings(model="m", base_url=base_url), said)
    assert found == (f"; {hint}" if hint else "")


def test_a_server_that_is_down_is_not_asked_two_thousand_times(serve):
    """Delivery stops after 20 failures in a row and those in flight; an answer resets the count."""
    server = serve(lambda body, number: refusal(400, "no"))
    endpoint = Endpoint(settings(server.url, concurrency=1))
    found = endpoint.complete([LIKE] * 100)
    assert 20 <= len(server.requests) <= 24
    assert str(found[-1]) == "not sent: 20 requests in a row had failed"
    server = serve(lambda body, number: completion() if number % 15 == 0 else refusal(400, "no"))
    Endpoint(settings(server.url, concurrency=1)).complete([LIKE] * 100)
    assert len(server.requests) == 100


def test_a_message_in_parts_is_read_without_its_thoughts(serve):
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm, B"}]},
        {"type": "text", "text": "A"},
    ]
    server = serve(lambda body, number: completion(parts))
    (reply,) = Endpoint(settings(server.url)).complete([LIKE])
    assert reply.text == "A"


def test_tokens_that_a_server_does_not_count_cost_the_most_they_can(serve):
    """The highest cost of 40 tokens in at $5 and 200 out at $10 a million is $0.0022."""

    def answer(body: dict[str, Any], number: int) -> Answer:
        status, headers, text = completion("A")
        usage = {"prompt_tokens": 40, "completion_tokens": None, "total_tokens": None}
        return status, headers, json.dumps({**json.loads(text), "usage": usage})

    server = serve(answer)
    prices = {"price_per_million_input_tokens": 5.0, "price_per_million_output_tokens": 10.0}
    (reply,) = Endpoint(settings(server.url, **prices)).complete([LIKE])
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("A", 40, 0)
    assert reply.cost_usd == pytest.approx(0.0022)
