"""Management of a vLLM server: what it serves, its adapters, its sleep.

An adapter's name is never used for other weights: a server that reads an adapter again at each
request would answer by both in turn (vllm#36373, #41482).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from rlhf_core.endpoints.retries import one_line, without_secrets
from rlhf_core.errors import EndpointError

RUNTIME_LOADING = (
    "start the server with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True in its "
    "environment"
)
ADVICE = (
    ("max_lora_rank", "start the server with --max-lora-rank of at least policy.lora_rank"),
    ("enable-lora", RUNTIME_LOADING),
    ("lora is not enabled", RUNTIME_LOADING),
    ("no adapter found", "the server must see the folder of the artifacts under the same path"),
    ("does not exist", "the server must see the folder of the artifacts under the same path"),
)
"""Mends of a refusal to load an adapter, by a part of its text."""
SLEEPING = "start it with --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1, or set sleep to false"


@dataclass(frozen=True)
class ServedModel:
    """The base model that a server serves."""

    name: str
    """Name to request it by."""
    root: str
    """The folder, or the hub id, that it was loaded from."""


class VLLMServer:
    """The calls that manage one server.

    Args:
        url: Address of the server, with or without /v1.
        key: Key of the server; None sends none.
        timeout_seconds: Time limit of a call.
    """

    def __init__(self, url: str, key: str | None, timeout_seconds: float) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self._key, self._timeout_seconds = key, timeout_seconds

    def version(self) -> str:
        """Return the version of vLLM."""
        return str(_object(self._call("GET", "/version")).get("version", "unknown"))

    def base_model(self) -> ServedModel:
        """Return the base model.

        Raises:
            EndpointError: If the server does not answer, or lists none.
        """
        models = _object(self._call("GET", "/v1/models")).get("data")
        for each in models if isinstance(models, list) else ():
            if isinstance(each, dict) and each.get("parent") is None:
                return ServedModel(str(each.get("id")), str(each.get("root")))
        raise EndpointError(f"{self.url} lists no base model; it is no vLLM server")

    def load_adapter(self, name: str, folder: Path) -> None:
        """Load an adapter under a name that was never used.

        Args:
            name: Name to request it by.
            folder: The adapter as PEFT writes it, where the server sees it too.

        Raises:
            EndpointError: If the server refuses it; the message says what to do.
        """
        body = {"lora_name": name, "lora_path": str(folder)}
        reply = self._send("POST", "/v1/load_lora_adapter", body)
        if reply.is_success:
            return
        reason = self._reason(reply)
        advice = next((do for part, do in ADVICE if part in reason.lower()), "")
        if not advice and reply.status_code in (404, 405):
            advice = RUNTIME_LOADING
        raise EndpointError(
            f"the vLLM server at {self.url} did not load the policy's adapter ({reason})"
            + (f"; {advice}" if advice else "")
        )

    def unload_adapter(self, name: str) -> None:
        """Unload an adapter."""
        self._call("POST", "/v1/unload_lora_adapter", {"lora_name": name})

    def sleep(self) -> None:
        """Let the server move its weights out of the GPU's memory, and drop its cache."""
        self._call("POST", "/sleep?level=1", advice=SLEEPING)

    def wake(self) -> None:
        """Let the server take its memory again; nothing if it is awake."""
        self._call("POST", "/wake_up", advice=SLEEPING)

    def _call(
        self, method: str, path: str, body: Mapping[str, str] | None = None, advice: str = ""
    ) -> bytes:
        reply = self._send(method, path, body)
        if not reply.is_success:
            raise EndpointError(
                f"the vLLM server at {self.url} refused {path} ({self._reason(reply)})"
                + (f"; {advice}" if advice else "")
            )
        return reply.content

    def _send(self, method: str, path: str, body: Mapping[str, str] | None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            with httpx2.Client(
                base_url=self.url, headers=headers, timeout=self._timeout_seconds
            ) as client:
                return client.request(method, path, json=body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise EndpointError(
                f"the vLLM server at {self.url} did not answer {path} ({type(error).__name__}); "
                "is it running?"
            ) from None

    def _reason(self, reply: httpx2.Response) -> str:
        text = one_line(without_secrets(reply.text, [self._key or ""]))
        return f"HTTP {reply.status_code}: {text}"


def _object(content: bytes) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        EndpointError: If it is none.
    """
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise EndpointError("the server's reply is no JSON object; it is no vLLM server")
    return found
