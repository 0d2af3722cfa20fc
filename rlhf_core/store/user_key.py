"""The key of user hashes: the variable SOLON_USER_KEY, or a file beside the store.

The first deletion creates the file, which only its owner can read. It is in no snapshot and no
export. Anyone with the store and the key can test guesses of user ids, so give a copy of the store
away without it. Without the key nobody can tell any more whose the deleted prompts were.
"""

import os
import secrets
from contextlib import suppress

from rlhf_core.errors import ConfigError, StoreError
from rlhf_core.prompts.users import UserHashes
from rlhf_core.store.disk.files import StoreFiles, fsync, unwritable

VARIABLE = "SOLON_USER_KEY"
SHORTEST_KEY = 16
OWNER_ALONE = 0o600


def user_hashes(files: StoreFiles) -> UserHashes:
    """Return the user hashes by the keys that exist: the variable's first, then the file's.

    Raises:
        ConfigError: If the variable is too short to be a secret.
        StoreError: If the file cannot be read.
    """
    keys = [_given(), _kept(files)]
    return UserHashes(tuple(key for key in keys if key))


def user_hashes_to_write(files: StoreFiles) -> UserHashes:
    """Return the same hashes, after creating a key if there is none.

    Raises:
        ConfigError: As `user_hashes`.
        StoreError: If the file can neither be read nor written.
    """
    if not user_hashes(files).keys:
        _make(files)
    return user_hashes(files)


def _given() -> bytes:
    key = os.environ.get(VARIABLE, "").encode()
    if key and len(key) < SHORTEST_KEY:
        raise ConfigError(f"{VARIABLE} has fewer than {SHORTEST_KEY} bytes; take a random one")
    return key


def _kept(files: StoreFiles) -> bytes:
    try:
        return files.user_key.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreError(f"key {files.user_key}: {error.strerror}") from None


def _make(files: StoreFiles) -> None:
    path = files.user_key
    written = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ALONE)
        with open(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32))
        fsync(written)
        # A link, unlike a rename, never replaces a key that another process has just written.
        with suppress(FileExistsError):
            path.hardlink_to(written)
        fsync(path.parent)
    except OSError as error:
        raise unwritable(path.parent, error) from None
    finally:
        written.unlink(missing_ok=True)
