"""What the device is, and what it does at most here: versions, clocks, copies, products."""

import importlib.metadata
import platform
import shutil
import subprocess

import torch

from rlhf_core.models.device import synchronised_time
from tests.benchmarks.hardware import peak_of
from tests.gpu_check.box import Box
from tests.gpu_check.report import Figures, Report

PACKAGES = ("torch", "transformers", "accelerate", "peft", "safetensors", "huggingface_hub")
QUERY = "driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.draw,power.limit,temperature.gpu"
TURNS = 10


def measure(report: Report, box: Box) -> None:
    """Report the versions and the two rates that bound everything else."""
    report.figure("versions", 2, lambda: versions(box))
    report.figure("copies", 3, lambda: copies(box))
    report.figure("products", 5, lambda: products(box))


def versions(box: Box) -> Figures:
    """Return the versions of the packages, the device, and its state."""
    found: dict[str, float | str] = {name: importlib.metadata.version(name) for name in PACKAGES}
    found |= {"python": platform.python_version(), "device": box.name}
    if box.is_gpu:
        free, total = torch.cuda.mem_get_info(box.device)
        found |= {
            "cuda": str(torch.version.cuda),
            "capability": ".".join(map(str, torch.cuda.get_device_capability(box.device))),
            "bf16": str(torch.cuda.is_bf16_supported(including_emulation=False)),
            "free_gb": free / 1e9,
            "total_gb": total / 1e9,
        }
    if box.is_gpu and shutil.which("nvidia-smi"):
        command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        values = ended.stdout.strip().splitlines()[:1]
        found |= dict(zip(QUERY.split(","), "".join(values).split(", "), strict=False))
    return found


def copies(box: Box) -> Figures:
    """Return the bytes a second of a copy in the device's memory, read and written."""
    size = 2**16 if box.is_tiny else 2**30
    source = torch.ones(size, dtype=torch.uint8, device=box.device)
    target = torch.empty_like(source)
    seconds = _seconds(box, lambda: target.copy_(source))
    rate = 2 * size / seconds
    peak = peak_of(box.name)
    return {"gb_per_s": rate / 1e9} | ({"of_peak": rate / peak.bandwidth} if peak else {})


def products(box: Box) -> Figures:
    """Return the rate of a product of two square matrices in the precision of the speeds."""
    width = 64 if box.is_tiny else 8192
    left = torch.randn(width, width, device=box.device, dtype=box.best)
    out = torch.empty_like(left)
    rate = 2 * width**3 / _seconds(box, lambda: torch.mm(left, left, out=out))
    peak = peak_of(box.name)
    return {"tflops": rate / 1e12} | ({"of_peak": rate / peak.flops} if peak else {})


def _seconds(box: Box, work: object) -> float:
    assert callable(work)
    work()
    started = synchronised_time(box.device)
    for _ in range(TURNS):
        work()
    return (synchronised_time(box.device) - started) / TURNS
