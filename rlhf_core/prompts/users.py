"""What stands for a user whose prompts were deleted: a hash that only the key's holder can look up.

Without a key, whoever reads the store finds the user by hashing every address there may be. Stores
from before keys have such hashes, and they still count. Where the key is lies in store/user_key.py.
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
    """Hashes of users by the keys at hand.

    Args:
        keys: The first makes new hashes, and all of them are looked for.
    """

    keys: tuple[bytes, ...] = ()

    def new(self, user_id: str) -> str:
        """What is kept of a user from now on: the key's name and a keyed hash."""
        return _keyed(self.keys[0], user_id)

    def of(self, user_id: str) -> set[str]:
        """All that may stand for a user, the hash without a key among them."""
        return {content_id("user", user_id), *(_keyed(key, user_id) for key in self.keys)}

    def may_be(self, user_id: str, hashes: Collection[str]) -> bool:
        """Whether one of these stands for the user, or may: its key is not at hand."""
        return not self.of(user_id).isdisjoint(hashes) or not all(map(self.can_read, hashes))

    def can_read(self, user_hash: str) -> bool:
        """Whether it can be told of a hash whose it is; not where its key is not at hand."""
        key_name, dash, _ = user_hash.rpartition("-")
        return not dash or key_name in map(_name, self.keys)


def _keyed(key: bytes, user_id: str) -> str:
    hashed = hmac.new(key, user_id.encode(), hashlib.sha256).hexdigest()[:HASH_HEX_DIGITS]
    return f"{_name(key)}-{hashed}"


def _name(key: bytes) -> str:
    return digest(b"user key " + key)[:KEY_NAME_HEX_DIGITS]
