"""The object store that a lake's rows may lie in, and the keys to it.

Keys come only from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. They are bound
to a secret in the memory of the writing connection; auditors query a copy over another connection,
so their SQL never sees them. Roles of cloud machines are not supported: requesting their keys for
every short connection would cost more than the connection.
"""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import duckdb

from rlhf_core.config.address import LakeAddress
from rlhf_core.errors import ConfigError, StoreBusyError, StoreError

RETRIES = 4
"""Retries of a request without a server, over about four seconds: enough for a short restart."""
PASSING = (408, 429, *range(500, 600))
"""HTTP status codes after which a retry may help."""
DEFAULT_REGION = "us-east-1"
"""Region name that servers other than Amazon's use by default."""


def open_object_store(
    connection: duckdb.DuckDBPyConnection,
    address: LakeAddress,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Give a connection the keys to the lake's prefix.

    Args:
        connection: A connection with the extension httpfs.
        address: A lake in an object store; what the address omits comes from the environment,
            under the names that Amazon's own programs use.
        environment: Environment variables; by default those of this process.

    Raises:
        ConfigError: If there are no keys, or neither region nor endpoint is given.
    """
    variables = os.environ if environment is None else environment
    endpoint = (
        address.endpoint
        or variables.get("AWS_ENDPOINT_URL_S3")
        or variables.get("AWS_ENDPOINT_URL")
        or ""
    )
    region = (
        address.region or variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION") or ""
    )
    key, secret = variables.get("AWS_ACCESS_KEY_ID"), variables.get("AWS_SECRET_ACCESS_KEY")
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
        "SESSION_TOKEN": variables.get("AWS_SESSION_TOKEN", ""),
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
    """Return the error for a response of the object store, without its body with the request."""
    said = f"HTTP {error.status_code} {error.reason}".strip()
    if error.status_code in PASSING:
        return StoreBusyError(f"store {address.data}: the object store is not ready: {said}")
    advice = {
        400: "is the region right?",
        403: "may the owner of AWS_ACCESS_KEY_ID list, read, write and delete there?",
        404: "is there such a bucket, with all that was written to it?",
    }
    return StoreError(
        f"store {address.data}: the object store refuses: {said}; "
        f"{advice.get(error.status_code, 'look at its log')}"
    )
