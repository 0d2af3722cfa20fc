"""`solon judges`: the judges by themselves, outside a cycle."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows._screen import AsJson, ConfigPath, Overrides, out, print_json, print_table

app = typer.Typer(help="The judges by themselves.", no_args_is_help=True)


@app.command("list")
def list_judges(as_json: AsJson = False) -> None:
    """Every judge that a config can name, with its options and their defaults."""
    from judges import describe

    found = describe()
    if as_json:
        print_json(found)
    else:
        rows = [(j["kind"], j["what"], ", ".join(j["options"])) for j in found]
        print_table(["judge", "what it does", "options"], rows)


@app.command()
def reparse(config: ConfigPath, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Read what the judges' models said again, with the parsers of today; asks nothing.

    Verdicts are kept by the judge's version, so old ones stay beside the new; the next run of the
    config uses the new ones. Needed after an upgrade of Solon that mends a parser.
    """
    from flows.reparse import reparse as read_again
    from rlhf_core.config import load_config

    found = [asdict(judge) for judge in read_again(load_config(config, overrides or []))]
    if as_json:
        print_json(found)
    else:
        columns = ["judge", "version", "read again", "changed", "not asked before"]
        print_table(columns, [list(judge.values()) for judge in found])


@app.command()
def bench(
    config: Annotated[Path, typer.Argument(help="A YAML file with `judges:`, such as a run's.")],
    data: Annotated[
        list[Path],
        typer.Option("--data", help="Labelled answers: .jsonl(.gz), .json, .csv, .parquet."),
    ],
    overrides: Overrides = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", help="pairs, scored_pairs, ranked or texts; else told by the columns."
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="WHAT=NAME", help="As in prompt=query. Repeatable."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many of each file, drawn by hash.")
    ] = None,
    injections: Annotated[
        int, typer.Option(min=0, help="Attack the worse answer of so many pairs.")
    ] = 0,
    again: Annotated[
        int, typer.Option(min=0, help="Ask so many questions of each file a second time.")
    ] = 0,
    page: Annotated[Path | None, typer.Option("--out", help="Where the page goes.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Stop after the plan; ask no judge.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure judges on labelled answers: accuracy beside "longer wins", bias, calibration, cost.

    Weights and modes of the config do not count here: every judge is asked about everything.
    """
    from flows._bench_results import Extras
    from flows._bench_screen import print_outcome, print_plan
    from flows._progress import console
    from flows.bench import Bench, plan_bench, read_sets, run_bench, summary
    from judges._injections import injections as all_injections
    from rlhf_core.config import load_panel

    panel = load_panel(config, overrides or [])
    extras = Extras(all_injections() if injections else (), injections, again)
    wanted = Bench(panel, read_sets(data, form, columns or [], limit), extras)
    plan = plan_bench(wanted)
    if dry_run and as_json:
        print_json([asdict(row) for row in plan])
    elif not as_json:
        print_plan(plan, out if dry_run else console)
    if dry_run:
        return
    found = run_bench(wanted, plan, page)
    if as_json:
        print_json(summary(found))
    else:
        print_outcome(found, out)
