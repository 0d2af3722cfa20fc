"""The cycle on a schedule: each firing runs the next cycle of a config to its end."""

import logging
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from prefect import flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.types.entrypoint import EntrypointType

from flows._cycle import next_cycle
from flows._runs import DEPLOYED_FLOW, name_run, refuse_taken_name
from rlhf_core.config import load_config

logger = logging.getLogger(__name__)


@flow(name=DEPLOYED_FLOW)
def scheduled_cycle(config: str, overrides: list[str]) -> None:
    """Run the next cycle of a config, read afresh: an edit of the file takes effect here.

    A cycle that a crash cut short is the next cycle, so it is ended first.
    """
    # The process that waits for the next firing need not hold what trains models.
    from flows._line import check_line
    from flows.pipeline import pipeline

    loaded = load_config(config, overrides)
    logger.info("%s", check_line(loaded, Path(config)))
    cycle = next_cycle(loaded, Path(config))
    name_run(cycle)
    pipeline(cycle)
    if threading.current_thread() is threading.main_thread():
        # The cycle is done, and what is left, telling the server so, outlives a Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def serve(config: Path, cron: str, overrides: Sequence[str]) -> None:
    """Keep running the config's cycles on a cron schedule until interrupted.

    A firing that finds the former cycle still running is cancelled: the schedule never queues up.

    Raises:
        ConfigError: If the server knows another config file by the line's name.
    """
    line = load_config(config, overrides).name
    refuse_taken_name(line, str(config.resolve()))
    # asyncio's own handler only notes a Ctrl-C. One that ends a run's process while this one writes
    # to it would then be waited for without end.
    signal.signal(signal.SIGINT, _interrupt)
    scheduled_cycle.serve(
        name=line,
        tags=[line],
        cron=cron,
        parameters={"config": str(config.resolve()), "overrides": list(overrides)},
        global_limit=ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
        ),
        pause_on_shutdown=False,
        print_starting_message=False,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    # What asyncio says of the connections that end now is no news.
    logging.getLogger("asyncio").disabled = True
    raise KeyboardInterrupt
