"""Symlinks that are replaced in one step, so that a name always leads to a whole folder."""

import os
from pathlib import Path

from rlhf_core.errors import DataFileError


def switch_link(link: Path, folder: Path) -> None:
    """Let a symlink name another folder, in one step.

    Args:
        link: The symlink, which may be missing.
        folder: The folder, in a folder beside the link; it is named by a relative path, so that
            both can be moved together.

    Raises:
        DataFileError: If something else than a symlink has the name.
    """
    if link.exists() and not link.is_symlink():
        raise DataFileError(f"{link} is no symlink; move it away, and run again")
    target = os.path.relpath(folder, link.parent)
    following = link.with_name(f".{link.name}.next")
    following.unlink(missing_ok=True)  # of a process that was killed before it replaced the link
    if link.is_symlink() and os.readlink(link) == target:
        return
    following.symlink_to(target, target_is_directory=True)
    os.replace(following, link)
