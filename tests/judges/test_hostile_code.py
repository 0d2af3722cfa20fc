"""Hostile programs under several interpreters, as root and as a plain user."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from judges.verifiers.bubblewrap import CONTAINED
from judges.verifiers.sandbox import check
from rlhf_core.errors import ConfigError
from tests.conftest import ROOT
from tests.judges.forgeries import FORGERIES
from tests.judges.hostile import FILES, MEMORY, NETWORK, PROCESSES, SYSTEM_CALLS, Hostile

NOBODY = 65534
SYSTEM = "/usr/bin/python3"
PROGRAMS = [*FILES, *NETWORK, *PROCESSES, *MEMORY, *SYSTEM_CALLS, *FORGERIES]
IS_ROOT = os.geteuid() == 0
ABSTRACT = f"solon-hostile-{os.getpid()}"


@pytest.fixture(scope="module", autouse=True)
def _needs_a_sandbox() -> None:
    try:
        check()
    except ConfigError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def outside() -> Iterator[dict[str, Any]]:
    """A key, a world-writable folder and listeners, which the programs must not reach."""
    folder = Path("/tmp") / f"solon-hostile-{os.getpid()}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    (folder / "id_ed25519").write_text("PRIVATE KEY")
    shutil.copytree(CONTAINED, folder / "contained", ignore=shutil.ignore_patterns("__pycache__"))
    listeners = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX), socket.socket()]
    listeners[0].bind(str(folder / "agent.sock"))
    listeners[1].bind(f"\0{ABSTRACT}")
    listeners[2].bind(("127.0.0.1", 0))
    os.chmod(folder / "agent.sock", 0o777)
    for listener in listeners:
        listener.listen()
        listener.setblocking(False)
    yield {
        "folder": folder,
        "listeners": listeners,
        "names": {
            "secret": str(folder / "id_ed25519"),
            "outside": str(folder),
            "socket": str(folder / "agent.sock"),
            "abstract": ABSTRACT,
            "port": str(listeners[2].getsockname()[1]),
        },
    }
    for listener in listeners:
        listener.close()
    shutil.rmtree(folder)


Runs = Callable[[str, int | None], dict[str, Any]]


@pytest.fixture(scope="module")
def runs(outside: dict[str, Any]) -> Runs:
    """Runs all programs once per interpreter and user, and caches the results."""
    known: dict[tuple[str, int | None], dict[str, Any]] = {}

    def run(name: str, user: int | None) -> dict[str, Any]:
        if (name, user) not in known:
            known[name, user] = _run(outside, name, user)
        return known[name, user]

    return run


def _run(outside: dict[str, Any], name: str, user: int | None) -> dict[str, Any]:
    executable, prefixes = _interpreter(name, outside["folder"])
    request = {
        "user": user,
        "executable": executable,
        "prefixes": prefixes,
        "contained": str(outside["folder"] / "contained"),
        "timeout_seconds": 1,
        "at_once": 4,
        "programs": [[_filled(each, outside["names"]), each.tests] for each in PROGRAMS],
    }
    ended = subprocess.run(
        [sys.executable, "-m", "tests.judges.run_hostile"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "SOLON_TEST_KEY": "secret"},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def _filled(program: Hostile, names: dict[str, str]) -> str:
    code = program.code
    for name, value in names.items():
        code = code.replace(f"{{{name}}}", value)
    return code


def _interpreter(name: str, folder: Path) -> tuple[str, list[str]]:
    if name == "own":
        return sys.executable, [sys.prefix, sys.base_prefix]
    if not os.path.exists(SYSTEM):
        pytest.skip(f"there is no {SYSTEM}")
    if name == "system":
        return SYSTEM, ["/usr", "/usr"]
    environment = folder / "environment"
    if not environment.exists():
        subprocess.run([SYSTEM, "-m", "venv", "--without-pip", environment], check=True)
    return str(environment / "bin" / "python"), [str(environment), "/usr"]


SETTINGS = [
    pytest.param("own", None, id="own"),
    pytest.param("system", NOBODY, id="system-nobody"),
    pytest.param("system", None, id="system", marks=pytest.mark.slow),
    pytest.param("environment", None, id="environment", marks=pytest.mark.slow),
    pytest.param("environment", NOBODY, id="environment-nobody", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("interpreter", "user"), SETTINGS)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_hostile_code_is_stopped(
    program: Hostile, interpreter: str, user: int | None, runs: Runs
) -> None:
    if user is not None and not IS_ROOT:
        pytest.skip("only root can become another user")
    found = runs(interpreter, user)["found"][PROGRAMS.index(program)]
    assert re.search(program.expected, found["said"]), found["said"]


@pytest.mark.parametrize(("interpreter", "user"), SETTINGS)
def test_nothing_is_left_nor_written_nor_reached(
    interpreter: str, user: int | None, runs: Runs, outside: dict[str, Any]
) -> None:
    if user is not None and not IS_ROOT:
        pytest.skip("only root can become another user")
    found = runs(interpreter, user)
    assert found["left"] == []
    assert not (outside["folder"] / "written").exists()
    for listener in outside["listeners"]:
        with pytest.raises(BlockingIOError):
            listener.accept()
