"""Two ranks that write folders together, of which one fails; rank 0 prints what each rank met.

Needs RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT in the environment, and a folder as argument.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from rlhf_core.distributed.collective import follow, lead, on_all_ranks
from rlhf_core.distributed.folders import shared_whole_folder
from rlhf_core.distributed.launch import launched_rank
from rlhf_core.distributed.ranks import (
    all_gather_mapping,
    failing_together,
    from_rank_zero,
    join_ranks,
    rank,
)
from rlhf_core.errors import DataFileError
from tests.rlhf_core.distributed.full_disk import largest_file


def under_a_file(folder: Path) -> None:
    """Rank 0 cannot create the folder."""
    if rank() == 0:
        folder.write_text("a file, no folder")
    with shared_whole_folder(folder / "below"):
        pass


def with_a_bug_on_rank_one(folder: Path) -> None:
    with shared_whole_folder(folder) as unfinished:
        (unfinished / f"part-{rank()}").write_text("a part")
        if rank() == 1:
            raise ValueError("no part of rank 1\nand more lines")


def where_the_parent_disappears(folder: Path) -> None:
    """Rank 0 cannot give the finished folder its name."""
    with shared_whole_folder(folder / "below"), failing_together():
        if rank() == 0:
            shutil.rmtree(folder)


def on_a_full_disk(folder: Path) -> None:
    with shared_whole_folder(folder) as unfinished, largest_file(1024):
        with failing_together():
            if rank() == 0:
                save_file({"weight": torch.zeros(1024)}, unfinished / "model.safetensors")
        raise AssertionError("rank 0 has failed")


def ask_rank_zero(folder: Path) -> None:
    from_rank_zero(lambda: folder.read_text())


def without_failing(folder: Path) -> None:
    with shared_whole_folder(folder) as unfinished:
        (unfinished / f"part-{rank()}").write_text("a part")
    assert sorted(path.name for path in folder.iterdir()) == ["part-0", "part-1"]


WORKS = (
    under_a_file,
    with_a_bug_on_rank_one,
    where_the_parent_disappears,
    on_a_full_disk,
    ask_rank_zero,
    without_failing,
)


def met_by_each(work: Callable[[Path], None], folder: Path) -> dict[int, str]:
    """Return the error that each rank met, by rank."""
    try:
        work(folder)
        met = ""
    except Exception as error:
        met = f"{type(error).__name__}: {error}"
    return all_gather_mapping({rank(): met})


def main() -> None:
    folder = Path(sys.argv[1])
    if launched_rank() > 0:
        join_ranks()
        follow()
        return
    with lead(sys.exit):
        met = {
            work.__name__: on_all_ranks(met_by_each, work, folder / work.__name__) for work in WORKS
        }
        try:
            on_all_ranks(under_a_file, folder / "uncaught")
        except DataFileError:
            met["after an error"] = on_all_ranks(met_by_each, without_failing, folder / "after")
    print(json.dumps(met))


if __name__ == "__main__":
    main()
