"""The `solon` command: what can be asked, how it is answered, and the exit codes.

0 it worked; 1 it ran and failed; 2 the input was wrong, and nothing was written. Heavy imports
happen inside the commands, so that help and errors are quick.

Under torchrun (`torchrun --nproc-per-node 4 -m flows.cli run CONFIG`) the first process is the
command, and the others follow it through a run; they take no part in other commands.
"""

import atexit
import logging
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows import _stopping
from flows._screen import (
    AsJson,
    ConfigPath,
    Overrides,
    load_checked,
    out,
    prepare_prefect,
    print_json,
)
from flows._terminal import harmless
from flows.check import check
from flows.constitution_cli import app as constitution_app
from flows.copy_cli import copy
from flows.export_cli import export
from flows.forget import forget
from flows.import_cli import import_
from flows.judges_cli import app as judges_app
from flows.lineage import lineage
from flows.retract import retract
from flows.show import show
from flows.spot_check import spot_check
from flows.sql import sql
from flows.ui_cli import ui
from flows.what_if import what_if
from rlhf_core.errors import ConfigError, InputError, SolonError
from rlhf_core.launch import place, processes

RESUME = "what was done is kept; the same command goes on from there"
UPCOMING = 3
SELF_STOPPING = ("spot-check", "ui")
"""Commands that a Ctrl-C ends in the middle of what they are for."""


class _Commands(TyperGroup):
    """The commands, each of which a signal ends in one line."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        with _stopping.unwinding():
            return super().invoke(ctx)


app = typer.Typer(
    name="solon",
    help="Reinforcement learning from AI feedback, on schedule: sample, judge, train, evaluate, "
    "promote.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"solon {metadata.version('solon')}")
        raise typer.Exit


@app.callback()
def _prepare(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    if place() > 0 and context.invoked_subcommand != "run":
        raise typer.Exit
    if context.invoked_subcommand not in SELF_STOPPING:
        _stopping.listen(is_quiet=place() > 0)
        _stopping.describe(f"`{context.command_path} {context.invoked_subcommand}`")


def run(
    config: ConfigPath,
    overrides: Overrides = None,
    cycles: Annotated[
        int, typer.Option(min=1, help="Run until this many cycles of the line have ended.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Run a config to its end. What is there already is not done again: a rerun is a resume."""
    if place() > 0:
        _follow()
        return
    loaded = load_checked(config, overrides)
    from flows._cycle import ended_cycles
    from flows._summary import print_summary, summary

    added: dict[str, int] = {}
    with _leading():
        if ended_cycles(loaded) < cycles:
            prepare_prefect()
            from flows._server import prefect_server

            _stopping.describe(f"`solon run {config}`", RESUME)
            with prefect_server(has_page=False) as server:
                from flows._run import run_cycles

                added = run_cycles(loaded, cycles, as_json, config, server.wait)
    found = summary(loaded, cycles, added)
    if as_json:
        print_json(found)
    else:
        print_summary(found, out)


