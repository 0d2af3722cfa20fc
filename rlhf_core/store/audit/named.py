"""Named queries: the files deploy/queries/*.sql, run by name.

A file begins with comments: first what the query answers, then a line for each $parameter with its
default and meaning:

    -- Pairs the judges were least sure of.
    -- $rows = 20: how many
"""

import re
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlhf_core.errors import QueryError

FOLDER = Path("deploy/queries")
Value = str | int | float | bool
_PARAMETER = re.compile(r"\$(?P<name>\w+)(?: = (?P<value>[^:]*\S))?: (?P<meaning>.+)")
# Neither 007, which is a name, nor more digits than a BIGINT holds, which are an id.
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
_DECIMAL = re.compile(r"-?\d+\.\d+")


@dataclass(frozen=True)
class NamedQuery:
    """A query with a summary of its answer; parameters in `defaults` are optional."""

    name: str
    sql: str
    summary: str
    meanings: Mapping[str, str]
    defaults: Mapping[str, Value]


def named_queries(folder: Path | None = None) -> dict[str, NamedQuery]:
    """Return Solon's own queries and those of a folder, which override them, by name.

    Args:
        folder: The folder; by default deploy/queries of the working directory, if it exists.

    Raises:
        QueryError: If the folder does not exist, or a file does not say what it answers.
    """
    if folder is not None and not folder.is_dir():
        raise QueryError(f"no folder of queries at {folder}")
    files = [
        file for place in (_shipped(), folder or FOLDER) for file in sorted(place.glob("*.sql"))
    ]
    return {file.stem: _read(file) for file in files}


def named_query(name: str, folder: Path | None = None) -> NamedQuery:
    """Return the query of that name.

    Raises:
        QueryError: If there is none; the message lists the names.
    """
    queries = named_queries(folder)
    if name not in queries:
        raise QueryError(f"no query named {name!r}; there are: {', '.join(sorted(queries))}")
    return queries[name]


def read_parameters(written: Sequence[str]) -> dict[str, Value]:
    """Read parameters written as NAME=VALUE; a value like 5, 0.5 or true gets that type.

    Raises:
        QueryError: If a parameter has another form.
    """
    values: dict[str, Value] = {}
    for pair in written:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise QueryError(f"--param {pair}: write NAME=VALUE, and $NAME in the query")
        values[name] = _value(value)
    return values


def _shipped() -> Path:
    """Return the folder of Solon's queries: in a checkout, or in the wheel's data folder."""
    checkout = Path(__file__).parents[3] / FOLDER
    return (
        checkout if checkout.is_dir() else Path(sysconfig.get_path("data")) / "share/solon/queries"
    )


def _read(file: Path) -> NamedQuery:
    sql = file.read_text(encoding="utf-8")
    head: list[str] = []
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        head.append(line.removeprefix("--").strip())
    if not head or head[0].startswith("$"):
        raise QueryError(f"query {file}: begin with a comment that says what it answers")
    lines = [match for match in map(_PARAMETER.fullmatch, head) if match]
    return NamedQuery(
        name=file.stem,
        sql=sql,
        summary=head[0],
        meanings={line["name"]: line["meaning"] for line in lines},
        defaults={line["name"]: _value(line["value"]) for line in lines if line["value"]},
    )


def _value(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text
