"""Results of an experiment as files: one JSON row for each arm and seed, and all rows together."""

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from rlhf_core.errors import DataFileError
from rlhf_core.files.whole import whole_text


class Row(BaseModel):
    """The findings of one arm with one seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    experiment: str
    arm: str
    seed: int
    digest: str
    """Hash of all that decides the findings; a row with another hash is measured again."""
    seconds: float
    numbers: dict[str, float]
    curves: dict[str, list[tuple[float, float]]] = {}


def row_path(folder: Path, arm: str, seed: int) -> Path:
    """Return the file of a row.

    Args:
        folder: Folder of the experiment.
        arm: Name of the arm.
        seed: The seed.
    """
    return folder / "rows" / f"{arm}-seed-{seed}.json"


def read_row(path: Path) -> Row | None:
    """Return a row; None if it was not measured yet.

    Raises:
        DataFileError: If the file holds no row.
    """
    if not path.exists():
        return None
    try:
        return Row.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError):
        raise DataFileError(
            f"{path} is no row of an experiment; remove it, and it is measured again"
        ) from None


def write_row(folder: Path, row: Row) -> None:
    """Write a row whole or not at all."""
    path = row_path(folder, row.arm, row.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_text(path) as stream:
        stream.write(row.model_dump_json(indent=1))


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write all rows beside the page, as one JSON list.

    Args:
        path: The file.
        rows: The rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_text(path) as stream:
        json.dump([row.model_dump() for row in rows], stream, indent=1)
