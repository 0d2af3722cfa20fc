"""The `solon` command in a process of its own, as a user has it."""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conftest import ROOT

SOLON = str(Path(sys.executable).with_name("solon"))
Ended = subprocess.CompletedProcess[str]


def solon(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path = ROOT,
    timeout: int = 180,
) -> Ended:
    return _run([SOLON, *arguments], environment, folder, timeout)


def killed_solon(stage: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Ended:
    """Killed with SIGKILL inside that stage; see killed.py."""
    command = [sys.executable, "-m", "tests.flows.killed", stage, *arguments]
    return _run(command, environment, ROOT, 180)


def start_solon(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> "subprocess.Popen[str]":
    """In a process group of its own, as a terminal starts it: also where tests ignore Ctrl-C."""
    return subprocess.Popen(
        [SOLON, *arguments],
        env=dict(environment),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def _run(command: list[str], environment: Mapping[str, str], folder: Path, timeout: int) -> Ended:
    return subprocess.run(
        command,
        env=dict(environment),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
