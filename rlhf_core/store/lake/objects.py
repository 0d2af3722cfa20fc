"""The object store that a lake's rows may lie in, and the keys to it.

Keys come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN alone. They are bound
to a secret in the memory of one connection, the writing one; auditors ask a copy over another, and
their SQL never meets them. Roles of a cloud's machines are left out: asking for their keys anew
with every short connection would cost more than the connection.
"""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import duckdb

from rlhf_core.config.address import LakeAddress
from rlhf_core.errors import ConfigError, StoreBusyError, StoreError

RETRIES = 4
"""Of a request that found no server, over about four seconds: a short restart goes unnoticed."""
PASSING = (408, 429, *range(500, 600))
"""Answers of HTTP after which asking again may help."""
DEFAULT_REGION = "us-east-1"
"""What servers other than Amazon's call theirs, where they have no other name for it."""


def open_object_store(
    connection: duckdb.DuckDBPyConnection,
    address: LakeAddress,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Give a connection the keys to the lake's prefix.

    Args:
        connection: Has the extension httpfs.
        address: Of a lake in an object store; what it leaves out is looked up in the environment,
            under the names that Amazon's own programs use.
        environment: Variables to look in; those of the process, where it is left out.

    Raises:
        ConfigError: If there are no keys, or it is not said where the object store is.
    """
    found = os.environ if environment is None else environment
    endpoint = (
        address.endpoint or found.get("AWS_ENDPOINT_URL_S3") or found.get("AWS_ENDPOINT_URL") or ""
    )
    region = address.region or found.get("AWS_REGION") or found.get("AWS_DEFAULT_REGION") or ""
    key, secret = found.get("AWS_ACCESS_KEY_ID"), found.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        raise ConfigError(
            f"store {address.data}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and "
            "AWS_SESSION_TOKEN for keys that expire); an address or a config holds no keys"
        )
    if not endpoint and not region:
        raise ConfigError(
            f"store {address.data}: which region is it in? Add &region=… to the address or set "
            "AWS_REGION; for another server than Amazon's add &endpoint=https://HOST:PORT"
        )
    settings = {
        "KEY_ID": key,
        "SECRET": secret,
        "SESSION_TOKEN": found.get("AWS_SESSION_TOKEN", ""),
        "REGION": region or DEFAULT_REGION,
        "SCOPE": address.data.rstrip("/") + "/",
    }
    if endpoint:
        parts = urlsplit(endpoint)
        # Servers other than Amazon's rarely have a host name for each bucket.
        settings |= {"ENDPOINT": parts.netloc, "URL_STYLE": "path"}
    names = ", ".join(f"{name} ${name}" for name in settings)
    plain = ", USE_SSL false" if endpoint.startswith("http://") else ""
    connection.execute(f"SET http_retries = {RETRIES}")
    connection.execute(
        f"CREATE TEMPORARY SECRET store (TYPE s3, PROVIDER config, {names}{plain})", settings
    )


def refusal(address: LakeAddress, error: duckdb.HTTPException) -> StoreError:
    """What an answer of the object store means, without the answer, which repeats the request."""
    said = f"HTTP {error.status_code} {error.reason}".strip()
    if error.status_code in PASSING:
        return StoreBusyError(f"store {address.data}: the object store is not ready: {said}")
    mends = {
        400: "is the region right?",
        403: "may the owner of AWS_ACCESS_KEY_ID list, read, write and delete there?",
        404: "is there such a bucket, with all that was written to it?",
    }
    return StoreError(
        f"store {address.data}: the object store refuses: {said}; "
        f"{mends.get(error.status_code, 'look at its log')}"
    )
