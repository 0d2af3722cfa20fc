"""The ranks that torchrun started: how many there are, and which of them this process is.

Both are read from the environment, so that the command line knows them without importing PyTorch.
"""

import os


def launched_world_size() -> int:
    """Return the number of ranks on all machines; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def launched_rank() -> int:
    """Return the rank of this process, from 0; rank 0 leads."""
    return int(os.environ.get("RANK", "0"))


def local_world_size() -> int:
    """Return the number of ranks on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def local_rank() -> int:
    """Return the rank of this process among those on this machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))
