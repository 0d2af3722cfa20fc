"""Further checks of `solon doctor`: models, their servers, the machine, the Prefect server."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from flows.service.readiness import (
    GIB,
    Check,
    check_open_files,
    check_versions,
    guarded,
    note,
    ok,
    ready_for,
    remote_models,
    wrong,
)
from rlhf_core.config import Config
from rlhf_core.config.endpoint import EndpointSettings

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

NET_SECONDS = 5.0
SKEW_SECONDS = 30.0
"""Difference of clocks from which schedules and signatures of requests fail."""
PORTS = {8787: "`solon ui`", 9464: "`solon metrics`"}
OPENAI = "https://api.openai.com/v1"
POOLS = ("solon-cpu", "solon-gpu")


def diagnose(
    config: Config | None, *, asks_endpoints: bool = False, expects_workers: bool = True
) -> Iterator[Check]:
    """Yield all checks, quick ones first.

    Args:
        config: Config to check; None checks this machine and the Prefect server alone.
        asks_endpoints: True to send each remote model one tiny request, which may cost.
        expects_workers: True if a work pool without a worker is wrong; False for the worker that
            is about to start.
    """
    if config is None:
        yield guarded("versions", check_versions)
        yield guarded("open files", check_open_files)
    else:
        yield from ready_for(config)
    yield guarded("ports", check_ports)
    yield from _server_checks(expects_workers)
    yield guarded("GPU", partial(check_gpu, config.compute.device if config else "auto"))
    if config is None:
        return
    yield guarded("policy model", partial(check_policy_model, config))
    yield from _judge_checks(config)
    endpoints = remote_models(config)
    for endpoint in endpoints:
        yield guarded(f"server of {endpoint.model}", partial(check_endpoint, endpoint))
    if endpoints and asks_endpoints:
        yield guarded("a tiny request", partial(check_replies, config))


def check_ports() -> Check:
    """Check that the ports of the pages are free, and that a server can listen on loopback."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
    taken = [f"{port} ({use})" for port, use in PORTS.items() if not _is_free(port)]
    if taken:
        return note("ports", f"in use: {', '.join(taken)}", "name another with --port")
    return ok("ports", f"free: {', '.join(map(str, PORTS))}")


def check_gpu(device: str) -> Check:
    """Check that PyTorch sees the GPUs that the driver has, and the device that the config names.

    Args:
        device: `compute.device` of the config.

    Returns:
        The check, with each GPU's memory.
    """
    import torch

    driver = _driver()
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if driver and not count:
        found = f"{driver}, but PyTorch {torch.__version__} sees none"
        return wrong("GPU", found, "install the build of PyTorch for this driver (pytorch.org)")
    if device.startswith("cuda") and not count:
        return wrong("GPU", f"compute.device is {device}; there is none", "set it to auto or cpu")
    if not count:
        return ok("GPU", "none; everything runs on the CPU")
    shown = []
    for number in range(count):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        shown.append(f"{name}, {free / GIB:.0f} of {total / GIB:.0f} GiB free")
    return ok("GPU", f"{driver or 'no nvidia-smi'}: {'; '.join(shown)}")


def check_policy_model(config: Config) -> Check:
    """Check that the policy's model is there and whole, and that its chat template fits."""
    from rlhf_core.models.chat import policy_chat
    from rlhf_core.models.loading import load_tokenizer, parameter_count

    name = config.policy.model
    tokenizer = load_tokenizer(name)
    policy_chat(tokenizer, config.policy)
    parameters = parameter_count(name)
    template = "a chat template" if tokenizer.chat_template else "no chat template: plain text"
    missing = _missing_weights(name)
    if missing is None:
        mend = "the first run downloads it"
        return note("policy model", f"{name}: {parameters:,} parameters, no weights here", mend)
    if missing:
        found = f"{name}: {len(missing)} files of weights are missing or cut off ({missing[0]})"
        return wrong("policy model", found, "download the model again")
    return ok("policy model", f"{name}: {parameters:,} parameters, {template}")


def check_endpoint(endpoint: EndpointSettings) -> Check:
    """Check that a model's server answers; nothing is asked of the model."""
    name, address = f"server of {endpoint.model}", (endpoint.base_url or OPENAI).rstrip("/")
    try:
        status, skew = _get(f"{address}/models")
    except OSError as error:
        reason = getattr(error, "reason", error)
        return wrong(name, f"{address}: {reason}", "start the server, or correct base_url")
    if skew is not None and abs(skew) > SKEW_SECONDS:
        found = f"{address} answers; its clock and this one differ by {skew:+.0f} s"
        return wrong(name, found, "synchronise this machine's clock (chrony, systemd-timesyncd)")
    return ok(name, f"{address} answers (HTTP {status})")


def check_replies(config: Config) -> Check:
    """Send one tiny request to each remote model that the config names."""
    from flows.cycle.silence import preflight
    from rlhf_core.endpoints.budget import Budget

    budget = Budget(config.budget)
    preflight(config, budget)
    return ok("a tiny request", "every remote model answered")


