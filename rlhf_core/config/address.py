"""Addresses of stores: the path of a DuckDB file, or the address of a lake that machines share."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from pydantic import BeforeValidator

from rlhf_core.errors import ConfigError

PREFIX = "ducklake:"
EXAMPLE = "ducklake:postgresql://solon@db.example.com/solon?data=/mnt/shared/solon"
CONNECT_TIMEOUT_SECONDS = 10
BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[^?#@]*)?")
SECRET = re.compile(r"pass(word|phrase|wd)|secret|token|key_?id|access_?key", re.IGNORECASE)
"""Names of options that would put a secret into an address."""

SIGNED = re.compile(r"^(api[-_]?)?key$|^sig(nature)?$|^code$", re.IGNORECASE)
"""More such names, used by model servers."""


def check_server_address(url: str | None) -> str | None:
    """Return the address of a model server, which is stored with the config.

    Raises:
        ConfigError: If the address contains a secret; the message does not repeat it.
    """
    if url is None:
        return None
    parts = urlsplit(url)
    names = parse_qs(parts.query, keep_blank_values=True)
    if "@" in parts.netloc or any(SECRET.search(name) or SIGNED.search(name) for name in names):
        raise ConfigError(
            "base_url: an address must not contain a secret, since the config is kept in the "
            "store; put the key into the environment variable that api_key_env names"
        )
    return url


ServerAddress = Annotated[str | None, BeforeValidator(check_server_address)]


@dataclass(frozen=True)
class LakeAddress:
    """Location of a lake's catalog and of its rows."""

    catalog: str
    """PostgreSQL URL in libpq's syntax, without a password."""
    data: str
    """Folder at the same path on every machine, or `s3://BUCKET/PREFIX` in an object store."""
    # The catalog alone identifies a lake, so these are not part of its name.
    endpoint: str | None = field(default=None, repr=False)
    """URL of an object store other than Amazon's."""
    region: str | None = field(default=None, repr=False)
    """Region of the object store."""

    @property
    def is_in_object_store(self) -> bool:
        return "://" in self.data

    @classmethod
    def parse(cls, url: str) -> "LakeAddress":
        """Read `ducklake:postgresql://USER@HOST:PORT/DATABASE?data=FOLDER`.

        The options `endpoint` and `region` locate a bucket; all others are passed to libpq.

        Raises:
            ConfigError: If a part is missing or invalid, or contains a secret.
        """
        parts = urlsplit(url.removeprefix(PREFIX))
        options = parse_qs(parts.query)
        if parts.password is not None or any(SECRET.search(name) for name in options):
            raise ConfigError(
                "store: an address must not contain a secret; put a password into PGPASSWORD, keys "
                "to an object store into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        database = parts.path.strip("/")
        if parts.scheme not in ("postgresql", "postgres") or not database or "data" not in options:
            # Options are not repeated: one that is misspelt may contain a secret.
            raise ConfigError(
                f"store: {url.split('?')[0]!r}… is not a lake's address; write one like {EXAMPLE}"
            )
        data = _checked_data(options.pop("data")[-1])
        endpoint = _checked_endpoint(options.pop("endpoint", [None])[-1])
        region = options.pop("region", [None])[-1]
        options.setdefault("connect_timeout", [str(CONNECT_TIMEOUT_SECONDS)])
        catalog = urlunsplit(parts._replace(query=urlencode(options, doseq=True)))
        return cls(catalog, data, endpoint, region)


def _checked_data(data: str) -> str:
    # DuckDB would read keys from the query of the URL.
    if "://" in data and not BUCKET.fullmatch(data):
        raise ConfigError(
            "store: data= is a folder, or a prefix like s3://bucket/solon, without keys or options"
        )
    return data


def _checked_endpoint(endpoint: str | None) -> str | None:
    if endpoint is not None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
            raise ConfigError(
                "store: endpoint= is a URL like https://objects.example.com:9000, without keys"
            )
    return endpoint


def store_address(raw: str | Path) -> str | Path:
    """Return a lake's address unchanged once it is validated, or a path.

    Raises:
        ConfigError: If it begins like an address and is not valid.
    """
    if isinstance(raw, str) and raw.startswith(PREFIX):
        LakeAddress.parse(raw)
        return raw
    return Path(raw)


def _checked(raw: Any) -> Any:
    # A ConfigError bypasses pydantic, whose message would repeat the address and its password.
    return store_address(raw) if isinstance(raw, str) else raw


StoreAddress = Annotated[Path | str, BeforeValidator(_checked)]
