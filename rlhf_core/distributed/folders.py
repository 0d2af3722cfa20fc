"""A folder that all ranks write into together, and that appears complete or not at all."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rlhf_core.distributed.ranks import failing_together, from_rank_zero
from rlhf_core.files.whole import describing_write_errors, whole_folder


@contextmanager
def shared_whole_folder(folder: Path) -> Iterator[Path]:
    """Create a folder on rank 0 that becomes `folder` when the block ends on all ranks.

    If a rank fails, all ranks raise an error and the folder does not appear. What a rank does alone
    between two collective calls of the block is done inside `failing_together`; what it does after
    the last one need not be.

    Args:
        folder: Destination, under the same path on every rank; an existing folder stays in place
            until then.

    Yields:
        The unfinished folder.

    Raises:
        DataFileError: If its parent cannot be written to, or the disk is full.
        FailedRankError: If another rank failed.
    """
    with failing_together(), ExitStack() as created, describing_write_errors(folder):
        unfinished = from_rank_zero(lambda: created.enter_context(whole_folder(folder)))
        with failing_together():  # until every rank has written its part
            yield unfinished
