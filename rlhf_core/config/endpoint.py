"""A model behind an OpenAI-compatible server: its address, what it is asked, limits and prices."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from rlhf_core.config.address import ServerAddress
from rlhf_core.config.base import (
    ASIDE,
    UNLESS_SET,
    PositiveFloat,
    PositiveInt,
    Settings,
    Share,
    is_left_out,
)

HEADER = re.compile(r"[A-Za-z0-9-]+")
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
OWN_KEYS = frozenset(
    {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "seed", "logprobs"}
    | {"top_logprobs", "response_format", "reasoning_effort", "tools", "n", "stream"}
)
"""Keys of a request's body that other settings decide, or that would change the reply's form."""


class EndpointSettings(Settings):
    """A model behind an OpenAI-compatible server."""

    model: str
    """Name of the model on the server."""
    base_url: Annotated[ServerAddress, ASIDE] = None
    """Address of the server, such as http://127.0.0.1:8000/v1; null is the openai default."""
    api_key_env: Annotated[str, ASIDE] = "OPENAI_API_KEY"
    """Name of the environment variable with the API key. The key itself is never part of a config.
    """
    headers: Annotated[dict[str, str], ASIDE] = Field(default_factory=dict)
    """Further headers of each request: the name of each header, and the name of the environment
    variable that holds its value, such as `{X-Team: TEAM_TOKEN}`."""
    api_version: Annotated[str | None, ASIDE] = None
    """API version of a deployment on Azure, such as 2024-10-21: requests then go to
    BASE_URL/openai/deployments/MODEL, with the key in the header `api-key`. null for any other
    server, and for Azure's own .../openai/v1."""
    reasoning_effort: Annotated[str | None, UNLESS_SET] = None
    """Effort that a model spends on thoughts before it answers: none, minimal, low, medium, high or
    whatever else the server knows. null leaves it to the server."""
    thinking_tokens: Annotated[PositiveInt, UNLESS_SET] = 4096
    """Tokens for the thoughts of a model that thinks before it answers, on top of the length of its
    answer. They are granted once the model has been seen to think."""
    extra_body: Annotated[dict[str, Any], UNLESS_SET] = Field(default_factory=dict)
    """Further keys of each request's body that the server knows, such as `{top_k: 1}`. They are
    stored with the config, so no secret belongs here."""
    concurrency: Annotated[PositiveInt, ASIDE] = 8
    """Requests in flight at once."""
    timeout_seconds: Annotated[PositiveFloat, ASIDE] = 60.0
    """Time limit of one request."""
    max_attempts: Annotated[PositiveInt, ASIDE] = 5
    """Attempts at one request before it counts as unavailable; only temporary failures (time-out,
    lost connection, 429, 5xx, unreadable reply) are retried."""
    requests_per_minute: Annotated[PositiveFloat | None, ASIDE] = None
    """Rate limit, retries included; a burst never exceeds a second's worth. null: no limit. In any
    case, requests slow down after a reply of 429."""
    tokens_per_minute: Annotated[PositiveFloat | None, ASIDE] = None
    """Rate limit of input and output tokens together. null: no limit."""
    deadline_seconds: Annotated[PositiveFloat | None, ASIDE] = None
    """Time limit of all requests of one call together; requests without a reply by then count as
    unavailable. null: no limit."""
    delivery: Annotated[Literal["direct", "batch"], ASIDE] = "direct"
    """direct sends requests one by one. batch submits all requests to OpenAI's Batch API, which is
    cheaper and may take 24 hours. A resumed run picks up a submitted batch."""
    batch_discount: Annotated[Share, ASIDE] = 0.5
    """Share of the price that batch delivery saves."""
    batch_poll_seconds: Annotated[PositiveFloat, ASIDE] = 30.0
    """Interval between polls of a batch."""
    price_per_million_input_tokens: Annotated[float, Field(ge=0.0), ASIDE] = 0.0
    """Price in US dollars, for the plan, the budget and the cost column of the store."""
    price_per_million_output_tokens: Annotated[float, Field(ge=0.0), ASIDE] = 0.0
    """Price in US dollars, for the plan, the budget and the cost column of the store."""

    @field_validator("headers")
    @classmethod
    def _headers_name_variables(cls, headers: dict[str, str]) -> dict[str, str]:
        for header, variable in headers.items():
            if not HEADER.fullmatch(header) or not VARIABLE.fullmatch(variable):
                raise ValueError(  # which does not repeat what may be a secret
                    "each header names the environment variable that holds its value, as in "
                    "{X-Team: TEAM_TOKEN}; a value itself never stands in a config"
                )
        return headers

    @field_validator("extra_body")
    @classmethod
    def _settings_are_not_set_twice(cls, extra_body: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(OWN_KEYS & set(extra_body)):
            raise ValueError(f"{', '.join(taken)}: Solon sets this itself; leave it out")
        return extra_body

    @model_validator(mode="after")
    def _azure_has_an_address(self) -> "EndpointSettings":
        if self.api_version is None:
            return self
        if self.base_url is None:
            raise ValueError(
                "api_version is for Azure; name the resource in base_url, such as "
                "https://NAME.openai.azure.com"
            )
        if self.delivery == "batch":
            raise ValueError("delivery: batch is for OpenAI's Batch API; leave out api_version")
        return self

    def beyond_defaults(self) -> list[Any]:
        """Return the names and values of what decides a reply and differs from its default."""
        names = ("reasoning_effort", "thinking_tokens", "extra_body")
        return [[name, getattr(self, name)] for name in names if not is_left_out(self, name)]

    def cost(self, input_tokens: float, output_tokens: float) -> float:
        """Return the cost in US dollars, with the discount for batch delivery."""
        price_in = self.price_per_million_input_tokens
        price_out = self.price_per_million_output_tokens
        share = 1.0 - self.batch_discount if self.delivery == "batch" else 1.0
        return share * (input_tokens * price_in + output_tokens * price_out) / 1e6
