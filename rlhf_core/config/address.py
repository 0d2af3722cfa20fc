"""Where a store is: the path of a DuckDB file, or the address of a lake that machines share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from pydantic import BeforeValidator

from rlhf_core.errors import ConfigError

PREFIX = "ducklake:"
EXAMPLE = "ducklake:postgresql://solon@db.example.com/solon?data=/mnt/shared/solon"
CONNECT_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class LakeAddress:
    """Where a lake's catalog and its rows are."""

    catalog: str
    """Of PostgreSQL, as libpq reads it; holds no password."""
    data: str
    """Folder, the same on every machine, or a prefix in an object store."""

    @classmethod
    def parse(cls, url: str) -> "LakeAddress":
        """Read `ducklake:postgresql://USER@HOST:PORT/DATABASE?data=FOLDER`.

        Raises:
            ConfigError: If a part is missing, or there is a password in it.
        """
        parts = urlsplit(url.removeprefix(PREFIX))
        options = parse_qs(parts.query)
        if parts.password is not None or "password" in options:
            raise ConfigError("store: an address holds no password; put it into PGPASSWORD")
        database = parts.path.strip("/")
        if parts.scheme not in ("postgresql", "postgres") or not database or "data" not in options:
            raise ConfigError(f"store: {url!r} is no address of a lake; write one like {EXAMPLE}")
        data = options.pop("data")[-1]
        options.setdefault("connect_timeout", [str(CONNECT_TIMEOUT_SECONDS)])
        catalog = urlunsplit(parts._replace(query=urlencode(options, doseq=True)))
        return cls(catalog, data)


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
