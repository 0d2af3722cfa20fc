"""What torchrun says of the processes that it started: how many there are, and which this is.

Read from the environment, so that the command line knows before PyTorch is imported.
"""

import os


def processes() -> int:
    """How many there are, on all machines; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def place() -> int:
    """Which of them this is, from 0; the first one leads."""
    return int(os.environ.get("RANK", "0"))


def local_processes() -> int:
    """How many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def local_place() -> int:
    """Which of those this is, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))
