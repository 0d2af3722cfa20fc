"""`solon experiment`: run a seed experiment and write its page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal import stopping
from flows.terminal.screen import Overrides, out, prepare_prefect, print_json, print_table

if TYPE_CHECKING:
    from flows.experiments.runner import Setting

RESUME = "rows that are measured are kept; the same command resumes"


def experiment(
    name: Annotated[
        str | None, typer.Argument(help="Name of an experiment, as --list shows it, or `all`.")
    ] = None,
    config: Annotated[
        Path, typer.Option(help="The config that every arm starts from: model, prompts, judges.")
    ] = Path("deploy/configs/default.yaml"),
    overrides: Overrides = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of seeds. Default: the experiment's own.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Labelled answers, for the experiments that read some (ai-labels)."),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--out", help="Folder of the experiments; each has its own inside.")
    ] = Path("runs/experiments"),
    dry_run: Annotated[bool, typer.Option(help="Print the plan; measure nothing.")] = False,
    only_page: Annotated[
        bool, typer.Option("--page", help="Write the page again from the rows that are there.")
    ] = False,
    list_all: Annotated[bool, typer.Option("--list", help="List the experiments.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Test a claim of a paper with small trainings, and end with a page.

    Each experiment compares a few arms, such as two losses, over some seeds; it prints its plan
    before it begins. A claim held if the 95 % interval over seeds lies wholly on its side. What is
    measured is kept below runs/experiments, so a rerun is a resume, and more seeds add to the old
    ones. Without a name the experiments are listed. `all` runs those that need no --data.

    Example: [bold]solon experiment k-wise --seeds 5[/bold]
    """
    prepare_prefect()
    from flows.experiments.catalogue import EXPERIMENTS, find_experiment

    if name is None or list_all:
        _list()
        return
    if name == "all":
        chosen = [each for each in EXPERIMENTS.values() if not each.needs_data or data]
    else:
        chosen = [find_experiment(name)]
    from flows.experiments.runner import Setting, describe_plan, rebuild_page

    settings = [
        Setting(each, folder / each.name, config, overrides or (), seeds or each.seeds, data)
        for each in chosen
    ]
    for line in (line for setting in settings for line in describe_plan(setting)):
        typer.echo(line, err=as_json)
    if dry_run:
        return
    if only_page:
        pages = [rebuild_page(setting) for setting in settings]
    else:
        stopping.describe(f"`solon experiment {name}`", RESUME)
        pages = _run(settings, as_json)
    _show(settings, pages, as_json)


def _list() -> None:
    from flows.experiments.catalogue import EXPERIMENTS

    print_table(
        ["experiment", "question", "arms", "seeds", "minutes"],
        [
            (each.name, each.question, len(each.arms), each.seeds, round(each.all_minutes))
            for each in EXPERIMENTS.values()
        ],
    )


def _show(settings: "list[Setting]", pages: list[Path], as_json: bool) -> None:
    """Print the verdicts of each experiment, and the path of its page."""
    if as_json:
        print_json([_verdicts(setting) for setting in settings])
        return
    for setting, page in zip(settings, pages, strict=True):
        _print(setting)
        typer.echo(page)


def _run(settings: "list[Setting]", as_json: bool) -> list[Path]:
    """Run the experiments under one Prefect server, which their cycles report to."""
    from flows.service.prefect_server import prefect_server

    with prefect_server(has_page=False) as server:
        from flows.experiments.runner import run_experiment

        server.wait()
        return [
            run_experiment(setting, lambda line: typer.echo(line, err=as_json))
            for setting in settings
        ]


def _verdicts(setting: "Setting") -> dict[str, object]:
    from flows.experiments.page import claim_verdicts

    verdicts = claim_verdicts(setting.experiment, setting.rows())
    return {
        "experiment": setting.experiment.name,
        "page": str(setting.page),
        "claims": [
            {
                "claim": verdict.claim.text,
                "verdict": verdict.outcome,
                "measure": verdict.claim.measure,
                **(vars(verdict.found) if verdict.found else {}),
            }
            for verdict in verdicts
        ],
    }


def _print(setting: "Setting") -> None:
    from flows.experiments.page import claim_verdicts

    rows = []
    for verdict in claim_verdicts(setting.experiment, setting.rows()):
        found = verdict.found
        shown = "" if found is None else f"{found.mean:+.3f}"
        if found is not None and found.low is not None:
            shown += f" ({found.low:+.3f} to {found.high:+.3f})"
        rows.append((verdict.claim.text, verdict.outcome, shown))
    print_table(["claim", "verdict", "mean and 95 % interval"], rows)
    out.print()
