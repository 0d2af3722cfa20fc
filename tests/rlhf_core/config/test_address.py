"""Addresses of models' servers, which the store keeps with every config."""

import pytest

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.errors import ConfigError


@pytest.mark.parametrize(
    "address",
    [None, "http://127.0.0.1:8000/v1", "https://x.openai.azure.com/openai?api-version=2024-10-21"],
)
def test_an_address_is_kept_as_it_is(address: str | None):
    assert EndpointSettings(model="m", base_url=address).base_url == address


@pytest.mark.parametrize(
    "address",
    [
        "https://user:hunter2@example.com/v1",
        "https://hunter2@example.com/v1",
        "https://example.com/v1?key=hunter2",
        "https://example.com/v1?api_key=hunter2",
        "https://example.com/v1?api-key=hunter2",
        "https://example.com/v1?access_token=hunter2",
        "https://example.com/v1?sig=hunter2",
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_said_again(address: str):
    with pytest.raises(ConfigError, match="api_key_env") as refused:
        EndpointSettings(model="m", base_url=address)
    assert "hunter2" not in str(refused.value)
