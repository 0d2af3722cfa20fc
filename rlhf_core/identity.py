"""Content-addressed ids: the same work done twice is the same row.

Ids name content, they do not protect it: 80 bits of SHA-256 make a chance collision among a
billion rows about one in a million.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ID_HEX_DIGITS = 20
PACKAGES = ("flows", "judges", "rlhf_core")


def content_id(*parts: Any) -> str:
    """Hash of JSON-representable parts; key order inside mappings does not matter."""
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return digest(canonical.encode())


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:ID_HEX_DIGITS]


def unit_interval(*parts: Any) -> float:
    """A number in [0, 1) drawn from the parts: the same parts always draw the same number."""
    return int(content_id(*parts)[:13], 16) / 16**13


def seed_from(*parts: Any) -> int:
    """A 63-bit random seed drawn from the parts, for `torch.Generator.manual_seed`."""
    return int(content_id(*parts)[:16], 16) >> 1


@cache
def code_version() -> str:
    """Release plus a hash of the installed sources, so that an edited checkout is told apart."""
    contents = (path.read_bytes() for path in _sources())
    return f"{metadata.version('solon')}+{digest(b''.join(contents))[:8]}"


def _sources() -> Iterable[Path]:
    for package in PACKAGES:
        spec = find_spec(package)
        if spec and spec.submodule_search_locations:
            yield from sorted(Path(spec.submodule_search_locations[0]).rglob("*.py"))
