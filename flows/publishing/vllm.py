"""A vLLM server: the new champion's adapter is loaded under a new name, then the old is unloaded.

A name is never used for another adapter: a server that reads an adapter again at each request would
answer by both in turn (vllm#36373, #41482).
"""

import os
import re
from collections.abc import Mapping
from typing import Any

import httpx2

from flows.publishing.release import PublishError, Release
from rlhf_core.config.champion import VLLMSettings
from rlhf_core.models.adapter_files import ADAPTER
from rlhf_core.records import ModelKind


def replace_adapter(settings: VLLMSettings, release: Release) -> str:
    """Load the adapter of a champion into a vLLM server, and unload those of former champions.

    Args:
        settings: Address of the server.
        release: The champion; after a rollback to the SFT model, adapters are only unloaded.

    Returns:
        What was done, in words.

    Raises:
        PublishError: If there is no adapter, or the server refuses it.
    """
    beginning = f"{settings.name or release.line}-"
    name, key = f"{beginning}{release.model_id}", os.environ.get(settings.key_variable)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx2.Client(
        base_url=settings.url.rstrip("/").removesuffix("/v1"),
        headers=headers,
        timeout=settings.timeout_seconds,
    ) as client:
        served = [str(each["id"]) for each in _call(client, "GET", "/v1/models", None)["data"]]
        if release.model_id.startswith(ModelKind.POLICY) and name not in served:
            path = release.need_folder() / "adapter"
            if not (path / ADAPTER).exists():
                raise PublishError(f"{release.model_id} has no adapter (policy.weights: full)")
            adapter = {"lora_name": name, "lora_path": str(path.resolve())}
            _call(client, "POST", "/v1/load_lora_adapter", adapter)
        # Of this line alone: another one's name may begin with the name of this one.
        ours = re.compile(rf"{re.escape(beginning)}{ModelKind.POLICY}-[0-9a-f]+")
        former = [each for each in served if ours.fullmatch(each) and each != name]
        for each in former:
            _call(client, "POST", "/v1/unload_lora_adapter", {"lora_name": each})
    return f"serves {name}; unloaded {', '.join(former) or 'none'}"


def _call(
    client: httpx2.Client, method: str, path: str, body: Mapping[str, str] | None
) -> dict[str, Any]:
    """Return the JSON object of a reply, empty where the reply is plain text.

    Raises:
        PublishError: If the server does not answer with success.
    """
    try:
        reply = client.request(method, path, json=body)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise PublishError(f"the vLLM server did not answer ({type(error).__name__})") from None
    if not reply.is_success:
        hint = " (is VLLM_ALLOW_RUNTIME_LORA_UPDATING set?)" if reply.status_code == 404 else ""
        raise PublishError(f"the vLLM server answered {path} with {reply.status_code}{hint}")
    if method == "POST":
        return {}
    found = reply.json()
    if not isinstance(found, dict) or not isinstance(found.get("data"), list):
        raise PublishError(f"the vLLM server answered {path} with something else than models")
    return found
