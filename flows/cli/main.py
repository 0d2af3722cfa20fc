"""The `solon` command: its subcommands and exit codes.

0: it worked. 1: it ran and failed. 2: the input was wrong, and nothing was written. 3: the budget
is spent. Heavy imports happen inside the commands, so that help and errors are quick.

Under torchrun (`torchrun --nproc-per-node 4 -m flows.cli run CONFIG`) the first process runs
the command, and the others follow it through a run; they take no part in other commands.
"""

import atexit
import logging
import os
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows.cli.approve import approve, reject
from flows.cli.backup import backup, restore
from flows.cli.champion import champion
from flows.cli.check import check
from flows.cli.compare import compare
from flows.cli.constitution import app as constitution_app
from flows.cli.copy import copy
from flows.cli.deploy import deploy
from flows.cli.doctor import doctor
from flows.cli.experiment import experiment
from flows.cli.export import export
from flows.cli.forget import forget
from flows.cli.gc import gc
from flows.cli.imports import import_
from flows.cli.judges import app as judges_app
from flows.cli.lineage import lineage
from flows.cli.merge import merge
from flows.cli.metrics import metrics
from flows.cli.pages import report, schema
from flows.cli.quarantine import quarantine
from flows.cli.retract import retract
from flows.cli.rollback import rollback
from flows.cli.run import end_at_once, plan, run
from flows.cli.serve import serve
from flows.cli.show import show
from flows.cli.spot_check import spot_check
from flows.cli.sql import sql
from flows.cli.status import status
from flows.cli.ui import ui
from flows.cli.what_if import what_if
from flows.cli.worker import worker
from flows.terminal import stopping
from flows.terminal.harmless import harmless
from flows.terminal.heartbeat import heartbeat
from rlhf_core.distributed.launch import launched_rank
from rlhf_core.distributed.threads import spin_shortly
from rlhf_core.errors import BudgetError, InputError, SolonError

WAITING = ("metrics", "serve", "spot-check", "ui", "worker")
"""Commands that wait most of the time, and so write no line a minute."""
BUDGET_SPENT = 3
"""Exit code of a command that stopped because the budget is spent; the next run resumes."""
SELF_STOPPING = ("spot-check", "ui")
"""Commands that handle Ctrl-C themselves, because it is their normal end."""


class _Commands(TyperGroup):
    """The commands; a signal ends each of them in one line."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        with stopping.unwinding():
            return super().invoke(ctx)


app = typer.Typer(
    name="solon",
    help="Reinforcement learning from AI feedback on a schedule: sample, judge, train, evaluate, "
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
    if launched_rank() > 0 and context.invoked_subcommand != "run":
        raise typer.Exit
    if context.invoked_subcommand not in SELF_STOPPING:
        stopping.listen(is_quiet=launched_rank() > 0)
        stopping.describe(f"`{context.command_path} {context.invoked_subcommand}`")
    if launched_rank() == 0 and context.invoked_subcommand not in WAITING:
        context.with_resource(heartbeat(f"solon {context.invoked_subcommand}"))


PANELS: dict[str, dict[str, Callable[..., None]]] = {
    "Cycles": {
        "run": run,
        "plan": plan,
        "serve": serve,
        "deploy": deploy,
        "status": status,
        "doctor": doctor,
        "metrics": metrics,
        "worker": worker,
        "report": report,
        "merge": merge,
        "schema": schema,
    },
    "Champion": {
        "champion": champion,
        "approve": approve,
        "reject": reject,
        "rollback": rollback,
    },
    "Audit": {
        "sql": sql,
        "show": show,
        "lineage": lineage,
        "check": check,
        "what-if": what_if,
        "experiment": experiment,
        "compare": compare,
        "spot-check": spot_check,
        "retract": retract,
        "quarantine": quarantine,
        "ui": ui,
    },
    "Data": {
        "import": import_,
        "export": export,
        "copy": copy,
        "backup": backup,
        "restore": restore,
        "gc": gc,
        "forget": forget,
    },
}
for panel, commands in PANELS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)
app.add_typer(judges_app, name="judges", rich_help_panel="Judges")
app.add_typer(constitution_app, name="constitution", rich_help_panel="Judges")


def main() -> None:
    """Run the command; print Solon's own errors in one line on stderr, with their exit code."""
    atexit.register(silence_finalization)
    _set_up_libraries()
    try:
        app()
    except InputError as error:
        _fail(error, code=2)
    except BudgetError as error:
        _fail(error, code=BUDGET_SPENT)
    except SolonError as error:
        _fail(error, code=1)


def _fail(error: SolonError, code: int) -> None:
    if launched_rank() > 0:
        typer.echo(harmless(f"solon, process {launched_rank()}: {error}"), err=True)
        end_at_once()
    typer.echo(harmless(f"solon: {error}"), err=True)
    sys.exit(code)


def _set_up_libraries() -> None:
    """Set what libraries read when they load; Solon draws its own progress bars."""
    spin_shortly()
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
