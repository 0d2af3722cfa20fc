"""The engine of a cycle: the sampler that its stages draw the policy's answers with."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cycle.cycle import Cycle
from rlhf_core.config.engine import EngineSettings
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.errors import ConfigError
from rlhf_core.sampling.sampler import LOCAL, Sampler

if TYPE_CHECKING:
    from rlhf_core.config import Config

logger = logging.getLogger(__name__)

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
    with _open(cycle, cycle.config.sampling.engine, cycle.folder(sft_id)) as sampler:
        yield sampler


@contextmanager
def open_base_engine(cycle: Cycle) -> Iterator[Sampler]:
    """Yield the sampler of answers of the base model, and of adapters on it.

    It is that of `sampling.engine`, unless that is a server at an address: it serves the SFT model,
    so this process samples, which the log says.

    Args:
        cycle: The cycle under way.

    Raises:
        ConfigError: If the base is a LoRA adapter, which no server can serve as a base.
        EndpointError: If the server does not start or does not answer.
    """
    check_base_engine(cycle.config)
    engine = cycle.config.sampling.engine
    if said := _of_base(cycle.config):
        logger.info("%s", said)
    if engine.of_base.kind == "local":
        yield LOCAL
        return
    from rlhf_core.models.loading import model_folder

    with _open(cycle, engine.of_base, model_folder(cycle.config.policy.model)) as sampler:
        yield sampler


def samples_base(config: "Config") -> bool:
    """Return True if the fine-tuning samples answers, before there is an SFT model."""
    return config.sft.selection is not None or config.sft.abstention is not None


def check_base_engine(config: "Config") -> None:
    """Refuse a server for a base that it cannot serve, before anything is loaded.

    Raises:
        ConfigError: If the base is a LoRA adapter.
    """
    if config.sampling.engine.of_base.kind == "local":
        return
    from rlhf_core.models.loading import locate
    from rlhf_core.models.lora_folder import is_adapter

    if is_adapter(Path(locate(config.policy.model))):
        raise ConfigError(
            f"sampling.engine: policy.model {config.policy.model} is a LoRA adapter, and a vLLM "
            "server has no base with it merged; write one with `solon merge` and name that, or set "
            "sampling.engine.kind to local"
        )


@contextmanager
def _open(cycle: Cycle, settings: EngineSettings, base: Path) -> Iterator[Sampler]:
    """Yield the sampler of an engine, on a server that serves the model in a folder."""
    config = cycle.config
    if settings.kind == "local":
        yield LOCAL
        return
    from flows.service.vllm_process import vllm_server
    from rlhf_core.sampling.server import ServerSampler

    folder = config.artifacts / FOLDER
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
    if settings.url is None:
        return f"answers are sampled by vLLM, which Solon starts with {settings.python}"
    said = f"answers are sampled by the vLLM server at {settings.url}"
    of_base = _of_base(config) if samples_base(config) else ""
    return f"{said}; {of_base}" if of_base else said


def _of_base(config: "Config") -> str:
    """Return why this process samples from the base model though an engine is set, or nothing."""
    url = config.sampling.engine.url
    if url is None:
        return ""
    return (
        f"those of the base model by this process, because {url} serves the SFT model "
        "(sampling.engine.python has Solon start a server of the base as well)"
    )
