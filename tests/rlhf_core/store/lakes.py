"""A real PostgreSQL of a test's own, and a DuckDB that has the extensions a lake needs."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT

DUCKDB = "1.5.5"
"""The newest whose extensions come as wheels."""
WHEELS = ("duckdb", "duckdb-extension-ducklake", "duckdb-extension-postgres-scanner")
UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root."""


def lake_libraries(folder: Path) -> Path:
    """A folder to put before others on PYTHONPATH; skips the test where it cannot be had."""
    found = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        + [f"{wheel}=={DUCKDB}" for wheel in WHEELS],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        pytest.skip(f"DuckDB {DUCKDB} with its extensions is not to be had: {found.stderr[-200:]}")
    return folder


class PostgreSQL:
    """A server on loopback that holds one database, `solon`, for a user of that name."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.programs = programs
        self.data = folder / "data"
        self.log = folder / "log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._run("initdb", "-D", str(self.data), "--auth=trust", "-U", "solon", "--no-sync")
        self.start()
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "solon", "solon")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.log), "-o", options, "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def address(self, rows: Path) -> str:
        return f"ducklake:postgresql://solon@127.0.0.1:{self.port}/solon?data={rows}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", UNPRIVILEGED, "--", *command]
        # Not captured: the server would inherit a pipe and keep it open.
        subprocess.run(command, stdout=subprocess.DEVNULL, cwd="/", check=True)


@contextmanager
def postgresql(folder: Path) -> Iterator[PostgreSQL]:
    """A running server; skips the test where PostgreSQL is not installed."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL's initdb is not installed")
    if os.geteuid() == 0:
        shutil.chown(folder, UNPRIVILEGED)
        for parent in folder.parents:
            if parent.owner() == "root" and parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o011)
    server = PostgreSQL(folder, programs)
    try:
        yield server
    finally:
        server.stop()


def _programs() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


def lake_command(libraries: Path, address: str, *arguments: str) -> list[str]:
    """Work on the lake in a process that has those libraries; see lake_work.py."""
    path = os.pathsep.join([str(libraries), str(ROOT)])
    program = [sys.executable, "-m", "tests.rlhf_core.store.lake_work", address, *arguments]
    return ["env", f"PYTHONPATH={path}", f"HOME={libraries.parent}", *program]
