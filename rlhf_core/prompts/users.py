"""Keyed hashes of users whose prompts were deleted; only the key's holder can match them.

Without a key, anyone who reads the store could find the user by hashing all likely addresses. Older
stores contain such hashes, and they remain valid. store/user_key.py says where the key is kept.
"""

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass

from rlhf_core.identity import content_id, digest

HASH_HEX_DIGITS = 32
KEY_NAME_HEX_DIGITS = 8


@dataclass(frozen=True)
class UserHashes:
    """Hashes of users by the available keys.

    Args:
        keys: The first key makes new hashes; all keys are used to match existing ones.
    """

    keys: tuple[bytes, ...] = ()

    def new_hash(self, user_id: str) -> str:
        """Return the hash to store for a user: the key's name and a keyed hash."""
        return _keyed(self.keys[0], user_id)

    def all_hashes(self, user_id: str) -> set[str]:
        """Return every hash that may identify a user, including the one without a key."""
        return {content_id("user", user_id), *(_keyed(key, user_id) for key in self.keys)}

    def may_match(self, user_id: str, hashes: Collection[str]) -> bool:
        """Return True if one of the hashes is the user's, or may be because its key is missing."""
        return not self.all_hashes(user_id).isdisjoint(hashes) or not all(
            map(self.can_read, hashes)
        )

    def can_read(self, user_hash: str) -> bool:
        """Return True if the key of a hash is available, or the hash has none."""
        key_name, dash, _ = user_hash.rpartition("-")
        return not dash or key_name in map(_name, self.keys)


def _keyed(key: bytes, user_id: str) -> str:
    hashed = hmac.new(key, user_id.encode(), hashlib.sha256).hexdigest()[:HASH_HEX_DIGITS]
    return f"{_name(key)}-{hashed}"


def _name(key: bytes) -> str:
    return digest(b"user key " + key)[:KEY_NAME_HEX_DIGITS]
