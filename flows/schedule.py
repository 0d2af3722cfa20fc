"""The cycle on a cron schedule: each firing runs the next cycle of a config."""

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
from flows.service.run_logs import log_run
from flows.terminal import stopping
from flows.terminal.parent import end_with
from rlhf_core.config import load_config

logger = logging.getLogger(__name__)

SERVER = "SOLON_SERVED_BY"
"""Environment variable that tells the process of a run which process serves."""
START_SECONDS = 60
"""Seconds that a run may take to start before its slot is freed."""

if SERVER in os.environ:  # the process of a run ends when the process that serves is gone
    stopping.listen(is_quiet=True)
    end_with(int(os.environ[SERVER]))


@flow(name=DEPLOYED_FLOW)
def scheduled_cycle(config: str, overrides: list[str]) -> None:
    """Run the next cycle of a config, which is read again, so that edits take effect.

    A cycle that a crash interrupted counts as the next cycle, so it is finished first.
    """
    # Prefect pickles the flow by value for the run's process. The functions it calls are pickled
    # by name, which imports this module there.
    _run_next_cycle(config, overrides)


def _run_next_cycle(config: str, overrides: list[str]) -> None:
    # Imported here, so that the process that waits for the next firing holds no training code.
    from flows.cycle.line import check_line
    from flows.pipeline import pipeline

    log_run()
    with stopping.unwinding(), owned():
        loaded = load_config(config, overrides)
        logger.info("%s", check_line(loaded, Path(config)))
        cycle = next_cycle(loaded, Path(config))
        name_run(cycle)
        pipeline(cycle)


def serve(server: Server, config: Path, cron: str, zone: str, overrides: Sequence[str]) -> None:
    """Keep running the config's cycles on a cron schedule until stopped.

    A firing is cancelled while the previous cycle still runs, so runs never queue up. Runs that a
    killed process left open are closed first.

    Args:
        server: The Prefect server that holds the schedule.
        config: Path of the config.
        cron: The cron line, checked by `flows.service.cron`.
        zone: IANA name of the time zone of the cron line.
        overrides: `a.b=c` each.

    Raises:
        ConfigError: If the server holds another config under the line's name, or another process on
            this machine serves the line.
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
    """End the current run, and close it on the server, which may outlive this process."""
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
