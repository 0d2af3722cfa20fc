"""Sizes of files and folders that a run may change meanwhile."""

import os
from contextlib import suppress
from pathlib import Path


def bytes_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; links are not followed.

    What is missing, or is removed meanwhile, counts nothing.
    """
    if path.is_dir() and not path.is_symlink():
        paths = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    else:
        paths = [str(path)]
    total = 0
    for each in paths:
        with suppress(FileNotFoundError):
            total += os.lstat(each).st_size
    return total
