"""A symlink is replaced in one step, whenever the process that does it is killed."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlhf_core.errors import DataFileError
from rlhf_core.files.links import switch_link
from tests.conftest import ROOT


def test_what_is_no_symlink_is_not_replaced(tmp_path: Path):
    (tmp_path / "line").mkdir()
    with pytest.raises(DataFileError, match="is no symlink; move it away"):
        switch_link(tmp_path / "line", tmp_path / "one")


def test_what_a_killed_process_left_goes_even_if_the_link_is_right(tmp_path: Path):
    (tmp_path / ".versions" / "one").mkdir(parents=True)
    switch_link(tmp_path / "line", tmp_path / ".versions" / "one")
    (tmp_path / ".line.next").symlink_to(".versions/two")
    switch_link(tmp_path / "line", tmp_path / ".versions" / "one")
    assert {path.name for path in tmp_path.iterdir()} == {".versions", "line"}


SWITCHING = """
import itertools, sys
from pathlib import Path
from rlhf_core.files.links import switch_link
home = Path(sys.argv[1])
print("begun", flush=True)
for name in itertools.cycle(("one", "two")):
    switch_link(home / "line", home / ".versions" / name)
"""


def test_a_kill_in_the_middle_of_a_switch_leaves_a_whole_champion(tmp_path: Path):
    """The link always names one of the two folders, and the next process goes on."""
    for name in ("one", "two"):
        folder = tmp_path / ".versions" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(name)
    draw = random.Random(1)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", SWITCHING, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout is not None
        process.stdout.readline()
        until = time.monotonic() + draw.uniform(0.01, 0.1)
        while time.monotonic() < until:
            if (tmp_path / "line").is_symlink():
                assert (tmp_path / "line" / "config.json").read_text() in ("one", "two")
        process.kill()
        process.wait()
        process.stdout.close()
        switch_link(tmp_path / "line", tmp_path / ".versions" / "one")
        assert (tmp_path / "line" / "config.json").read_text() == "one"
    assert {path.name for path in tmp_path.iterdir()} == {".versions", "line"}
