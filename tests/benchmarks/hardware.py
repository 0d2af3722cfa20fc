"""What GPUs can do at most, by the name the driver gives them."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Peak:
    """Of one device: dense bf16 operations with fp32 sums, and bytes of its memory, a second."""

    flops: float
    bandwidth: float


# NVIDIA's data sheets of each card (H100, H200, B200, A100, A10, L4, L40S) and, for the 4090, the
# Ada whitepaper, appendix A; where a sheet has only the rate with sparsity, half of it.
PEAKS = {
    r"NVIDIA B200": Peak(2250e12, 8e12),
    r"NVIDIA H200": Peak(989e12, 4.8e12),
    r"NVIDIA H100 80GB HBM3": Peak(989e12, 3.35e12),
    r"NVIDIA H100 NVL": Peak(835e12, 3.9e12),
    r"NVIDIA H100 PCIe": Peak(756e12, 2e12),
    r"NVIDIA A100-SXM4-80GB": Peak(312e12, 2.039e12),
    r"NVIDIA A100 80GB PCIe": Peak(312e12, 1.935e12),
    r"NVIDIA A100-(SXM4|PCIE)-40GB": Peak(312e12, 1.555e12),
    r"NVIDIA A10": Peak(125e12, 0.6e12),
    r"NVIDIA L40S": Peak(362e12, 0.864e12),
    r"NVIDIA L4": Peak(121e12, 0.3e12),
    r"NVIDIA GeForce RTX 4090": Peak(165.2e12, 1.008e12),
}


def peak_of(name: str) -> Peak | None:
    """None where the name is not there to the letter: parts of a card and laptops' are slower."""
    return next((peak for pattern, peak in PEAKS.items() if re.fullmatch(pattern, name)), None)
