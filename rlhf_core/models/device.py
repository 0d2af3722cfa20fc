"""Device and precision of all computation: chosen once, printed, and passed along."""

import ctypes
import platform
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch

from rlhf_core.config.compute import Attention, ComputeSettings
from rlhf_core.distributed.launch import launched_world_size, local_rank, local_world_size
from rlhf_core.distributed.ranks import rank, world_size
from rlhf_core.errors import ConfigError

# Instructions that multiply bf16 directly. Without them a CPU emulates bf16, which is slower.
BF16_INSTRUCTIONS = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16"}
FORWARD_ONLY_FACTOR = 4
CPU_TOKENS, GPU_TOKENS = 3072, 32_768
"""Tokens of a micro-batch by default. A CPU is as fast with few; a GPU is idle with them, and where
so many do not fit, algorithms/memory.py halves them."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
"""Parameters of mallopt(3)."""
SEPARATE_BYTES, SEPARATE_BLOCKS = 128 * 1024, 65_536
"""Least size and largest number of blocks that glibc maps one by one, by default."""


@dataclass(frozen=True)
class Compute:
    """Device, precision of frozen weights and autocast, and the size of a micro-batch."""

    device: torch.device
    dtype: torch.dtype
    tokens_per_microbatch: int
    reason: str
    share_prompts: bool = True
    """True if responses to one prompt share a row."""
    gradient_checkpointing: bool = False
    """True if a backward pass recomputes the activations inside each layer."""
    shard: bool = False
    """True if the layers of a trunk are sharded over the ranks."""
    replicas: int = 1
    """Groups of ranks, each of which holds all shards; 1 shards over all ranks."""
    attention: Attention = "auto"
    """Attention that a trunk computes with, as in the settings."""

    @property
    def forward_tokens(self) -> int:
        """Tokens of a micro-batch that keeps no activations for a backward pass."""
        own = self.tokens_per_microbatch
        return max(own, min(FORWARD_ONLY_FACTOR * own, GPU_TOKENS))

    def with_microbatches_of(self, tokens: int) -> "Compute":
        """Return the same settings with another micro-batch size, in tokens."""
        return replace(self, tokens_per_microbatch=tokens)

    def autocast(self) -> AbstractContextManager[None]:
        """Run matrix products in `dtype` inside the context; trained parameters stay in fp32."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def __str__(self) -> str:
        precision = "bf16" if self.dtype == torch.bfloat16 else "fp32"
        return f"{self.device}, {precision} ({self.reason})"


def choose_compute(settings: ComputeSettings) -> Compute:
    """Return the device and precision that the settings name, or the best available.

    On a CPU the process keeps the memory that tensors free from now on, unless models are sharded.
    On a machine with GPUs each rank chooses its own GPU.

    Raises:
        ConfigError: If the device is not available, or is one GPU for several ranks, or has not the
            attention that the settings name; or if models are sharded within machines that do not
            run equally many ranks.
    """
    device = _device(settings.device)
    if settings.attention == "flex" and device.type not in ("cuda", "cpu"):
        raise ConfigError(
            f"compute.attention = 'flex': FlexAttention does not train on {device.type}; use auto"
        )
    if device.type == "cpu":
        is_sharded = bool(settings.shard) and launched_world_size() > 1
        _keep_freed_memory(not is_sharded)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    if settings.precision == "auto":
        dtype, reason = _best_precision(device)
    else:
        dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
        reason = "as configured"
    return Compute(
        device,
        dtype,
        settings.tokens_per_microbatch or default_tokens(device, bool(settings.shard)),
        reason,
        settings.share_prompts,
        settings.gradient_checkpointing,
        bool(settings.shard) and world_size() > 1,
        _machines() if settings.shard == "node" and world_size() > 1 else 1,
        settings.attention,
    )


def default_tokens(device: torch.device, is_sharded: bool) -> int:
    """Return the tokens of a micro-batch where no setting says: few if they cannot be halved."""
    return GPU_TOKENS if device.type == "cuda" and not is_sharded else CPU_TOKENS


def kept_random_state(device: torch.device) -> AbstractContextManager[None]:
    """Restore the random states of the CPU and of one GPU at the end of the context.

    `torch.random.fork_rng` alone keeps those of all GPUs of the machine, and warns about it.
    """
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def synchronised_time(device: torch.device) -> float:
    """Return seconds of a clock, read once the device has finished all work that it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()


def _keep_freed_memory(is_kept: bool) -> None:
    """Make glibc keep the memory that tensors free, or return each large block to the kernel.

    The kernel clears every page of a block that it hands out again, which takes longer than the
    rest of a training step. Keeping them costs a quarter more memory at the peak. A sharded model's
    layers are gathered and freed in each pass, though, and fill more and more gaps: a rank of four
    would hold three times as much as its shards. glibc's default would keep as much, as it stops
    returning blocks of a size once one has been freed; a fixed threshold ends that.

    Args:
        is_kept: True keeps it.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    if is_kept:
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
    else:
        libc.mallopt(M_MMAP_MAX, SEPARATE_BLOCKS)
        libc.mallopt(M_MMAP_THRESHOLD, SEPARATE_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, SEPARATE_BYTES)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and local_world_size() > 1:
        name = _gpu_of_rank(name)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"compute.device = {name!r}: {reason}; use auto or cpu") from None
    return device


def _gpu_of_rank(name: str) -> str:
    """Return the GPU of this rank on a machine with several ranks."""
    count, gpus = local_world_size(), torch.cuda.device_count()
    if name != "cuda":
        raise ConfigError(
            f"compute.device = {name!r} is one GPU for the {count} processes of this machine; use "
            "auto, and each has its own"
        )
    if count > gpus > 0:
        raise ConfigError(
            f"torchrun started {count} processes on this machine, which has {gpus} GPUs; use "
            f"--nproc-per-node {gpus}"
        )
    return f"cuda:{local_rank()}"


def _machines() -> int:
    """Return the number of machines, each with the same number of ranks, one after another."""
    ranks, local = world_size(), local_world_size()
    if ranks % local != 0 or rank() % local != local_rank():
        raise ConfigError(
            f"compute.shard = 'node' needs equally many processes on each machine, and this one "
            f"has {local} of {ranks}; give torchrun the same --nproc-per-node on all of them, or "
            "set it to true"
        )
    return ranks // local


def _best_precision(device: torch.device) -> tuple[torch.dtype, str]:
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16, "the GPU multiplies bf16"
        return torch.float32, "the GPU has no bf16"
    if device.type != "cpu":
        return torch.float32, f"bf16 is not used on {device.type}"
    capabilities = torch.cpu.get_capabilities()
    for capability, name in BF16_INSTRUCTIONS.items():
        if capabilities.get(capability):
            return torch.bfloat16, f"the CPU has {name}"
    return torch.float32, "the CPU has no bf16 instructions"
