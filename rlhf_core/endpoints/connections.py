"""HTTP clients of one server, each with a pool of a few connections.

A pool looks at each of its connections at every request and every reply, so one of 256 connections
spends most of a call's time on that; tests/benchmarks/remote.py measures it.
"""

import httpx2
from openai import DefaultAsyncHttpxClient

CONNECTIONS_PER_POOL = 32


def http_clients(concurrency: int) -> list[httpx2.AsyncClient]:
    """Return unopened clients for that many requests in flight, to be used in turn.

    Args:
        concurrency: Requests in flight over all clients; connections of as many are kept open.
    """
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=concurrency)
    certificates = httpx2.create_ssl_context()  # slow to read, so all share it
    count = -(-concurrency // CONNECTIONS_PER_POOL)
    return [DefaultAsyncHttpxClient(limits=limits, verify=certificates) for _ in range(count)]
