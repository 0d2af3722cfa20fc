"""All benchmarks, or those named: python -m tests.benchmarks attention sampling."""

import importlib
import pkgutil
import sys

from rich.console import Console
from rich.table import Table

import tests.benchmarks
from rlhf_core.config.tree import ComputeSettings
from rlhf_core.models.device import choose_compute

NO_BENCHMARKS = ("__main__", "ratio")


def main() -> None:
    found = [module.name for module in pkgutil.iter_modules(tests.benchmarks.__path__)]
    names = sys.argv[1:] or [name for name in found if name not in NO_BENCHMARKS]
    compute = choose_compute(ComputeSettings())
    table = Table("what", "seconds", "peer", "its seconds", "times as fast", title=str(compute))
    for name in names:
        for row in importlib.import_module(f"tests.benchmarks.{name}").run(compute):
            table.add_row(
                row.what,
                f"{row.ours:.3f}",
                row.peer,
                f"{row.theirs:.3f}",
                f"{row.ratio:.2f} ({row.low:.2f} to {row.high:.2f})",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
