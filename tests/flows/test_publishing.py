"""Champions are published to servers on loopback; a failure is stored, and tried again."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from flows.champion.rollback import roll_back
from flows.cycle import versions
from flows.publishing import hub
from flows.publishing.mlflow_registry import register
from flows.publishing.publish import publish_champion
from flows.publishing.release import PublishError, Release
from flows.publishing.vllm import replace_adapter
from flows.publishing.webhook import call_webhook
from rlhf_core.config.champion import (
    HubSettings,
    MLflowSettings,
    VLLMSettings,
    WebhookSettings,
)
from rlhf_core.errors import ConfigError
from rlhf_core.records import Publication
from rlhf_core.store import Store
from tests.flows.conftest import smoke
from tests.flows.test_line import NAME, with_history
from tests.flows.test_rollback import write_files
from tests.servers import Answer, Loopback, Server, started

FIGURES = [{"judge": "exact", "role": "decides", "win_rate": 0.7, "kl": 1.5}]


@pytest.fixture
def release(tmp_path: Path) -> Release:
    folder = tmp_path / "champion"
    (folder / "adapter").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("weights")
    (folder / "README.md").write_text("# Card")
    (folder / "adapter" / "adapter_model.safetensors").write_text("adapter")
    return Release("main", "policy-2", {"line": "main", "figures": FIGURES}, folder)


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    with started(Server) as starter:
        yield starter


def root(server: Loopback) -> str:
    return server.url.removesuffix("/v1")


def test_a_webhook_gets_the_facts_and_the_secret(start, release: Release, monkeypatch):
    server = start(lambda body, number: (204, {}, ""))
    url = f"{root(server)}/hook"
    settings = WebhookSettings(url=url, header="X-Solon", secret_variable="HOOK_SECRET")
    with pytest.raises(PublishError, match="HOOK_SECRET, which holds"):
        call_webhook(settings, release)
    monkeypatch.setenv("HOOK_SECRET", "s3cret")
    assert call_webhook(settings, release) == "posted, status 204"
    assert server.requests == [release.facts]
    assert server.headers[0]["X-Solon"] == "s3cret"


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "http://localhost.example.com", "http://127.0.0.1.nip.io", "https:"],
)
def test_a_webhook_must_be_encrypted_beyond_this_machine(url: str):
    with pytest.raises(ValueError, match="use https"):
        WebhookSettings(url=url)
    assert WebhookSettings(url="https://example.com/hook").url
    assert WebhookSettings(url="http://[::1]:8080/hook").url


@pytest.mark.parametrize(
    "target",
    ["webhook={url: URL}", "vllm={url: URL}", "mlflow={model: answers, tracking_uri: URL}"],
)
def test_an_address_holds_no_password(tmp_path: Path, target: str):
    """Configs are kept in the store and shown in reports; nor does the error repeat it."""
    address = target.replace("URL", "'https://ada:s3cret@example.com'")
    with pytest.raises(ConfigError, match="no user name or password") as raised:
        smoke(tmp_path, f"service.publish.{address}")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_answer_without_success_is_an_error_that_holds_no_address(start, release, status: int):
    server = start(lambda body, number: (status, {"location": "http://elsewhere"}, ""))
    with pytest.raises(PublishError, match=f"status {status}") as raised:
        call_webhook(WebhookSettings(url=f"{root(server)}/token"), release)
    assert "token" not in str(raised.value)
    assert len(server.requests) == 1  # a redirect is not followed


class FakeVLLM(Loopback):
    """Loads and unloads adapters as vLLM does, by name."""

    def __init__(self, *loaded: str) -> None:
        self.served = ["base", *loaded]
        self.calls: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                self._reply(200, json.dumps({"data": [{"id": name} for name in outer.served]}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.calls.append((self.path, body))
                if self.path == "/v1/load_lora_adapter":
                    if not (Path(body["lora_path"]) / "adapter_model.safetensors").exists():
                        self._reply(404, "no adapter found")
                        return
                    outer.served.append(body["lora_name"])
                else:
                    outer.served.remove(body["lora_name"])
                self._reply(200, "Success")

            def _reply(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

        super().__init__(Handler)


def test_a_vllm_server_loads_the_new_adapter_before_it_unloads_the_old(release: Release):
    with started(FakeVLLM) as start_vllm:
        server = start_vllm("main-policy-1", "other-policy-1", "main-policy-eu-policy-1")
        settings = VLLMSettings(url=server.url)  # with or without /v1
        assert replace_adapter(settings, release).endswith("unloaded main-policy-1")
        others = ["base", "other-policy-1", "main-policy-eu-policy-1"]
        assert server.served == [*others, "main-policy-2"]
        assert [path for path, _ in server.calls] == [
            "/v1/load_lora_adapter",
            "/v1/unload_lora_adapter",
        ]
        replace_adapter(settings, release)  # a retry loads nothing twice
        assert len(server.calls) == 2
        # After a rollback to the SFT model, which is the server's own, there is no adapter.
        back = Release("main", "sft-1", release.facts, release.folder)
        replace_adapter(settings, back)
        assert server.served == others


def test_a_vllm_server_that_is_away_or_refuses_is_an_error(release: Release, tmp_path: Path):
    away = VLLMSettings(url="http://127.0.0.1:9", timeout_seconds=2)
    with pytest.raises(PublishError, match="the vLLM server did not answer"):
        replace_adapter(away, release)
    with started(FakeVLLM) as start_vllm:
        settings = VLLMSettings(url=start_vllm().url)
        full = Release("main", "policy-3", {}, tmp_path)
        with pytest.raises(PublishError, match="has no adapter"):
            replace_adapter(settings, full)


class FakeHub(Loopback):
    """Takes a commit of small files, which come within the request."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.keys: set[str | None] = set()
        self.created: list[dict[str, Any]] = []
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                is_tree = "/tree/" in self.path  # what the repository holds
                self._reply([] if is_tree else {"siblings": [], "sha": "0" * 40, "id": "org/model"})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"] or 0))
                with lock:
                    outer.keys.add(self.headers.get("authorization"))
                if self.path.endswith("/repos/create"):
                    outer.created.append(json.loads(body))
                    self._reply({"url": f"{root(outer)}/org/model", "name": "org/model"})
                elif "/preupload/" in self.path:
                    asked = json.loads(body)["files"]
                    told = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                            for f in asked]  # fmt: skip
                    self._reply({"files": told})
                elif "/commit/" in self.path:
                    for line in body.splitlines():
                        entry = json.loads(line)
                        if entry["key"] == "file":
                            content = base64.b64decode(entry["value"]["content"]).decode()
                            outer.files[entry["value"]["path"]] = content
                    url = f"{root(outer)}/org/model/commit/{'1' * 40}"
                    self._reply({"success": True, "commitOid": "1" * 40, "commitUrl": url})
                else:
                    self._reply({})

            def _reply(self, body: Any) -> None:
                text = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        super().__init__(Handler)


