"""The prompts that users had deleted, which must not return with their source."""

import logging

from rlhf_core.prompts.intake import Tombstones
from rlhf_core.prompts.users import UserHashes
from rlhf_core.store import Store, queries
from rlhf_core.store.user_key import user_hashes

logger = logging.getLogger(__name__)


def read_tombstones(store: Store) -> tuple[Tombstones, UserHashes]:
    """Return the tombstones of deleted prompts, and the hashes that identify their users."""
    tombstones, hashes = queries.tombstones(store), user_hashes(store.files)
    unread = sum(not hashes.can_read(user_hash) for _, user_hash in tombstones)
    if unread:
        logger.warning(
            "the key of %d deleted prompts is missing, so these prompts stay out for every user; "
            "put back %s, or set SOLON_USER_KEY",
            unread,
            store.files.user_key,
        )
    return tombstones, hashes
