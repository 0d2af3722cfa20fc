"""HTTP clients of a few connections each; test_chaos.py sends through several at once."""

import asyncio

import httpx2
import pytest

from rlhf_core.endpoints.connections import http_clients


@pytest.mark.parametrize(
    ("concurrency", "count"), [(1, 1), (32, 1), (33, 2), (256, 8)], ids=lambda number: f"{number}"
)
def test_a_client_has_at_most_32_connections_in_flight(concurrency: int, count: int):
    clients = http_clients(concurrency)
    assert len(clients) == count
    for client in clients:
        asyncio.run(client.aclose())


def test_the_proxy_of_the_environment_is_still_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    (client,) = http_clients(1)
    used = client._transport_for_url(httpx2.URL("http://model.example/v1"))
    assert used is not client._transport
    asyncio.run(client.aclose())
