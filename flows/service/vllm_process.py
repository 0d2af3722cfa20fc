"""A vLLM server that Solon starts in the environment that has vLLM, and stops when it is done."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil

from flows.terminal.progress import SECONDS_BETWEEN_LINES, duration, write_line
from rlhf_core.config.engine import EngineSettings
from rlhf_core.endpoints.retries import one_line
from rlhf_core.errors import ConfigError, EndpointError

HOST = "127.0.0.1"
POLL_SECONDS = 0.2
HEALTH_SECONDS = 1.0
STOP_SECONDS = 15.0
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM takes for --max-lora-rank."""
ENVIRONMENT = {
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
LAST_BYTES = 8192


@contextmanager
def vllm_server(settings: EngineSettings, base: Path, lora_rank: int, log: Path) -> Iterator[str]:
    """Serve a model inside the block.

    Args:
        settings: The engine, with the Python of the environment that has vLLM.
        base: Folder of the model.
        lora_rank: Rank of the adapters that will be loaded.
        log: File for the server's output, which is replaced.

    Yields:
        The address of the server, which answers.

    Raises:
        ConfigError: If that Python does not exist.
        EndpointError: If the server ends or takes longer than `settings.start_seconds`.
    """
    python = Path(str(settings.python)).expanduser()
    if not python.is_file():
        raise ConfigError(f"sampling.engine.python: there is no {python}")
    port = _free_port()
    command = [str(python), *_arguments(settings, base, lora_rank, port)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        watcher = subprocess.Popen(
            [sys.executable, "-m", "flows.service.watched_process", str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment(settings),
            start_new_session=True,
        )
    try:
        _wait_until_healthy(watcher, f"http://{HOST}:{port}", settings.start_seconds, log)
        yield f"http://{HOST}:{port}"
    finally:
        _stop(watcher)


def _environment(settings: EngineSettings) -> dict[str, str]:
    """Return the environment of the watcher; what Solon's own sets wins."""
    dev_mode = {"VLLM_SERVER_DEV_MODE": "1"} if settings.sleep else {}
    path = os.pathsep.join(filter(None, sys.path))
    return {**ENVIRONMENT, **dev_mode, **os.environ, "PYTHONPATH": path}


def _arguments(settings: EngineSettings, base: Path, lora_rank: int, port: int) -> list[str]:
    options: dict[str, bool | int | float | str] = {
        "model": str(base),
        "served-model-name": base.name,
        "host": HOST,
        "port": port,
        "enable-lora": True,
        "max-lora-rank": min((rank for rank in RANKS if rank >= lora_rank), default=lora_rank),
        "max-loras": 2,
        "logprobs-mode": "processed_logprobs",
        "generation-config": "vllm",
        "enable-sleep-mode": settings.sleep,
        **settings.options,
    }
    arguments = ["-m", "vllm.entrypoints.openai.api_server"]
    for name, value in options.items():
        if value is not False:
            arguments += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return arguments


def _wait_until_healthy(
    server: "subprocess.Popen[bytes]", url: str, limit_seconds: float, log: Path
) -> None:
    """Wait until the server answers, and write a line a minute with the last line of its log."""
    write_line(f"starting vLLM; its log is {log}")
    started = said = time.monotonic()
    while (now := time.monotonic()) - started < limit_seconds:
        if server.poll() is not None:
            raise EndpointError(
                f"the vLLM server ended while it started ({_reason(log)}); its log is {log}"
            )
        with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"{url}/health", timeout=HEALTH_SECONDS).close()
            return
        if now - said >= SECONDS_BETWEEN_LINES:
            write_line(f"vLLM starts since {duration(now - started)}: {_last_line(log)}")
            said = now
        time.sleep(POLL_SECONDS)
    raise EndpointError(
        f"the vLLM server was not up after sampling.engine.start_seconds ({limit_seconds:g}); its "
        f"log is {log}"
    )


def _stop(watcher: "subprocess.Popen[bytes]") -> None:
    """End the watcher and all below it: first by SIGTERM, then by SIGKILL."""
    below: list[psutil.Process] = []
    with suppress(psutil.Error):
        below = psutil.Process(watcher.pid).children(recursive=True)
    watcher.terminate()
    with suppress(subprocess.TimeoutExpired):
        watcher.wait(STOP_SECONDS)
    watcher.kill()
    watcher.wait()
    for process in psutil.wait_procs(below, timeout=0)[1]:
        with suppress(psutil.Error):
            process.kill()


def _last_lines(log: Path) -> list[str]:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LAST_BYTES))
        return [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]


def _last_line(log: Path) -> str:
    return one_line((_last_lines(log) or [""])[-1])[:80]


def _reason(log: Path) -> str:
    """Return the line of a log that most likely says why the server ended."""
    lines = _last_lines(log)
    named = [line for line in lines if "Error" in line]
    return one_line((named or lines or ["it wrote nothing"])[-1])


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
