"""Benchmarks, each a ratio to a peer in one run: python -m tests.benchmarks [NAME …] [--json].

Those against a peer of another version make its environment below .bench/ first.
"""

import argparse
import importlib
import json
import pkgutil

from rich.console import Console
from rich.table import Table

import tests.benchmarks
from rlhf_core.config.tree import ComputeSettings
from rlhf_core.models.device import choose_compute
from tests.benchmarks.ratio import Ratio
from tests.benchmarks.versus import Versus

NO_BENCHMARKS = ("__main__", "peers", "ratio", "versus", "workloads")


def main() -> None:
    modules = [module.name for module in pkgutil.iter_modules(tests.benchmarks.__path__)]
    names = [name for name in modules if name not in NO_BENCHMARKS]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; or all")
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(names))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(names)}")
    compute = choose_compute(ComputeSettings())
    table = Table(
        "what", "seconds", "peer", "its seconds", "times as fast", "goal", title=str(compute)
    )
    for name in arguments.names or names:
        for row in importlib.import_module(f"tests.benchmarks.{name}").run(compute):
            if arguments.json:
                print(json.dumps(row.as_dict()), flush=True)
            else:
                table.add_row(*_cells(row))
    if not arguments.json:
        Console().print(table)


def _cells(row: Ratio | Versus) -> list[str]:
    spread = f"{row.ratio:.2f} ({row.low:.2f} to {row.high:.2f})"
    if isinstance(row, Ratio):
        return [row.what, f"{row.ours:.3f}", row.peer, f"{row.theirs:.3f}", spread, ""]
    peer = f"{row.peer_version}, {row.peer_peak_gb:.1f} GB (ours {row.ours_peak_gb:.1f})"
    return [row.name, f"{row.ours:.3f}", peer, f"{row.peer:.3f}", spread, f"{row.goal:g}"]


if __name__ == "__main__":
    main()
