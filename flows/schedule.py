"""Serving policy lines from one process: their flows run here by schedule and by event."""

import asyncio
import logging
import multiprocessing
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from prefect.schedules import Schedule

from flows.deployed import FLOWS
from flows.service import automations, deployments
from flows.service.deployments import APPROVAL, CYCLE, FIRST, Deployed, deployed_of
from flows.service.firings import settle_late
from flows.service.flow_process import SERVED
from flows.service.janitor import close_dead_runs, close_runs_of, only_server
from flows.service.prefect_server import Server
from flows.terminal import stopping
from rlhf_core.config import Config, load_config

logger = logging.getLogger(__name__)


def serve(
    server: Server,
    configs: Sequence[Path],
    schedule: Schedule,
    overrides: Sequence[str],
    *,
    by_stages: bool,
    is_catching_up: bool,
) -> None:
    """Keep running the lines of some configs until stopped.

    A scheduled run is cancelled while the former one still runs, so runs never queue up. Runs that
    a killed process left open are closed first.

    Args:
        server: The Prefect server that holds the schedule.
        configs: Paths of the configs.
        schedule: When the cycle or, by stages, the feedback of each line runs.
        overrides: `a.b=c` each.
        by_stages: Serve each group of stages by itself instead of the whole cycle.
        is_catching_up: Make up for firings that nobody served, by one run of each flow.

    Raises:
        ConfigError: If the server holds another config under the name of a line, or another process
            on this machine serves the line.
    """
    lines = {load_config(config, overrides).name: config for config in configs}
    runner = _Runner(pause_on_shutdown=False)
    with ExitStack() as stack:
        for line, config in lines.items():
            with get_client(sync_client=True) as client:
                deployments.refuse_taken_name(client, line, str(config.resolve()), FLOWS)
            stack.enter_context(only_server(line, server.database))
        close_dead_runs()
        served = []
        for line, config in lines.items():
            loaded = load_config(config, overrides)
            wanted = _wanted(loaded, by_stages)
            served += [
                _serve_flow(runner, each, line, config, overrides, schedule, is_catching_up)
                for each in wanted
            ]
            deployments.remove_served(line, {each.flow for each in wanted})
            automations.register(loaded, [each.flow for each in wanted])
        stopping.stop_by(partial(_stop, served))
        os.environ[SERVED] = str(os.getpid())
        asyncio.run(runner.start())


def _wanted(config: Config, by_stages: bool) -> list[Deployed]:
    """Return the flows of a line to serve: the separate groups or the whole cycle."""
    deployed = deployed_of(config)
    if by_stages:
        return [each for each in deployed if each.flow != CYCLE]
    return [each for each in deployed if each.flow in (CYCLE, APPROVAL)]


def _serve_flow(
    runner: "_Runner",
    wanted: Deployed,
    line: str,
    config: Path,
    overrides: Sequence[str],
    schedule: Schedule,
    is_catching_up: bool,
) -> UUID:
    """Register a flow of a line with the runner; arguments are those of `serve`."""
    began = datetime.now(UTC)
    timing = schedule if wanted.flow in (CYCLE, FIRST) else None
    identity = runner.add_flow(
        FLOWS[wanted.flow], **deployments.options(wanted, line, config, overrides, timing)
    )
    assert isinstance(identity, UUID), "it is a coroutine in an event loop alone"
    deployments.schedule_at_once(identity, began, is_kept=runner.is_kept)
    close_runs_of(identity, "the process that served it is gone")
    skipped, is_kept = settle_late(identity, is_catching_up=is_catching_up)
    if skipped or is_kept:
        logger.info(
            "%s/%s: %d missed firings were skipped%s",
            wanted.flow,
            line,
            skipped,
            "; one runs now for them all" if is_kept else "",
        )
    return identity


class _Runner(Runner):
    is_kept = False
    """True if the last deployment was added with the schedule that it had before."""

    async def aadd_deployment(self, deployment: RunnerDeployment) -> UUID:
        """Register a deployment without replacing a schedule by the same one."""
        self.is_kept = await asyncio.to_thread(deployments.keep_schedule, deployment)
        return await super().aadd_deployment(deployment)

    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        """Leave a SIGTERM to `flows.terminal.stopping`."""
        stopping.interrupt(*args)


def _stop(served: Sequence[UUID]) -> None:
    """End the current runs, and close them on the server, which may outlive this process."""
    runs = multiprocessing.active_children()
    for run in runs:
        run.terminate()
    deadline = time.monotonic() + stopping.GRACE_SECONDS
    for run in runs:
        run.join(max(0.0, deadline - time.monotonic()))
        if run.is_alive():
            run.kill()
    for deployment in served:
        close_runs_of(deployment, "the process that serves it was told to stop")
    close_dead_runs()
