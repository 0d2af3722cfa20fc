"""Where a store is: the path of a DuckDB file, or the address of a lake that machines share."""

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
"""In an option's name: what must not stand in an address."""

SIGNED = re.compile(r"^(api[-_]?)?key$|^sig(nature)?$|^code$", re.IGNORECASE)
"""More of them, as servers of models call them."""


def check_server_address(url: str | None) -> str | None:
    """Return the address of a model's server, which is kept in the store with the config.

    Raises:
        ConfigError: If it is none, or there is a secret in it; the secret is not said again.
    """
    if url is None:
        return None
    parts = urlsplit(url)
    names = parse_qs(parts.query, keep_blank_values=True)
    if "@" in parts.netloc or any(SECRET.search(name) or SIGNED.search(name) for name in names):
        raise ConfigError(
            "base_url: an address holds no secret, since the config is kept in the store; put the "
            "key into the environment variable that api_key_env names"
        )
    return url


ServerAddress = Annotated[str | None, BeforeValidator(check_server_address)]


@dataclass(frozen=True)
class LakeAddress:
    """Where a lake's catalog and its rows are."""

    catalog: str
    """Of PostgreSQL, as libpq reads it; holds no password."""
    data: str
    """Folder, the same on every machine, or `s3://BUCKET/PREFIX` in an object store."""
    # Not part of what a lake is called: its catalog says which it is.
    endpoint: str | None = field(default=None, repr=False)
    """URL of an object store that is not Amazon's."""
    region: str | None = field(default=None, repr=False)
    """Of the object store."""

    @property
    def is_in_object_store(self) -> bool:
        return "://" in self.data

    @classmethod
    def parse(cls, url: str) -> "LakeAddress":
        """Read `ducklake:postgresql://USER@HOST:PORT/DATABASE?data=FOLDER`.

        The options `endpoint` and `region` say where a bucket is; all others are libpq's.

        Raises:
            ConfigError: If a part is missing or cannot be used, or there is a secret in it.
        """
        parts = urlsplit(url.removeprefix(PREFIX))
        options = parse_qs(parts.query)
        if parts.password is not None or any(SECRET.search(name) for name in options):
            raise ConfigError(
                "store: an address holds no secret; put a password into PGPASSWORD, keys to an "
                "object store into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        database = parts.path.strip("/")
        if parts.scheme not in ("postgresql", "postgres") or not database or "data" not in options:
            # Without the options: there might be a secret in one that was misspelt.
            raise ConfigError(
                f"store: {url.split('?')[0]!r}… is no address of a lake; write one like {EXAMPLE}"
            )
        data = _checked_data(options.pop("data")[-1])
        endpoint = _checked_endpoint(options.pop("endpoint", [None])[-1])
        region = options.pop("region", [None])[-1]
        options.setdefault("connect_timeout", [str(CONNECT_TIMEOUT_SECONDS)])
        catalog = urlunsplit(parts._replace(query=urlencode(options, doseq=True)))
        return cls(catalog, data, endpoint, region)


def _checked_data(data: str) -> str:
    # DuckDB would read keys from a query in the URL.
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
    """An address as it is, checked, or a path.

    Raises:
        ConfigError: If it is meant to be an address and is none.
    """
    if isinstance(raw, str) and raw.startswith(PREFIX):
        LakeAddress.parse(raw)
        return raw
    return Path(raw)


def _checked(raw: Any) -> Any:
    # Its error goes past pydantic, which would say the address again, password and all.
    return store_address(raw) if isinstance(raw, str) else raw


StoreAddress = Annotated[Path | str, BeforeValidator(_checked)]