def plan(
    config: ConfigPath,
    overrides: Overrides = None,
    cycles: Annotated[
        int, typer.Option(min=1, help="Plan until this many cycles of the config have ended.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Print what a run would do, how long it would take and what it would cost; do nothing.

    Only what is missing is counted: of a config that has ended, nothing.
    """
    loaded = load_checked(config, overrides)
    prepare_prefect()
    from flows._line import check_line
    from flows._run import print_plan
    from flows.plan import plan_run
    from rlhf_core.models.budget import Budget

    state = check_line(loaded, config)
    found = plan_run(loaded, cycles, Budget(loaded.budget))
    if as_json:
        least, most = found.time_range
        totals = {"seconds_at_least": least, "seconds_at_most": most, "cost_usd": found.cost_usd}
        print_json(
            {
                "line": state.line,
                "cycle": state.cycle,
                **asdict(found),
                "seconds": found.seconds,
                **totals,
            }
        )
    else:
        out.print(str(state), highlight=False, markup=False, soft_wrap=True)
        print_plan(found, out)


def serve(
    config: ConfigPath,
    cron: Annotated[str, typer.Option(help='When to run, as in "0 3 * * *" for three at night.')],
    overrides: Overrides = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE", help="Whose clock: Europe/Berlin, say; this machine's if none."
        ),
    ] = None,
) -> None:
    """Run the next cycle of a config on a schedule, until stopped by Ctrl-C or SIGTERM.

    Uses the Prefect server that PREFECT_API_URL names, or starts one on this machine, which ends
    with this command. A cycle that was cut short is the next to run.
    """
    from flows._cron import firings, time_zone
    from flows._server import prefect_server

    load_checked(config, overrides)
    zone = time_zone(timezone)
    if processes() > 1:
        raise ConfigError(
            "serve runs each cycle in a process of its own; have your scheduler call `torchrun … "
            "-m flows.cli run` instead"
        )
    prepare_prefect(level="INFO")
    _stopping.describe(f"`solon serve {config}`", RESUME)
    with prefect_server(has_page=True) as server:
        upcoming = firings(cron, zone, UPCOMING)
        from flows.schedule import serve as serve_config

        server.wait()
        typer.echo(f"serving {config} at {cron!r}; its runs are shown at {server.page}", err=True)
        when = ", ".join(f"{moment:%a %Y-%m-%d %H:%M:%S %Z}" for moment in upcoming)
        typer.echo(f"next, in {zone}: {when}", err=True)
        serve_config(server, config, cron, zone, overrides or [])


def report(
    config: ConfigPath,
    overrides: Overrides = None,
    cycle: Annotated[int, typer.Option(min=1, help="Which cycle.")] = 1,
) -> None:
    """Write the page of a cycle that ended again, and print where it is."""
    prepare_prefect()
    from flows._cycle import Cycle, new_run_id
    from flows.report import write_report

    described = Cycle(config=load_checked(config, overrides), number=cycle, run_id=new_run_id())
    typer.echo(write_report(described.open_store(), described))


def merge(
    config: ConfigPath,
    out: Annotated[Path, typer.Option(help="Folder to write; it must be new, or empty.")],
    overrides: Overrides = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="An sft- or policy- id, or how it begins; the line's champion, if none.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained model as one plain folder, which anything that serves models can load.

    A policy is kept as an adapter on its SFT model. This adds the two in fp32, rounds once to
    [bold]compute.precision[/bold], writes safetensors, and reads them back to compare. Models of
    full weights (policy.weights: full) are rounded and written in the same way. Then, in Python:
    [bold]AutoModelForCausalLM.from_pretrained("FOLDER")[/bold].

    List models with [bold]solon sql "SELECT id, kind, created_at FROM models"[/bold].
    """
    loaded = load_checked(config, overrides)
    from flows.merge import merge_model

    found = merge_model(loaded, model, out)
    if as_json:
        print_json(found)
    else:
        typer.echo(
            f"{found['model']} written to {found['folder']}: {found['parameters']:,} parameters in "
            f"{found['precision']}, {found['size_bytes'] / 1e6:,.1f} MB; read back, it differs by "
            f"{found['divergence_nats']:.1g} nats a token"
        )


def schema(
    of_store: Annotated[
        bool, typer.Option("--store", help="Print the tables and views of the store instead.")
    ] = False,
) -> None:
    """Print the JSON schema of the config, for editors that check YAML as you type.

    With --store, print what deploy/docs/store.md holds: every table, view and column of a store.
    """
    if of_store:
        from flows._store_page import store_page

        typer.echo(store_page(), nl=False)
        return
    from flows._schema import config_schema

    print_json(config_schema())


PANELS: dict[str, dict[str, Callable[..., None]]] = {
    "Cycles": {
        "run": run,
        "plan": plan,
        "serve": serve,
        "report": report,
        "merge": merge,
        "schema": schema,
    },
    "Audit": {
        "sql": sql,
        "show": show,
        "lineage": lineage,
        "check": check,
        "what-if": what_if,
        "spot-check": spot_check,
        "retract": retract,
        "ui": ui,
    },
    "Data": {"import": import_, "export": export, "copy": copy, "forget": forget},
}
for panel, commands in PANELS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)
app.add_typer(judges_app, name="judges", rich_help_panel="Judges")
app.add_typer(constitution_app, name="constitution", rich_help_panel="Judges")


def main() -> None:
    """Entry point: errors of ours are one line on stderr, with the exit code of their kind."""
    atexit.register(silence_finalization)
    _set_up_libraries()
    try:
        app()
    except InputError as error:
        _fail(error, code=2)
    except SolonError as error:
        _fail(error, code=1)


def _leading() -> AbstractContextManager[None]:
    """What a run is done within, where there are processes to lead."""
    if processes() == 1:
        return nullcontext()
    from flows._together import leading

    return leading()


def _follow() -> None:
    """Work beside the first process until it ends."""
    from flows._together import follow
    from rlhf_core.models.ranks import join_others

    _stopping.stop_by(lambda: None)  # an exception would wait for the other processes
    join_others()
    report = sys.excepthook  # PyTorch's, by now, which says which process it was

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        report(kind, error, trace)
        _end_at_once()

    sys.excepthook = end
    follow()


def _end_at_once() -> None:
    """Without parting from the other processes, which may be long in coming to it."""
    sys.stderr.flush()
    os._exit(1)


def _fail(error: SolonError, code: int) -> None:
    if place() > 0:
        typer.echo(harmless(f"solon, process {place()}: {error}"), err=True)
        _end_at_once()
    typer.echo(harmless(f"solon: {error}"), err=True)
    sys.exit(code)


def _set_up_libraries() -> None:
    """What libraries read when they load. Bars and notices are ours, in flows/_progress.py."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Huge pages: the kernel takes and clears large tensors ten times faster.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    for name in ("huggingface_hub", "sentence_transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


def silence_finalization() -> None:
    """Keep DuckDB's reference-leak notices off the screen; registered first, so it runs last.

    Prefect's threads outlive the flows and keep their modules, and so DuckDB's, from being freed.
    """
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


if __name__ == "__main__":
    main()
