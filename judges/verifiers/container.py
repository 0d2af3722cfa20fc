"""Shutting code off without bubblewrap: in a container, or, where a user insists, not at all."""

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
    Started,
)
from rlhf_core.errors import ConfigError

RUNTIMES = ("docker", "podman")
IMAGE = f"docker.io/library/python:{platform.python_version_tuple()[0]}." + (
    f"{platform.python_version_tuple()[1]}-slim"
)
"""Of the running Python's version; nothing but its standard library."""
IMAGE_VARIABLE = "SOLON_SANDBOX_IMAGE"
ADVICE = f"the image {IMAGE} must be there (docker pull), or another named in {IMAGE_VARIABLE}"


def runtime() -> str:
    """Return the path of docker, or else of podman.

    Raises:
        ConfigError: If neither is installed.
    """
    for name in RUNTIMES:
        found = shutil.which(name)
        if found is not None:
            return found
    raise ConfigError("`sandbox: docker` needs docker or podman, and neither is installed")


def command(name: str, memory_bytes: int, disk_bytes: int, processes: int) -> list[str]:
    """Return the command that runs the contained program in a container.

    Args:
        name: The container's, by which it is removed.
        memory_bytes: Most memory of the container beyond what Python takes to start.
        disk_bytes: The size of its folder, which lies in memory.
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
def started(memory_bytes: int, disk_bytes: int, processes: int) -> Iterator[Started]:
    """Start the contained program in a container, and remove the container afterwards.

    Raises:
        ConfigError: If there is no container runtime.
    """
    name = f"solon-{os.urandom(8).hex()}"
    process = _piped(command(name, memory_bytes, disk_bytes, processes), "/", None)
    try:
        yield Started(process, has_own_user=False)
    finally:
        subprocess.run([runtime(), "rm", "--force", name], capture_output=True, check=False)
        Started(process).end()


@contextlib.contextmanager
def started_without(interpreter: Interpreter) -> Iterator[Started]:
    """Start the contained program with limits alone: it sees files, network and processes."""
    start = START.replace(repr(INSIDE), "sys.argv[1]")
    with tempfile.TemporaryDirectory(prefix="solon-code-") as folder:
        (Path(folder) / "contained").symlink_to(CONTAINED)
        (Path(folder) / "box").mkdir()
        call = [interpreter.executable, "-I", "-B", "-c", start, folder]
        process = _piped(call, f"{folder}/box", {})
        try:
            yield Started(process, has_own_user=False)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            Started(process).end()


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
