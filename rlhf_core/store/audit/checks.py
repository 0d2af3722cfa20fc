"""The checks of a store: its views named check_, each with a severity and advice.

Both are in the comment of the view, so that readers of the schema see them too.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from rlhf_core.store.snapshot import Snapshot

EXAMPLES = 3
COMMENT = re.compile(r"(?P<severity>error|warning): (?P<advice>\S.*)", re.DOTALL)
CHECKS_SQL = """
SELECT view_name, comment FROM duckdb_views()
WHERE NOT internal AND view_name LIKE 'check\\_%' ESCAPE '\\' ORDER BY view_name"""


class Severity(StrEnum):
    """Severity: with an error facts contradict each other, with a warning they are worth little."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Case:
    """A case that a check found: the fault, the row's id and details."""

    what: str
    id: str
    detail: str


@dataclass(frozen=True)
class Check:
    """A check with the number of cases that it found, and the first of them."""

    name: str
    severity: Severity
    advice: str
    found: int
    examples: tuple[Case, ...]


def run_checks(snapshot: Snapshot) -> list[Check]:
    """Run every check of the store, in the order of their names."""
    views = snapshot.query(CHECKS_SQL).rows
    return [_run(snapshot, view, comment) for view, comment in views]


def _run(snapshot: Snapshot, view: str, comment: str) -> Check:
    said = COMMENT.fullmatch(comment)
    assert said is not None, f"the comment of {view} has no severity"
    rows = snapshot.query(
        f"SELECT what, id, detail, count(*) OVER () AS found FROM {view} LIMIT {EXAMPLES}"
    ).rows
    return Check(
        name=view.removeprefix("check_"),
        severity=Severity(said["severity"]),
        advice=said["advice"],
        found=rows[0][3] if rows else 0,
        examples=tuple(Case(*row[:3]) for row in rows),
    )
