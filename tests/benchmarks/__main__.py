"""Benchmarks, each a ratio to a peer in one run: python -m tests.benchmarks [NAME …] [--json].

Those against a peer of another version make its environment below .bench/ first. One that needs
what this machine lacks says so in a line, and the others go on.
"""

import argparse
import importlib
import json
import pkgutil
import sys

from rich.table import Table

import tests.benchmarks
from flows.terminal.progress import new_console
from rlhf_core.config.compute import ComputeSettings
from rlhf_core.models.device import choose_compute
from tests.benchmarks.result import NotHereError, Result

NO_BENCHMARKS = {
    "__main__", "accuracy", "big_store", "flops", "hardware", "peers", "ratio", "result", "versus",
    "workloads",
}  # fmt: skip


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
    table = Table("what", "unit", "ours", "peer", "peer's", "ratio", "goal", title=str(compute))
    missing = 0
    for name in arguments.names or names:
        try:
            rows = importlib.import_module(f"tests.benchmarks.{name}").run(compute)
        except NotHereError as error:
            print(f"{name}: {error}", file=sys.stderr)
            missing += 1
            continue
        for row in rows:
            if arguments.json:
                print(json.dumps(row.as_dict()), flush=True)
            else:
                table.add_row(*_cells(row))
    if table.row_count:
        new_console().print(table)
    if arguments.names and missing:
        sys.exit(1)


def _cells(row: Result) -> list[str]:
    return [
        f"{row.name}, {row.detail}" if row.detail else row.name,
        row.unit,
        _figure(row.ours, row.ours_peak_gb),
        row.peer_version,
        "" if row.peer is None else _figure(row.peer, row.peer_peak_gb),
        "" if row.ratio is None else f"{row.ratio:.2f} ({row.low:.2f} to {row.high:.2f})",
        "" if row.goal is None else f"{row.goal:g}",
    ]


def _figure(value: float, peak_gb: float | None) -> str:
    return f"{value:.4g}" + ("" if peak_gb is None else f", {peak_gb:.1f} GB")


if __name__ == "__main__":
    main()
