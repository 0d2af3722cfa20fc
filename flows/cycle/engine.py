"""The engine of a cycle: the sampler that its stages draw the policy's answers with."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from flows.cycle.cycle import Cycle
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.sampling.sampler import LOCAL, Sampler

if TYPE_CHECKING:
    from rlhf_core.config import Config

FOLDER = "engine"
"""Folder within the artifacts: adapters that a server is loading, and logs of servers."""


@contextmanager
def open_engine(cycle: Cycle, sft_id: str) -> Iterator[Sampler]:
    """Yield the sampler that `sampling.engine` names, on a server that serves the SFT model.

    A server that Solon starts lives until the end of the block. Call `take_gpu` before.

    Args:
        cycle: The cycle under way.
        sft_id: SFT model of the line, on which all policies stand.

    Raises:
        ConfigError: If the server serves another model.
        EndpointError: If it does not start or does not answer.
    """
    settings, config = cycle.config.sampling.engine, cycle.config
    if settings.kind == "local":
        yield LOCAL
        return
    from flows.service.vllm_process import vllm_server
    from rlhf_core.sampling.server import ServerSampler

    base, folder = cycle.folder(sft_id), config.artifacts / FOLDER
    with ExitStack() as stack:
        if settings.python is not None:
            rank, log = config.policy.lora_rank or 1, folder / f"vllm-{cycle.line}.log"
            url = stack.enter_context(vllm_server(settings, base.resolve(), rank, log))
            settings = settings.model_copy(update={"url": url})
        sampler = on_all_ranks(ServerSampler, settings, base, folder)
        stack.callback(sampler.close)
        yield sampler


def describe_engine(config: "Config") -> str:
    """Return what samples the policy's answers, in words; empty if it is this process."""
    settings = config.sampling.engine
    if settings.kind == "local":
        return ""
    if settings.url is not None:
        return f"answers are sampled by the vLLM server at {settings.url}"
    return f"answers are sampled by vLLM, which Solon starts with {settings.python}"
