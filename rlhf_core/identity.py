"""Content-addressed ids: the same work done twice is the same row.

Ids name content and do not protect it. With 80 bits of SHA-256, the chance of any collision among a
billion rows is about one in a million.
"""

import getpass
import hashlib
import json
import os
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ID_HEX_DIGITS = 20
PACKAGES = ("flows", "judges", "rlhf_core")


def content_id(*parts: Any) -> str:
    """Return the hash of JSON-representable parts; the key order of mappings does not matter."""
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return digest(canonical.encode())


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:ID_HEX_DIGITS]


def unit_interval(*parts: Any) -> float:
    """Return a number in [0, 1) drawn from the parts; the same parts draw the same number."""
    return int(content_id(*parts)[:13], 16) / 16**13


def seed_from(*parts: Any) -> int:
    """Return a 63-bit random seed drawn from the parts, for `torch.Generator.manual_seed`."""
    return int(content_id(*parts)[:16], 16) >> 1


@cache
def code_version() -> str:
    """Return the release plus a hash of the installed sources, so that edits change it."""
    contents = (path.read_bytes() for path in _sources())
    return f"{metadata.version('solon')}+{digest(b''.join(contents))[:8]}"


def _sources() -> Iterable[Path]:
    for package in PACKAGES:
        spec = find_spec(package)
        if spec and spec.submodule_search_locations:
            yield from sorted(Path(spec.submodule_search_locations[0]).rglob("*.py"))


def login_name() -> str:
    """Return the login name of the person who runs this, or the number of a user without one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # as in a container that runs under a number
        return f"uid {os.getuid()}"
