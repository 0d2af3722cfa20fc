"""Ending by a signal: the exit code of the signal, one line, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT

LISTENS = """
import signal, subprocess, sys, time
from pathlib import Path
from flows.terminal import stopping
from rlhf_core.files.whole import whole_text
stopping.GRACE_SECONDS = 0.5
stopping.listen()
stopping.describe("`solon run x.yaml`", "run it again")
stopping.at("cycle 1, stage judge")
def work():
    {work}
with stopping.unwinding():
    work()
"""
SLEEPS = """
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("unwound", flush=True)
"""
IS_DEAF = """
    child = subprocess.Popen(["sleep", "61"])
    with whole_text(Path(sys.argv[1]) / "rows") as stream:
        print("ready", child.pid, flush=True)
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass
"""
HAS_A_HANDLER_OF_ITS_OWN = """
    def swallow(number, frame): pass
    signal.signal(signal.SIGTERM, swallow)
    print("ready", flush=True)
    time.sleep(60)
"""
SAID = "solon: {name} stopped `solon run x.yaml` in cycle 1, stage judge; run it again\n"


def start(work: str, *arguments: str, ignored: bool = False) -> "subprocess.Popen[str]":
    """A process that listens, whatever signals those ignore who run the tests."""

    def before() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, "-c", LISTENS.format(work=work.strip()), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=before,
    )


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("ready")
    return line


@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")],
)
def test_a_signal_unwinds_in_one_line_with_its_exit_code(number: signal.Signals, name: str):
    process = start(SLEEPS)
    said(process)
    process.send_signal(number)
    out, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert errors == SAID.format(name=name)
    assert out == "unwound\n"


def test_a_process_that_does_not_unwind_ends_all_the_same_and_leaves_nothing(tmp_path: Path):
    """Its child ends with it, and so does the file that it was writing."""
    process = start(IS_DEAF, str(tmp_path))
    child = psutil.Process(int(said(process).split()[1]))
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 143
    assert errors == SAID.format(name="SIGTERM")
    assert not child.is_running()
    assert list(tmp_path.iterdir()) == []


def test_a_signal_is_heard_whoever_has_the_handler():
    """Prefect puts its own in place of ours while a flow runs."""
    process = start(HAS_A_HANDLER_OF_ITS_OWN)
    said(process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (143, SAID.format(name="SIGTERM"))


def test_a_second_ctrl_c_ends_at_once():
    process = start("stopping.GRACE_SECONDS = 50\n    " + IS_DEAF.strip(), "/tmp")
    said(process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130


def test_a_signal_that_is_ignored_stays_so():
    """As SIGHUP is under nohup."""
    process = start(SLEEPS.replace("60", "1"), ignored=True)
    said(process)
    process.send_signal(signal.SIGHUP)
    out, errors = process.communicate(timeout=20)
    assert (process.returncode, out, errors) == (0, "unwound\n", "")


ENDS_WITH = """
import os, sys, time
from flows.terminal.parent import end_with
end_with(int(sys.argv[1]))
print("ready", flush=True)
time.sleep(60)
"""
HAS_A_CHILD = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
time.sleep(60)
"""


def test_a_child_ends_with_its_parent_also_by_sigkill():
    command = [sys.executable, "-c", HAS_A_CHILD, ENDS_WITH]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    said(parent)
    (child,) = psutil.Process(parent.pid).children()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    child.wait(timeout=10)
    assert not child.is_running()
    assert parent.stdout is not None
    parent.stdout.close()