def _judge_checks(config: Config) -> Iterator[Check]:
    from judges.panel.panel import Panelist
    from rlhf_core.config.tree import held_out_judges, training_judges

    judges = (*training_judges(config), *held_out_judges(config))
    for settings in judges:

        def check(settings: object = settings, name: str = f"judge {settings.name}") -> Check:
            panelist = Panelist(settings)  # type: ignore[arg-type]
            panelist.check()
            return ok(name, f"{panelist.version}: {', '.join(panelist.models) or 'no model'}")

        yield guarded(f"judge {settings.name}", check)


def _server_checks(expects_workers: bool) -> Iterator[Check]:
    """Yield the checks of the Prefect server, if this process is told of one."""
    if not os.environ.get("PREFECT_API_URL"):
        yield ok("Prefect server", "PREFECT_API_URL is not set: each command starts its own")
        return
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        reached = guarded("Prefect server", partial(check_server, client))
        yield reached
        if not reached.mend:
            yield guarded("clock", partial(check_clock, str(client.api_url)))
            if expects_workers:
                yield guarded("work pools", partial(check_pools, client))


def check_server(client: "SyncPrefectClient") -> Check:
    """Check that the Prefect server answers, and is of this process's version."""
    error = client.api_healthcheck()
    if error is not None:
        reason = " ".join(str(error).split()) or type(error).__name__
        mend = "start it (`prefect server start`), or correct PREFECT_API_URL"
        return wrong("Prefect server", f"{client.api_url}: {reason}", mend)
    own, theirs = metadata.version("prefect"), client.api_version()
    if own.split(".")[:2] != theirs.split(".")[:2]:
        found = f"{client.api_url} is Prefect {theirs}, this process has {own}"
        return wrong("Prefect server", found, "install the same version on both")
    return ok("Prefect server", f"{client.api_url}: Prefect {theirs}")


def check_clock(api_url: str) -> Check:
    """Compare this machine's clock with the Prefect server's, by which schedules fire."""
    _, skew = _get(f"{api_url.rstrip('/')}/health")
    if skew is None:
        return note("clock", "the Prefect server tells no time", "compare the clocks by hand")
    if abs(skew) > SKEW_SECONDS:
        mend = "synchronise both machines' clocks (chrony, systemd-timesyncd)"
        return wrong("clock", f"differs from the Prefect server's by {skew:+.0f} s", mend)
    return ok("clock", f"within {SKEW_SECONDS:.0f} s of the Prefect server's")


def check_pools(client: "SyncPrefectClient") -> Check:
    """Check that each of Solon's work pools has a worker that is alive."""
    from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
    from prefect.client.schemas.objects import WorkPoolStatus

    named = WorkPoolFilter(name=WorkPoolFilterName(any_=list(POOLS)))
    pools = client.read_work_pools(work_pool_filter=named)
    if not pools:
        return ok("work pools", "none of Solon's on this server; `solon deploy` makes them")
    idle = [pool.name for pool in pools if pool.status is not WorkPoolStatus.READY]
    shown = ", ".join(f"{pool.name} {str(pool.status or '').rpartition('.')[2]}" for pool in pools)
    paused = [pool.name for pool in pools if pool.is_paused]
    if paused:
        mend = f"`prefect work-pool resume {paused[0]}`"
        return note("work pools", f"paused: {', '.join(paused)}", mend)
    if idle:
        return wrong("work pools", shown, f"start a worker: `solon worker --pool {idle[0]}`")
    return ok("work pools", shown)


def _get(url: str) -> tuple[int, float | None]:
    """Return the status of a server's answer, and by how many seconds its clock is ahead."""
    try:
        with urllib.request.urlopen(url, timeout=NET_SECONDS) as reply:
            status, date = reply.status, reply.headers["Date"]
    except urllib.error.HTTPError as error:  # it answers, if only to ask for a key
        status, date = error.code, error.headers["Date"]
    skew = parsedate_to_datetime(date).timestamp() - time.time() if date else None
    return status, skew


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(NET_SECONDS)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _driver() -> str:
    """Return the version of the NVIDIA driver; empty without one."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    query = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    with suppress(subprocess.TimeoutExpired):
        ended = subprocess.run(
            query, capture_output=True, text=True, timeout=NET_SECONDS, check=False
        )
        if ended.returncode == 0 and ended.stdout.strip():
            return f"NVIDIA driver {ended.stdout.split()[0]}"
    return ""


def _missing_weights(name: str) -> list[str] | None:
    """Return the files of weights that are missing or cut off; None if none were downloaded yet."""
    import json

    from huggingface_hub import try_to_load_from_cache
    from safetensors import SafetensorError, safe_open

    from rlhf_core.models.loading import locate

    folder = Path(locate(name))
    if not folder.is_dir():
        config = try_to_load_from_cache(name, "config.json")
        if not isinstance(config, str):
            return None
        folder = Path(config).parent
    index = folder / "model.safetensors.index.json"
    if index.exists():
        named = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    else:
        named = sorted(path.name for path in folder.glob("*.safetensors"))
    present = [file for file in named if (folder / file).exists()]
    if not present:
        return None
    bad = [file for file in named if file not in present]
    for file in present:
        try:
            with safe_open(folder / file, framework="np"):
                pass
        except (SafetensorError, OSError):
            bad.append(file)
    return bad
