"""What one of two ranks fails at fails on both at once, as real processes over gloo."""

import json
from pathlib import Path

import pytest

from rlhf_core.distributed.ranks import failing_together, from_rank_zero
from tests.rlhf_core.distributed.launching import run_ranks


def test_what_one_rank_fails_at_fails_on_both_at_once(tmp_path: Path):
    """Neither waits for the other, and both are in step afterwards."""
    met = json.loads(run_ranks("tests.rlhf_core.distributed.failing", str(tmp_path)))
    below = f"{tmp_path}/under_a_file/below cannot be written: File exists; "
    assert met["under_a_file"]["0"].startswith(f"DataFileError: {below}")
    assert met["under_a_file"]["1"].startswith(f"FailedRankError: rank 0 failed: {below}")
    assert met["with_a_bug_on_rank_one"] == {
        "0": "FailedRankError: rank 1 failed: ValueError: no part of rank 1",
        "1": "ValueError: no part of rank 1\nand more lines",
    }
    gone = f"{tmp_path}/where_the_parent_disappears/below cannot be written: No such file"
    assert met["where_the_parent_disappears"]["0"].startswith(f"DataFileError: {gone}")
    assert met["where_the_parent_disappears"]["1"].startswith(
        f"FailedRankError: rank 0 failed: {gone}"
    )
    full = f"DataFileError: {tmp_path}/on_a_full_disk cannot be written: File too large; free space"
    assert met["on_a_full_disk"]["0"].startswith(full)
    assert met["ask_rank_zero"]["0"].startswith("FileNotFoundError: ")
    assert met["ask_rank_zero"]["1"].startswith(
        "FailedRankError: rank 0 failed: FileNotFoundError: "
    )
    assert met["without_failing"] == met["after an error"] == {"0": "", "1": ""}
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"under_a_file", "uncaught", "without_failing", "after"}


def test_alone_an_error_is_raised_as_it_is():
    with pytest.raises(ValueError, match="mine"), failing_together():
        raise ValueError("mine")
    with pytest.raises(ZeroDivisionError):
        from_rank_zero(lambda: 1 // 0)


@pytest.mark.slow
def test_a_full_disk_of_one_rank_ends_the_checkpoint_of_both(tmp_path: Path):
    """Both name the reason, nothing is left, and the next checkpoint is saved and read."""
    module = "tests.rlhf_core.distributed.failing_checkpoint"
    first, second, step = run_ranks(module, str(tmp_path)).splitlines()
    reason = f"{tmp_path}/step-00000001 cannot be written: File too large; free space there"
    assert reason in first
    assert reason in second
    assert step == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]
