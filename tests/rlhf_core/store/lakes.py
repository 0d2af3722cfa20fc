"""Lakes for tests: a real PostgreSQL, a real object store, a DuckDB that has the extensions."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.conftest import ROOT

DUCKDB = "1.5.5"
"""The newest whose extensions come as wheels."""
EXTENSIONS = ("ducklake", "httpfs", "postgres-scanner")
WHEELS = [f"{n}=={DUCKDB}" for n in ("duckdb", *(f"duckdb-extension-{e}" for e in EXTENSIONS))]
S3_SERVER = ("moto[s3]==5.2.5", "flask", "flask-cors")
AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"
"""Enough for it: it asks for keys and does not check the signature."""
UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root."""


def lake_libraries(folder: Path) -> Path:
    """A folder to put before others on PYTHONPATH; skips the test where it cannot be had."""
    return _installed(folder, "--no-deps", *WHEELS)


def _installed(folder: Path, *wanted: str) -> Path:
    found = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), *wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        pytest.skip(f"{' '.join(wanted)} is not to be had: {found.stderr[-200:]}")
    return folder


class PostgreSQL:
    """A server on loopback that holds one database, `solon`, for a user of that name."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.programs = programs
        self.data = folder / "data"
        self.log = folder / "log"
        self.port = free_port()
        self._run("initdb", "-D", str(self.data), "--auth=trust", "-U", "solon", "--no-sync")
        self.start()
        self.create("solon")

    def create(self, database: str, template: str = "template1") -> None:
        self._run("createdb", *self._reach, "--template", template, database)

    def pages(self) -> bytes:
        """All tables, as they are on disk."""
        self._run("psql", *self._reach, "-d", "solon", "-c", "CHECKPOINT")
        files = [path for path in (self.data / "base").rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in files)

    @contextmanager
    def reader(self, database: str) -> Iterator[None]:
        """Somebody who goes on seeing the tables as they are now."""
        command = self._command("psql", *self._reach, "-d", database)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd="/", text=True, **pipes) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ;\n")
            process.stdin.write("SELECT count(*) FROM solon.ducklake_snapshot;\n")
            process.stdin.flush()
            while "count" not in process.stdout.readline():
                pass
            yield
            process.stdin.close()

    @property
    def _reach(self) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", "solon"]

    def start(self) -> None:
        # Autovacuum would take away what a test says that Solon took away.
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= "
        options += "-c autovacuum=off"
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.log), "-o", options, "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def address(self, rows: Path | str, database: str = "solon") -> str:
        return f"ducklake:postgresql://solon@127.0.0.1:{self.port}/{database}?data={rows}"

    def _run(self, program: str, *arguments: str) -> None:
        # Not captured: the server would inherit a pipe and keep it open.
        command = self._command(program, *arguments)
        subprocess.run(command, stdout=subprocess.DEVNULL, cwd="/", check=True)

    def _command(self, program: str, *arguments: str) -> list[str]:
        command = [str(self.programs / program), *arguments]
        return ["runuser", "-u", UNPRIVILEGED, "--", *command] if os.geteuid() == 0 else command


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


class Lake:
    """Results of queries that separate processes run on one lake."""

    def __init__(self, libraries: Path, address: str, **environment: str) -> None:
        self.libraries, self.address = libraries, address
        path = os.pathsep.join([str(libraries), str(ROOT)])
        own = {"PYTHONPATH": path, "HOME": str(libraries.parent), "OMP_NUM_THREADS": "1"}
        key = {"SOLON_USER_KEY": "a key that machines share"}
        self.environment = {**os.environ, **own, **key, **environment}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Work on the lake; see lake_work.py."""
        program = [sys.executable, "-m", "tests.rlhf_core.store.lake_work", self.address]
        return subprocess.Popen(
            [*program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def said(self, *arguments: str) -> str:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err
        return out

    def found(self, *arguments: str) -> Any:
        return json.loads(self.said(*arguments))

    def ids(self) -> list[str]:
        return [row[0] for row in self.found("audit", "SELECT id FROM candidates")["rows"]]


class Lakes:
    """Empty lakes of one server, copies of one whose schema was made but once: that takes long."""

    def __init__(
        self, libraries: Path, server: PostgreSQL, rows: Path | str, **environment: str
    ) -> None:
        self.server, self.rows = server, rows
        self.libraries, self.environment = libraries, environment
        self._made = 0
        self._lake("solon").said("counts")

    def new(self) -> Lake:
        self._made += 1
        database = f"solon{self._made}"
        self.server.create(database, template="solon")
        return self._lake(database)

    def _lake(self, database: str) -> Lake:
        address = self.server.address(self.rows, database)
        return Lake(self.libraries, address, **self.environment)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class ObjectStore:
    """An S3 server on loopback that holds the bucket `lake`, behind a gate that can be shut.

    What it holds is in its memory, so that it is the gate that goes away and comes back.
    """

    def __init__(self, libraries: Path) -> None:
        self._inner, self.port = free_port(), free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._inner)]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(libraries)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._gate: Gate | None = None
        self.start()
        self._wait()
        self.request("PUT", "/lake")

    @property
    def options(self) -> str:
        """The address of the lake."""
        return f"s3://lake/solon&endpoint=http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._gate = Gate(self.port, self._inner)

    def stop(self) -> None:
        assert self._gate is not None
        self._gate.shut()
        self._gate = None

    def end(self) -> None:
        if self._gate is not None:
            self.stop()
        self._process.kill()
        self._process.wait()

    def request(self, method: str, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._inner, timeout=30)
        connection.request(method, path, headers={"Authorization": AUTHORIZATION})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status < 300, (method, path, answer.status)
        return body

    def objects(self) -> dict[str, bytes]:
        """Everything in the bucket, by key."""
        listing = ElementTree.fromstring(self.request("GET", "/lake?list-type=2"))
        keys = [str(found.text) for found in listing.iter() if found.tag.endswith("}Key")]
        return {key: self.request("GET", f"/lake/{key}") for key in keys}

    def _wait(self) -> None:
        for _ in range(600):
            with suppress(OSError):
                self.request("GET", "/")
                return
            time.sleep(0.1)
        raise RuntimeError("the object store did not start")


class Gate:
    """Passes connections on to another port, until it is shut; then those that are open end too."""

    def __init__(self, port: int, inner: int) -> None:
        self._inner = inner
        self._open: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        for one in (self._socket, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                outer, _ = self._socket.accept()
                inner = socket.create_connection(("127.0.0.1", self._inner))
                self._open += [outer, inner]
                for pair in ((outer, inner), (inner, outer)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def object_store(folder: Path) -> Iterator[ObjectStore]:
    """A running S3 server; skips the test where none can be had."""
    server = ObjectStore(_installed(folder, *S3_SERVER))
    try:
        yield server
    finally:
        server.end()
