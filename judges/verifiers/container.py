"""Isolation of code without bubblewrap: in a container or, at the user's wish, by limits alone."""

import contextlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from judges.verifiers.bubblewrap import (
    CONTAINED,
    FOLDER,
    INSIDE,
    NOBODY,
    OVERHEAD_BYTES,
    START,
    Interpreter,
    SandboxProcess,
)
from rlhf_core.errors import ConfigError

RUNTIMES = ("docker", "podman")
IMAGE = f"docker.io/library/python:{platform.python_version_tuple()[0]}." + (
    f"{platform.python_version_tuple()[1]}-slim"
)
"""Image with the running Python's version and only its standard library."""
IMAGE_VARIABLE = "SOLON_SANDBOX_IMAGE"
ADVICE = f"pull the image {IMAGE} (docker pull), or name another one in {IMAGE_VARIABLE}"


def runtime() -> str:
    """Return the path of docker or, without docker, of podman.

    Raises:
        ConfigError: If neither is installed.
    """
    for name in RUNTIMES:
        path = shutil.which(name)
        if path is not None:
            return path
    raise ConfigError("`sandbox: docker` needs docker or podman, and neither is installed")


def command(name: str, memory_bytes: int, disk_bytes: int, processes: int) -> list[str]:
    """Return the command that runs the contained program in a container.

    Args:
        name: Name of the container.
        memory_bytes: Most memory of the container, without Python's own.
        disk_bytes: Size of its folder, which is in memory.
        processes: Most processes and threads of the answer.
    """
    memory = str(memory_bytes + disk_bytes + OVERHEAD_BYTES)
    return [
        runtime(),
        *("run", "--rm", "--interactive", "--name", name, "--pull", "never"),
        *("--network", "none", "--ipc", "none", "--read-only", "--init", "--log-driver", "none"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--user", f"{NOBODY}:{NOBODY}", "--hostname", "sandbox", "--workdir", FOLDER),
        *("--memory", memory, "--memory-swap", memory, "--pids-limit", str(processes + 4)),
        *("--tmpfs", f"{FOLDER}:rw,nosuid,nodev,size={disk_bytes},mode=1777"),
        *("--volume", f"{CONTAINED}:{INSIDE}/contained:ro"),
        os.environ.get(IMAGE_VARIABLE, IMAGE),
        *("python3", "-I", "-B", "-c", START),
    ]


@contextlib.contextmanager
def start(memory_bytes: int, disk_bytes: int, processes: int) -> Iterator[SandboxProcess]:
    """Start the contained program in a container, and remove the container afterwards.

    Args:
        memory_bytes: Most memory of the container, without Python's own.
        disk_bytes: Size of its folder, which is in memory.
        processes: Most processes and threads of the answer.

    Yields:
        The running program.

    Raises:
        ConfigError: If there is no container runtime.
    """
    name = f"solon-{os.urandom(8).hex()}"
    process = _piped(command(name, memory_bytes, disk_bytes, processes), "/", None)
    try:
        yield SandboxProcess(process, has_own_user=False)
    finally:
        subprocess.run([runtime(), "rm", "--force", name], capture_output=True, check=False)
        SandboxProcess(process).end()


@contextlib.contextmanager
def start_unisolated(interpreter: Interpreter) -> Iterator[SandboxProcess]:
    """Start the contained program with limits only: it sees files, network and processes."""
    start = START.replace(repr(INSIDE), "sys.argv[1]")
    with tempfile.TemporaryDirectory(prefix="solon-code-") as folder:
        (Path(folder) / "contained").symlink_to(CONTAINED)
        (Path(folder) / "box").mkdir()
        call = [interpreter.executable, "-I", "-B", "-c", start, folder]
        process = _piped(call, f"{folder}/box", {})
        try:
            yield SandboxProcess(process, has_own_user=False)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            SandboxProcess(process).end()


def _piped(
    call: list[str], folder: str, environment: dict[str, str] | None
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        call,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=folder,
        start_new_session=True,
    )
