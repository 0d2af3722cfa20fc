"""The engine that samples the policy's answers: the training itself, or a vLLM server."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rlhf_core.config.address import ServerAddress
from rlhf_core.config.base import ASIDE, UNLESS_SET, PositiveFloat, PositiveInt, Settings


class EngineSettings(Settings):
    """The engine that samples the answers of the model in training, in every stage."""

    kind: Literal["local", "vllm"] = "local"
    """local: the process that trains. vllm: a vLLM server, which is given the policy's adapter
    whenever it has changed; needs `url` or `python`."""
    url: Annotated[ServerAddress, ASIDE] = None
    """Address of a server that runs already, such as http://gpu-1:8000. It serves the line's SFT
    model, and sees the artifacts under the same path. `sft.selection` and `sft.abstention` sample
    from the model before that one, so their answers are sampled by the process that trains."""
    python: Annotated[str | None, ASIDE] = None
    """Python of an environment with vLLM, such as /opt/vllm/bin/python: Solon then starts a server
    when answers are to be sampled, and stops it afterwards."""
    options: Annotated[dict[str, bool | int | float | str], ASIDE] = Field(default_factory=dict)
    """Further options of the server that Solon starts, such as
    `{gpu-memory-utilization: 0.4, max-model-len: 4096}`; true is an option without a value."""
    start_seconds: Annotated[PositiveFloat, ASIDE] = 900.0
    """Time limit of the start of the server."""
    sleep: Annotated[bool, ASIDE] = False
    """Let the server free its GPU's memory between two samplings, if it shares the GPU with the
    training. A server that runs already needs --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1."""
    importance_cap: Annotated[PositiveFloat | None, UNLESS_SET] = 2.0
    """Largest importance weight: PPO, RLOO and GRPO weight each token's loss by its probability
    under the policy over that under the engine, which rounds differently. null: no weights."""
    send_seeds: Annotated[bool, ASIDE] = True
    """Send a seed with each request. vLLM on a CPU cannot read a prompt in parts if its request has
    a seed; set it to false there."""
    api_key_env: Annotated[str, ASIDE, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] = "VLLM_API_KEY"
    """Environment variable with the server's key, if it wants one."""
    concurrency: Annotated[PositiveInt, ASIDE] = 256
    """Requests in flight at once, one for each answer."""
    timeout_seconds: Annotated[PositiveFloat, ASIDE] = 600.0
    """Time limit of one request."""
    max_attempts: Annotated[PositiveInt, ASIDE] = 3
    """Attempts at one request before the sampling fails; only temporary failures are retried."""

    @model_validator(mode="after")
    def _a_server_has_one_source(self) -> "EngineSettings":
        if self.kind == "vllm" and (self.url is None) == (self.python is None):
            raise ValueError(
                "vllm needs either `url`, the address of a server, or `python`, with which Solon "
                "starts one"
            )
        if self.kind == "local" and (self.url is not None or self.python is not None):
            raise ValueError("url and python are for kind: vllm; set kind, or leave them out")
        if self.options and self.python is None:
            raise ValueError(
                "options are for a server that Solon starts; set python, or start your server "
                "with them"
            )
        return self

    @property
    def of_base(self) -> "EngineSettings":
        """The engine that samples from the base model, before there is an SFT model.

        A server at `url` serves the SFT model, so the process that fine-tunes samples instead.
        """
        return self if self.url is None else LOCAL_ENGINE

    @property
    def weights_up_to(self) -> float | None:
        """Cap of the importance weights; None without weights, as for answers sampled locally."""
        return self.importance_cap if self.kind == "vllm" else None


LOCAL_ENGINE = EngineSettings()
"""The engine that samples in the process that trains."""


def refuse_full_weights(engine: EngineSettings, weights: str) -> None:
    """Refuse a server for a policy without an adapter.

    Raises:
        ValueError: If `weights`, those that are trained, are full.
    """
    if engine.kind == "vllm" and weights == "full":
        raise ValueError(
            "sampling.engine: a vLLM server is given the policy as an adapter; set policy.weights "
            "to adapters, or sampling.engine.kind to local"
        )
