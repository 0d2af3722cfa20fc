"""A folder that all ranks write into together, and that appears complete or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlhf_core.distributed.ranks import any_rank, from_rank_zero, rank
from rlhf_core.files.whole import whole_folder


@contextmanager
def shared_whole_folder(folder: Path) -> Iterator[Path]:
    """Create a folder on rank 0 that becomes `folder` when the block ends on all ranks.

    Args:
        folder: Destination, under the same path on every rank; an existing folder stays in place
            until then.

    Yields:
        The unfinished folder.

    Raises:
        DataFileError: If its parent cannot be written to, or the disk is full.
    """
    if rank() > 0:
        yield from_rank_zero(lambda: folder)
        any_rank(False)
        return
    with whole_folder(folder) as unfinished:
        from_rank_zero(lambda: unfinished)
        yield unfinished
        any_rank(False)  # until every rank has written its part
