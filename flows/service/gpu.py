"""One stage at a time on a GPU, among all flows and machines that share a Prefect server.

The slot is a global concurrency limit of Prefect. Its lease is short and is renewed by the process
that holds it, so that the slot is free a minute after a crash. A stage takes the slot when it needs
the GPU and not before: one that finds nothing missing waits for nobody. While a stage holds the
slot, its flow run has a tag, by which others say for whom they wait.
"""

import gc
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar, copy_context

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
)
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.concurrency.sync import concurrency
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from flows.service.prefect_server import is_shared
from flows.terminal import stopping
from rlhf_core.config import Config
from rlhf_core.distributed.launch import local_world_size

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
FIRST_SAID_SECONDS = 5.0
"""Wait that is worth a line. A stage that waits tries again at least every 30 s."""
SAY_AGAIN_SECONDS = 60.0
HOLDS = "solon-holds:"
"""Prefix of the tag of a flow run that holds a slot."""

_taken: ContextVar[ExitStack | None] = ContextVar("taken", default=None)


@contextmanager
def releasing() -> Iterator[None]:
    """Give back the GPU at the end of the block if something inside has taken it."""
    stack = ExitStack()
    before = _taken.set(stack)
    try:
        yield
    finally:
        _taken.reset(before)
        stack.close()


def take_gpu(config: Config) -> None:
    """Wait for the slot of this process's GPU, and hold it until the stage ends.

    Nothing is taken on a CPU, unless `service.gpu_limit` names a limit, nor by a command that uses
    a Prefect server of its own.

    Args:
        config: Config of the run.
    """
    stack = _taken.get()
    if stack is None or not is_shared():
        return
    _taken.set(None)  # a stage takes it once
    for name in slots_of(config):
        with stopping.untimed():
            stack.enter_context(_slot(name))
        stack.callback(_free_memory)


def slots_of(config: Config) -> list[str]:
    """Return the names of the slots of the GPUs that a run computes on, one for each of its ranks.

    Args:
        config: Config of the run.
    """
    if config.service.gpu_limit is not None:
        return [config.service.gpu_limit]
    from rlhf_core.models.device import choose_compute

    device = choose_compute(config.compute).device
    if device.type != "cuda":
        return []
    first = device.index or 0
    indices = range(local_world_size()) if local_world_size() > 1 else [first]
    return [f"solon-gpu-{socket.gethostname()}-{_physical(index)}" for index in indices]


def _physical(index: int) -> str:
    """Return the number or id of a GPU on the machine, of which a process may see a part."""
    visible = [each.strip() for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    return visible[index] if index < len(visible) and visible[index] else str(index)


@contextmanager
def _slot(name: str) -> Iterator[None]:
    with get_client(sync_client=True) as client:
        _create(client, name)
    with ExitStack() as stack:
        with _saying(name):
            slot = concurrency(
                name,
                lease_duration=LEASE_SECONDS,
                strict=True,
                raise_on_lease_renewal_failure=False,
            )
            stack.enter_context(slot)
        with get_client(sync_client=True) as client:
            _tag(client, name)
        yield


@contextmanager
def _saying(name: str) -> Iterator[None]:
    """Say in a thread, once a minute, for whom the block waits."""
    is_over = threading.Event()
    context = copy_context()  # with it, the lines are in the log of the flow run

    def say() -> None:
        seconds = FIRST_SAID_SECONDS
        with get_client(sync_client=True) as client:
            waiting = _Waiting(client, name)
            while not is_over.wait(seconds):
                waiting.say()
                seconds = SAY_AGAIN_SECONDS

    thread = threading.Thread(target=context.run, args=(say,), daemon=True, name=f"waits {name}")
    thread.start()
    try:
        yield
    finally:
        is_over.set()


def _create(client: SyncPrefectClient, name: str) -> None:
    try:
        client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        try:
            client.create_global_concurrency_limit(
                GlobalConcurrencyLimitCreate(name=name, limit=1, active=True)
            )
        except ObjectAlreadyExists:
            pass  # another process has just created it
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.CONFLICT:
                raise


def _tag(client: SyncPrefectClient, name: str) -> None:
    """Show on the server that this flow run holds the slot."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    tags = {*context.flow_run.tags, f"{HOLDS}{name}"}
    client.update_flow_run(context.flow_run.id, tags=sorted(tags))


def holders(client: SyncPrefectClient, name: str) -> Sequence[FlowRun]:
    """Return the flow runs that hold a slot.

    Args:
        client: A client of the server.
        name: Name of the slot.
    """
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    tagged = FlowRunFilterTags(all_=[f"{HOLDS}{name}"])
    return client.read_flow_runs(flow_run_filter=FlowRunFilter(state=running, tags=tagged))


class _Waiting:
    """Says once a minute for whom a stage waits, and frees a slot that nobody holds.

    A server that keeps leases in memory and is restarted still counts a slot whose holder it has
    forgotten.
    """

    def __init__(self, client: SyncPrefectClient, name: str) -> None:
        self._client, self._name = client, name
        self._free_since: float | None = None

    def say(self) -> None:
        """Log the flow runs that hold the slot."""
        now = time.monotonic()
        held = holders(self._client, self._name)
        if held:
            self._free_since = None
        elif self._free_since is None:
            self._free_since = now
        elif now - self._free_since > LEASE_SECONDS:
            logger.warning("no run holds the slot %s any more; it is freed", self._name)
            self._client.update_global_concurrency_limit(
                self._name, GlobalConcurrencyLimitUpdate(active_slots=0)
            )
            self._free_since = None
        who = ", ".join(run.name for run in held) or "a run that has just ended or was killed"
        logger.info("waits for %s, which is held by %s", self._name, who)


def _free_memory() -> None:
    """Give the memory that PyTorch keeps back to the GPU, for the next process."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
