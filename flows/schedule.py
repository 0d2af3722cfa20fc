"""The cycle on a schedule: each firing runs the next cycle of a config to its end."""

import asyncio
import logging
import multiprocessing
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.runner import Runner
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from flows.cycle.cycle import next_cycle
from flows.cycle.flow_runs import DEPLOYED_FLOW, name_run, refuse_taken_name
from flows.service.janitor import close_dead_runs, close_runs_of, only_server, owned
from flows.service.prefect_server import Server
from flows.terminal import stopping
from flows.terminal.parent import end_with
from rlhf_core.config import load_config

logger = logging.getLogger(__name__)

SERVER = "SOLON_SERVED_BY"
"""Names, to the process of a run, the process that serves."""
START_SECONDS = 60
"""How long a run that started may take to run before its slot is given to another."""

if SERVER in os.environ:  # the process of a run: it ends when the one that serves is gone
    stopping.listen(is_quiet=True)
    end_with(int(os.environ[SERVER]))


@flow(name=DEPLOYED_FLOW)
def scheduled_cycle(config: str, overrides: list[str]) -> None:
    """Run the next cycle of a config, read afresh: an edit of the file takes effect here.

    A cycle that a crash cut short is the next cycle, so it is ended first.
    """
    # Prefect hands the flow to the run's process by value. What it calls it finds by name, which
    # imports this module there.
    _run_next_cycle(config, overrides)


def _run_next_cycle(config: str, overrides: list[str]) -> None:
    # The process that waits for the next firing need not hold what trains models.
    from flows.cycle.line import check_line
    from flows.pipeline import pipeline

    with stopping.unwinding(), owned():
        loaded = load_config(config, overrides)
        logger.info("%s", check_line(loaded, Path(config)))
        cycle = next_cycle(loaded, Path(config))
        name_run(cycle)
        pipeline(cycle)


def serve(server: Server, config: Path, cron: str, zone: str, overrides: Sequence[str]) -> None:
    """Keep running the config's cycles on a cron schedule until stopped.

    A firing that finds the former cycle still running is cancelled: the schedule never queues up.
    What a former process left under way when it was killed is closed first.

    Args:
        server: Where the schedule is kept.
        config: Whose cycles.
        cron: When, as `flows.service.cron` has checked it.
        zone: Whose clock the cron line means, an IANA name.
        overrides: Settings that differ from the config's.

    Raises:
        ConfigError: If the server knows another config by the line's name, or another process of
            this machine serves it already.
    """
    name = load_config(config, overrides).name
    refuse_taken_name(name, str(config.resolve()))
    with only_server(name, server.database):
        runner = _Runner(name=name, pause_on_shutdown=False)
        deployment = runner.add_flow(
            scheduled_cycle,
            name=name,
            tags=[name],
            schedule=Cron(cron, timezone=zone),
            parameters={"config": str(config.resolve()), "overrides": list(overrides)},
            concurrency_limit=ConcurrencyLimitConfig(
                limit=1,
                collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW,
                grace_period_seconds=START_SECONDS,
            ),
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        assert isinstance(deployment, UUID), "it is a coroutine in an event loop alone"
        close_dead_runs()
        close_runs_of(deployment, "the process that served it is gone")
        stopping.stop_by(partial(_stop, deployment))
        os.environ[SERVER] = str(os.getpid())
        asyncio.run(runner.start())


class _Runner(Runner):
    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        """Leave a SIGTERM to `flows.terminal.stopping`."""
        stopping.interrupt(*args)


def _stop(deployment: UUID) -> None:
    """End the run that is under way, and close it on the server, which may outlive this process."""
    runs = multiprocessing.active_children()
    for run in runs:
        run.terminate()
    deadline = time.monotonic() + stopping.GRACE_SECONDS
    for run in runs:
        run.join(max(0.0, deadline - time.monotonic()))
        if run.is_alive():
            run.kill()
    close_runs_of(deployment, "the process that serves it was told to stop")
    close_dead_runs()
