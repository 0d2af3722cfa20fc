"""Settings of the champion's folder, and of its publication elsewhere."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from rlhf_core.config.base import PositiveFloat, PositiveInt, Settings

THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


class ChampionSettings(Settings):
    """The folder artifacts/champion/LINE, which always holds the line's champion."""

    form: Literal["auto", "merged", "adapter", "none"] = "auto"
    """merged writes a plain model and, in `adapter`, the policy's adapter. adapter writes
    one adapter on policy.model, of the SFT model and the policy together, beside the policy's own,
    which needs its SFT model. auto merges models of at most merged_up_to_gb.
    none writes nothing."""
    merged_up_to_gb: PositiveFloat = 2.0
    """Largest SFT model, in GB on disk, that auto merges."""
    keep: PositiveInt = 2
    """Folders of champions that are kept, the present one included."""


class HubSettings(Settings):
    """Upload to a model hub; the token comes from HF_TOKEN."""

    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    """Repository, as in ORGANISATION/NAME; it is created, private, if it is missing."""
    revision: str | None = None
    """Branch to upload to; null is the main one."""


class MLflowSettings(Settings):
    """Registration as a model version in MLflow (needs pip install 'solon[mlflow]')."""

    model: str
    """Name of the registered model."""
    tracking_uri: str | None = None
    """Address of the server; null reads MLFLOW_TRACKING_URI."""


class VLLMSettings(Settings):
    """A vLLM server whose adapter is replaced.

    Start it with --enable-lora, --max-loras 2 and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True.
    """

    url: str
    """Address of the server, as in http://gpu-1:8000. It must serve the line's SFT model, and see
    the artifacts under the same path."""
    name: str | None = None
    """Beginning of the adapter's name at the server; null is the line's name."""
    key_variable: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] = "VLLM_API_KEY"
    """Environment variable with the server's key, if it wants one."""
    timeout_seconds: PositiveFloat = 120.0
    """Limit of a request."""


class WebhookSettings(Settings):
    """A POST of the champion's facts, as JSON."""

    url: str
    """Address, by https; http only on this machine. The store and the reports keep it in clear, so
    a secret belongs in the header."""
    header: str = "Authorization"
    """Header that carries the secret."""
    secret_variable: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None
    """Environment variable with the header's value; null sends none."""
    timeout_seconds: PositiveFloat = 30.0
    """Limit of a request."""

    @model_validator(mode="after")
    def _is_encrypted(self) -> "WebhookSettings":
        parts = urlsplit(self.url)
        is_local = parts.scheme == "http" and parts.hostname in THIS_MACHINE
        if not (is_local or (parts.scheme == "https" and parts.hostname)):
            raise ValueError("use https, or http to this machine alone: the facts go in clear")
        return self


class PublishSettings(Settings):
    """Places that every new champion is published to.

    A failure is logged, and tried again at the next run of the promote stage.
    """

    hub: HubSettings | None = None
    """Push to a repository of a model hub."""
    mlflow: MLflowSettings | None = None
    """Register in MLflow."""
    vllm: VLLMSettings | None = None
    """Replace the adapter of a vLLM server."""
    webhook: WebhookSettings | None = None
    """Call an address with the facts."""

    @model_validator(mode="after")
    def _no_address_holds_a_password(self) -> "PublishSettings":
        """Refuse it here, since the error of a single field would show its value."""
        addresses = (
            self.mlflow.tracking_uri if self.mlflow else None,
            self.vllm.url if self.vllm else None,
            self.webhook.url if self.webhook else None,
        )
        if any("@" in urlsplit(each).netloc for each in addresses if each):
            raise ValueError(
                "an address must hold no user name or password, since the store keeps configs; use "
                "the environment variables of the target instead"
            )
        return self
