"""Where to compute and in which precision: chosen once, printed, passed along."""

import ctypes
import platform
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache

import torch

from rlhf_core.config.tree import ComputeSettings
from rlhf_core.distributed.launch import local_rank, local_ranks
from rlhf_core.distributed.ranks import world_size
from rlhf_core.errors import ConfigError

# Instructions that multiply bf16 directly; elsewhere bf16 on a CPU is emulated and slower.
BF16_INSTRUCTIONS = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16"}
FORWARD_ONLY_FACTOR = 4

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of mallopt(3)."""


@dataclass(frozen=True)
class Compute:
    """Device, precision of frozen weights and autocast, and the size of a micro-batch."""

    device: torch.device
    dtype: torch.dtype
    tokens_per_microbatch: int
    reason: str
    share_prompts: bool = True
    """Whether responses to one prompt stand in one row."""
    gradient_checkpointing: bool = False
    """Whether a backward pass computes again what its forward pass did not keep."""
    shard: bool = False
    """Whether the layers of a trunk lie in shards over all processes."""

    @property
    def forward_tokens(self) -> int:
        """Tokens of a micro-batch that keeps no activations for a backward pass."""
        return FORWARD_ONLY_FACTOR * self.tokens_per_microbatch

    def with_microbatches_of(self, tokens: int) -> "Compute":
        """The same with another size of micro-batches."""
        return replace(self, tokens_per_microbatch=tokens)

    def autocast(self) -> AbstractContextManager[None]:
        """Matrix products in `dtype`; parameters that are trained stay in fp32."""
        is_reduced = self.dtype != torch.float32
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=is_reduced)

    def __str__(self) -> str:
        precision = "bf16" if self.dtype == torch.bfloat16 else "fp32"
        return f"{self.device}, {precision} ({self.reason})"


def choose_compute(settings: ComputeSettings) -> Compute:
    """The device and precision that the settings ask for, or the best there are.

    On a CPU the process keeps the memory that tensors free from now on. Of several processes on a
    machine with GPUs each has its own.

    Raises:
        ConfigError: If the device named is not there, or is one for several processes.
    """
    device = _device(settings.device)
    if device.type == "cpu":
        _keep_freed_memory()
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
        settings.tokens_per_microbatch,
        reason,
        settings.share_prompts,
        settings.gradient_checkpointing,
        settings.shard and world_size() > 1,
    )


@cache
def _keep_freed_memory() -> None:
    """Have glibc hand what a tensor frees to the next one, for as long as the process lives.

    It would give each large block back to the kernel, which clears every page of the next one:
    more time than a training step takes otherwise. Costs a quarter more memory at the peak.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and local_ranks() > 1:
        name = _own_gpu(name)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"compute.device = {name!r}: {reason}; use auto or cpu") from None
    return device


def _own_gpu(name: str) -> str:
    """That of this process, among several on this machine."""
    count, gpus = local_ranks(), torch.cuda.device_count()
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
