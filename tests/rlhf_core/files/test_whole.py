"""Writing files and folders: whole or not there, each writer apart, nothing left by the dead."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlhf_core.errors import DataFileError
from rlhf_core.files.whole import (
    remove_unfinished,
    scratch_folder,
    sweep,
    whole_file,
    whole_folder,
    whole_text,
)

LEFTOVER = f".solon-{'0' * 32}.partial"
DIES = """
import sys, time
from pathlib import Path
from rlhf_core.files.whole import whole_folder, whole_text
with whole_text(Path(sys.argv[1])) as stream, whole_folder(Path(sys.argv[2])) as folder:
    (folder / "half").write_text("half")
    stream.write("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, words: str, *, is_new: bool = False) -> None:
    with whole_text(path, is_new=is_new) as stream:
        stream.write(words)


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path):
    target = tmp_path / "rows.csv"
    target.write_text("former")
    with whole_text(target) as stream:
        stream.write("é\n")
        stream.flush()
        assert target.read_text() == "former"
    assert target.read_bytes() == b"\xc3\xa9\n"
    assert names(tmp_path) == ["rows.csv"]


def test_a_file_that_fails_leaves_the_former_one_and_nothing_else(tmp_path: Path):
    target = tmp_path / "rows.csv"
    target.write_text("former")

    def interrupted() -> None:
        with whole_text(target) as stream:
            stream.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "former"
    assert names(tmp_path) == ["rows.csv"]


def test_files_have_the_rights_of_any_new_file(tmp_path: Path):
    former = os.umask(0o027)
    try:
        write(tmp_path / "a", "")
    finally:
        os.umask(former)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", [".rows.csv.partial", "rows.csv.tmp", "rows.tmp", "rows.csv"])
def test_no_symlink_is_followed(tmp_path: Path, name: str):
    """Whoever may write to the folder cannot point the writer at a file of its user."""
    victim = tmp_path / "victim"
    victim.write_text("do not touch")
    (tmp_path / name).symlink_to(victim)
    write(tmp_path / "rows.csv", "1")
    assert victim.read_text() == "do not touch"
    assert (tmp_path / "rows.csv").read_text() == "1"
    assert not (tmp_path / "rows.csv").is_symlink()


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path):
    target = tmp_path / "rows.csv"
    with whole_text(target) as slow:
        slow.write("1" * 100_000)
        write(target, "2")
        assert target.read_text() == "2"
    assert target.read_text() == "1" * 100_000
    assert names(tmp_path) == ["rows.csv"]


def test_a_file_that_must_be_new_never_replaces_one(tmp_path: Path):
    """Be it there at the start, or made by another command meanwhile."""
    target = tmp_path / "rows.csv"
    with pytest.raises(DataFileError, match="exists; remove it"), whole_text(target, is_new=True):
        write(target, "2", is_new=True)
    assert target.read_text() == "2"
    with pytest.raises(DataFileError, match="exists; remove it"):
        write(target, "3", is_new=True)
    assert target.read_text() == "2"
    assert names(tmp_path) == ["rows.csv"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for place, words in [
        ("absent/rows.csv", "No such file or directory"),
        ("file/rows.csv", "Not a directory"),
        (".", "is a folder"),
        ("pipe", "not a regular file"),
    ]:
        with pytest.raises(DataFileError, match=words):
            write(tmp_path / place, "")
    with pytest.raises(DataFileError, match="cannot be written"), whole_folder(tmp_path / "file/x"):
        pass
    assert names(tmp_path) == ["file", "pipe"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(DataFileError, match="free space there"), whole_file(tmp_path / "a"):
        raise full
    with pytest.raises(DataFileError, match="free space there"), whole_folder(tmp_path / "b"):
        raise full
    assert names(tmp_path) == []


def test_a_folder_is_whole_or_not_there(tmp_path: Path):
    folder = tmp_path / "model"

    def interrupted() -> None:
        with whole_folder(folder) as unfinished:
            (unfinished / "half").write_text("…")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []
    for words in ("first", "second"):
        with whole_folder(folder) as unfinished:
            (unfinished / "words").write_text(words)
    assert (folder / "words").read_text() == "second"
    assert names(tmp_path) == ["model"]


def test_two_writers_of_one_folder_do_not_mix(tmp_path: Path):
    folder = tmp_path / "model"
    with whole_folder(folder) as slow:
        (slow / "slow").touch()
        with whole_folder(folder) as quick:
            (quick / "quick").touch()
        assert names(folder) == ["quick"]
    assert names(folder) == ["slow"]
    assert names(tmp_path) == ["model"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path):
    """At once, whatever the clock says: the lock tells the two apart."""
    command = [sys.executable, "-c", DIES, str(tmp_path / "file"), str(tmp_path / "folder")]
    writing = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writing.stdout is not None
    assert writing.stdout.readline() == "writing\n"
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    sweep(tmp_path)
    assert len(names(tmp_path)) == 2
    writing.send_signal(signal.SIGKILL)
    writing.communicate()
    future = time.time() + 86_400
    for path in tmp_path.iterdir():
        os.utime(path, (future, future))
    write(tmp_path / "other", "")
    assert names(tmp_path) == ["other"]


def test_a_sweep_touches_nothing_that_is_not_ours(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/kept").touch()
    (tmp_path / LEFTOVER).symlink_to(tmp_path / "mine")
    (tmp_path / ".mine.partial").touch()
    os.mkfifo(tmp_path / f".solon-{'1' * 32}.partial")  # opening one could wait for ever
    sweep(tmp_path)
    assert (tmp_path / "mine/kept").exists()
    assert (tmp_path / ".mine.partial").exists()


def test_what_this_process_writes_can_be_removed_before_it_ends_at_once(tmp_path: Path):
    def removing() -> None:
        with whole_folder(tmp_path / "a"), scratch_folder(tmp_path):
            assert len(names(tmp_path)) == 2
            remove_unfinished()
            assert names(tmp_path) == []

    with pytest.raises(DataFileError, match="cannot be written"):
        removing()
    assert names(tmp_path) == []
