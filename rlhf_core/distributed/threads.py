"""Threads that wait for each other without keeping the cores busy.

PyTorch's operations on a CPU end when the slowest OpenMP thread has ended, and the others spin
until then. That is quick on an idle machine. Beside another program, threads spin on cores that the
slowest one needs. tests/benchmarks/spinning.py measures both.
"""

import os

SPINS = "GOMP_SPINCOUNT"
SHORT = "1000"
"""Iterations, some microseconds, for which a thread spins before it sleeps; 300,000 by default."""
CHOICES = (SPINS, "OMP_WAIT_POLICY")


def spin_shortly() -> None:
    """Let waiting OpenMP threads of this process and its children sleep soon.

    It has an effect only before torch is imported. A choice that the environment makes is kept.
    """
    if not any(name in os.environ for name in CHOICES):
        os.environ[SPINS] = SHORT