def test_the_hub_gets_the_merged_model_and_its_card(release: Release, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    settings = HubSettings(repository="org/model")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(PublishError, match="HF_TOKEN is not set"):
        hub.push(settings, release)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with started(FakeHub) as start_hub:
        server = start_hub()
        assert hub.push(settings, release, root(server)) == f"commit {'1' * 40} of org/model"
    assert server.keys == {"Bearer hf_secret"}
    assert "private" in json.dumps(server.created[0])
    assert {name for name in server.files if name != ".gitattributes"} == {
        "README.md", "config.json", "model.safetensors",
    }  # fmt: skip
    assert server.files["README.md"] == "# Card"


@pytest.mark.slow
@pytest.mark.extra("mlflow")
def test_mlflow_registers_a_version_with_the_folder_and_the_figures(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)  # MLflow keeps artifacts below the working directory

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    settings = MLflowSettings(model="answers", tracking_uri=uri)
    assert register(settings, release) == "version 1 of answers"
    assert register(settings, release) == "version 2 of answers"
    client = MlflowClient(uri, uri)
    version = client.get_model_version("answers", "1")
    assert version.tags == {"solon.line": "main", "solon.model": "policy-2"}
    assert client.get_run(version.run_id).data.metrics == {"win_rate": 0.7, "kl": 1.5}
    files = {each.path for each in client.list_artifacts(version.run_id, "model")}
    assert "model/model.safetensors" in files


def test_a_failed_publication_is_stored_and_tried_again(start, tmp_path: Path):
    """The champion stands; the second run publishes, the third has nothing to do."""
    answers: list[Answer] = [(500, {}, ""), (200, {}, ""), (200, {}, "")]
    server = start(lambda body, number: answers[number - 1])
    hook = f"service.publish.webhook={{url: '{root(server)}'}}"
    config = smoke(tmp_path, NAME, hook, "service.champion.form=none")
    store, policy = with_history(tmp_path, config)
    (failed,) = publish_champion(config, store, None)
    assert (failed.published, failed.detail) == (False, "the webhook answered with status 500")
    (tried,) = publish_champion(config, store, None)  # the same run: a stage that is tried again
    assert (tried.published, tried.model_id) == (True, policy)
    assert publish_champion(config, Store(config.store, "third"), None) == []
    assert [each.published for each in store.rows(Publication)] == [False, True]
    assert server.requests[1]["champion"] == policy

    sft = versions.sft(config)
    write_files(config, sft)
    roll_back(store, config.artifacts / "models", config.name, None, "ada", "rude")
    (back,) = publish_champion(config, store, None)  # another champion, the same run
    assert (back.published, back.model_id) == (True, sft.id)
    assert server.requests[2]["reason"] == "rude"
