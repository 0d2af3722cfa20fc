"""The check that a run's trainings fit the memory of a device, and the settings that make them."""

from collections.abc import Iterator
from dataclasses import replace

from rlhf_core.config import Config
from rlhf_core.config.training import DPOSettings, OnlineSettings, PPOSettings, TrainingSettings
from rlhf_core.distributed.launch import launched_world_size, local_world_size
from rlhf_core.models.device import Compute
from rlhf_core.models.footprint import (
    ModelSize,
    TrainedRoles,
    TrainingMemory,
    bytes_needed,
    device_bytes,
    model_size,
)

USABLE = 0.92
"""Share of a device's memory that a training can fill; the rest is lost to pieces and contexts."""
SMALL_MICROBATCH, DEFAULT_RANK = 512, 16
MOST_RANKS = 1024
GIGA = 1e9

Change = tuple[str, TrainingMemory]
"""A setting, and the training with it."""


def memory_warning(config: Config, compute: Compute) -> str:
    """Return a warning if the policy's training cannot fit, with what would; else nothing.

    Args:
        config: Config of the run.
        compute: Device and precision of the run.
    """
    memory = device_bytes(compute.device, local_world_size())
    size = model_size(config.policy.model, config.policy.lora_targets)
    return describe_fit(size, roles_of(config.training), training_of(config, compute), memory)


def describe_fit(
    size: ModelSize, roles: TrainedRoles, training: TrainingMemory, memory: int
) -> str:
    """Return a warning if a training does not fit, with what would; else nothing.

    Args:
        size: Sizes of the model.
        roles: Roles of the training.
        training: Its settings.
        memory: Bytes of a device.
    """
    room = USABLE * memory
    needed = bytes_needed(size, roles, training)
    if needed <= room:
        return ""
    return (
        f"memory: the policy's training takes about {needed / GIGA:,.0f} GB a device, and this one "
        f"has {memory / GIGA:,.0f} GB. {_what_fits(size, roles, training, room)}"
    )


def roles_of(settings: TrainingSettings) -> TrainedRoles:
    """Return the roles that a policy's training holds beside the frozen base."""
    if isinstance(settings, DPOSettings):
        return TrainedRoles(trained=1)
    is_separate = isinstance(settings, PPOSettings) and settings.critic == "separate"
    averages = isinstance(settings, OnlineSettings) and settings.ema is not None
    return TrainedRoles(trained=1 + is_separate, read=1, averages=int(averages))


def training_of(config: Config, compute: Compute) -> TrainingMemory:
    """Return what decides how much memory a config's training takes on each device."""
    shard, ranks = config.compute.shard, launched_world_size()
    is_sharded = bool(shard) and ranks > 1
    sharded_over = local_world_size() if shard == "node" else ranks
    tokens = compute.tokens_per_microbatch
    return TrainingMemory(
        lora_rank=config.policy.lora_rank,
        # What is not sharded halves its micro-batches by itself when memory runs out.
        tokens=tokens if is_sharded else min(tokens, SMALL_MICROBATCH),
        is_checkpointed=compute.gradient_checkpointing,
        ranks=sharded_over if is_sharded else 1,
        is_half=compute.dtype.itemsize == 2,
        is_quantised=config.policy.quantization is not None,
    )


def _what_fits(size: ModelSize, roles: TrainedRoles, training: TrainingMemory, room: float) -> str:
    """Return the settings with which a training fits, the least change first, in words."""

    def fits(changed: TrainingMemory) -> bool:
        return bytes_needed(size, roles, changed) <= room

    settings: list[str] = []
    for setting, changed in _smaller_batches(training):
        settings.append(setting)
        training = changed
        if fits(training):
            return f"It fits with {_joined(settings)}."
    ways: list[str] = []
    for more, changed in _smaller_models(training):
        if changed.is_quantised and fits(replace(changed, is_quantised=False)):
            continue
        ranks = _least_ranks(size, roles, changed, room)
        if ranks is not None:
            shards = [f"compute.shard: true on {ranks} devices"] if ranks > changed.ranks else []
            ways.append(_joined([*settings, *more, *shards]))
    if not ways:
        return "No setting makes it fit; name a smaller model."
    return f"It fits with {'; or with '.join(ways)}."


def _smaller_batches(training: TrainingMemory) -> Iterator[Change]:
    """Yield the changes of what a micro-batch takes, one after another, each with those before."""
    if not training.is_checkpointed:
        training = replace(training, is_checkpointed=True)
        yield "compute.gradient_checkpointing: true", training
    if training.tokens > SMALL_MICROBATCH:
        training = replace(training, tokens=SMALL_MICROBATCH)
        yield f"compute.tokens_per_microbatch: {SMALL_MICROBATCH}", training


def _smaller_models(training: TrainingMemory) -> Iterator[tuple[list[str], TrainingMemory]]:
    """Yield the training with adapters if it trains all weights, then in 4 bits, then as it is.

    One in 4 bits comes in the compute precision as well, in which it can be sharded.
    """
    adapters = [] if training.lora_rank is not None else ["policy.weights: adapters"]
    rank = training.lora_rank or DEFAULT_RANK
    if adapters:
        yield adapters, replace(training, lora_rank=rank)
    if training.is_quantised:
        yield ["policy.quantization: null"], replace(training, is_quantised=False)
    elif training.ranks == 1:
        quantised = [*adapters, "policy.quantization: nf4"]
        yield quantised, replace(training, lora_rank=rank, is_quantised=True)
    yield [], training


def _least_ranks(
    size: ModelSize, roles: TrainedRoles, training: TrainingMemory, room: float
) -> int | None:
    """Return the least number of ranks, doubled from the present one, that a training fits on.

    Weights of 4 bits have no shards.
    """
    ranks, most = training.ranks, 1 if training.is_quantised else MOST_RANKS
    while ranks <= most:
        if bytes_needed(size, roles, replace(training, ranks=ranks)) <= room:
            return ranks
        ranks *= 2
    return None


def _joined(settings: list[str]) -> str:
    return ", ".join(settings)
