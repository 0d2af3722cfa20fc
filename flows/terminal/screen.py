"""Arguments that commands share, and their output: tables for people, JSON for programs."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

from flows.terminal.harmless import harmless, harmless_json
from flows.terminal.logs import LogFormat
from flows.terminal.progress import new_console

if TYPE_CHECKING:
    from rlhf_core.config import Config

ConfigPath = Annotated[
    Path, typer.Argument(help="A YAML file such as deploy/configs/default.yaml.")
]
Configs = Annotated[
    list[Path], typer.Argument(help="One or more YAML files, each with a line of its own.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, such as training.steps=5. Repeatable.",
    ),
]
Zone = Annotated[
    str | None,
    typer.Option(metavar="ZONE", help="Time zone, such as Europe/Berlin. Default: this machine's."),
]
ColumnMap = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="ROLE=COLUMN",
        help="Name the column of a role, such as prompt=question or answer=extra.answer. "
        "Repeatable.",
    ),
]
LogLines = Annotated[
    LogFormat | None,
    typer.Option(
        "--log-format",
        help="Format of log lines. Default: that of SOLON_LOG_FORMAT, or plain.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
out = new_console()
PREFECT_SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "flows,judges,rlhf_core",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # `solon plan` warns outside of flows
}


def load_checked(path: Path, overrides: Sequence[str] | None) -> "Config":
    """Load a config and check all that needs no model, so that errors come quickly.

    Args:
        path: The YAML file.
        overrides: `a.b=c` each.

    Raises:
        ConfigError: If a key, a value or a judge's kind is wrong.
    """
    from judges import check_kinds
    from rlhf_core.config import load_config
    from rlhf_core.config.tree import held_out_judges, training_judges

    config = load_config(path, overrides or [])
    check_kinds((*training_judges(config), *held_out_judges(config)))
    return config


def load_lines(paths: Sequence[Path], overrides: Sequence[str] | None) -> dict[str, Path]:
    """Check configs as `load_checked` does, and return their paths by the name of their line.

    Args:
        paths: The YAML files.
        overrides: `a.b=c` each, for all of them.

    Raises:
        ConfigError: If a config is wrong, or two have one name.
    """
    from rlhf_core.errors import ConfigError

    lines: dict[str, Path] = {}
    for path in paths:
        name = load_checked(path, overrides).name
        if name in lines:
            raise ConfigError(
                f"{lines[name]} and {path} are both named {name!r}; give each a `name` of its own"
            )
        lines[name] = path
    return lines


def prepare_prefect(level: str = "CRITICAL") -> None:
    """Set what Prefect reads when it is imported; keep what the user has set."""
    for name, value in {**PREFECT_SETTINGS, "PREFECT_LOGGING_LEVEL": level}.items():
        os.environ.setdefault(name, value)


def print_json(value: Any) -> None:
    typer.echo(harmless_json(json.dumps(value, indent=2, default=str, ensure_ascii=False)))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    table = Table(*(Column(name, overflow="fold") for name in columns))
    for row in rows:
        table.add_row(*(Text(safe_text(cell)) for cell in row))
    out.print(table)


def safe_text(cell: Any) -> str:
    """Return a cell as text that cannot steer the terminal: what a model wrote is data."""
    if cell is None:
        return ""
    text = f"{cell:.6g}" if isinstance(cell, float) else str(cell)
    return harmless(text)
