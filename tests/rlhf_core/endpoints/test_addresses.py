"""Azure's addresses, headers from the environment, further keys of a request; no secret shows."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.endpoints.chat_completion import ChatRequest
from rlhf_core.endpoints.endpoint import Endpoint
from rlhf_core.errors import ConfigError
from rlhf_core.records.conversation import ask
from tests.servers import Server, completion

TOKEN = "team-token-of-the-test"
REQUEST = ChatRequest(ask("x").messages, 8, 0.0)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_TOKEN", TOKEN)
    monkeypatch.setenv("AZURE_KEY", "azure-key-of-the-test")


def settings(**options: Any) -> EndpointSettings:
    return EndpointSettings.model_validate({"model": "m", **options})


def test_azure_has_its_deployment_in_the_path_and_its_key_in_a_header():
    server = Server(lambda body, number: completion())
    azure = settings(
        model="openai:gpt-judge",
        base_url=server.url.removesuffix("/v1"),
        api_version="2024-10-21",
        api_key_env="AZURE_KEY",
    )
    (reply,) = Endpoint(azure).complete([REQUEST])
    server.close()
    assert reply.text == "Paris."
    wanted = "/openai/deployments/gpt-judge/chat/completions?api-version=2024-10-21"
    assert server.paths == [wanted]
    assert server.headers[0]["api-key"] == "azure-key-of-the-test"
    assert server.headers[0]["authorization"] is None


def test_headers_come_from_the_environment_and_errors_do_not_repeat_them():
    said = json.dumps({"error": {"message": f"unknown team {TOKEN}"}})
    server = Server(lambda body, number: (401, {}, said))
    chosen = settings(base_url=server.url, headers={"X-Team": "TEAM_TOKEN"})
    (error,) = Endpoint(chosen).complete([REQUEST])
    server.close()
    assert server.headers[0]["x-team"] == TOKEN
    assert str(error) == "HTTP 401: unknown team [key]"
    assert TOKEN not in chosen.model_dump_json()


def test_further_keys_and_the_effort_are_part_of_the_body():
    server = Server(lambda body, number: completion())
    more = {"top_k": 1, "chat_template_kwargs": {"enable_thinking": False}}
    Endpoint(settings(base_url=server.url, extra_body=more, reasoning_effort="low")).complete(
        [REQUEST]
    )
    server.close()
    (sent,) = server.requests
    assert {key: sent[key] for key in more} == more
    assert sent["reasoning_effort"] == "low"


def test_an_effort_that_the_server_refuses_is_an_error_and_not_left_out():
    said = json.dumps({"error": {"message": "Unknown effort", "param": "reasoning_effort"}})
    server = Server(lambda body, number: (400, {}, said))
    (error,) = Endpoint(settings(base_url=server.url, reasoning_effort="huge")).complete([REQUEST])
    server.close()
    assert "Unknown effort" in str(error)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"headers": {"X-Team": "a secret, not a name"}}, "names the environment variable"),
        ({"extra_body": {"seed": 1, "top_k": 1}}, "seed: Solon sets this itself"),
        ({"api_version": "2024-10-21"}, "name the resource in base_url"),
        (
            {"api_version": "1", "base_url": "http://h", "delivery": "batch"},
            "is for OpenAI's Batch API",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(options: dict[str, Any], said: str):
    with pytest.raises(ValidationError, match=said):
        settings(**options)


def test_a_header_without_its_variable_is_refused_before_anything_runs():
    chosen = settings(base_url="http://127.0.0.1:9/v1", headers={"X-Team": "NO_SUCH_TOKEN"})
    with pytest.raises(ConfigError, match="NO_SUCH_TOKEN is not set; it must hold the header"):
        Endpoint(chosen)
