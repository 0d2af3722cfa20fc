"""Check and measure one GPU: python -m tests.gpu_check --minutes 8 --out FOLDER.

Each result is a JSON line, on the screen and in FOLDER/results.jsonl; the last one is the table,
what failed, and what the time left out. Exits with 1 only if a check failed.
"""

import argparse
import logging
import sys
from pathlib import Path

import torch

from tests.gpu_check import block_masks, hardware, kernels, models, peers, speed, training
from tests.gpu_check.box import Box
from tests.gpu_check.report import Report

PARTS = (hardware, training, models, block_masks, speed, peers, kernels)


def main(arguments: list[str] | None = None) -> int:
    """Run all parts, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu_check", description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0, help="time that there is")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--cpu", action="store_true", help="run on the CPU")
    parser.add_argument("--tiny", action="store_true", help="run small, and measure nothing")
    options = parser.parse_args(arguments)
    if options.cpu and not options.tiny:
        parser.error("on a CPU only --tiny has a meaning: --cpu --tiny")
    if not options.cpu and not torch.cuda.is_available():
        parser.error("there is no CUDA GPU here; --cpu --tiny runs the same code on the CPU")
    options.out.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("rlhf_core")
    level = logger.level
    logger.setLevel(logging.ERROR)  # memory that runs out on purpose is no news
    device = torch.device("cpu") if options.cpu else torch.device("cuda", 0)
    report = Report(options.out, 60 * options.minutes, waits=not options.tiny)
    try:
        for part in PARTS:
            part.measure(report, Box(device, options.tiny))
    finally:
        logger.setLevel(level)
        report.close()
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
