"""Reading of labelled pairs of texts: similarity, paraphrase and entailment.

The columns of the well-known data sets are recognised; others are named by the user. A row that
cannot be used is an error that names its line; nothing is skipped silently.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.files.cells import Cells, near_name, number_of
from rlhf_core.files.paths import MISSING, find_cell
from rlhf_core.files.roles import parse_map
from rlhf_core.files.rows import read_source


class PairTask(StrEnum):
    """Kind of label of a pair of texts."""

    SIMILARITY = "similarity"
    PARAPHRASE = "paraphrase"
    ENTAILMENT = "entailment"


class Entailment(IntEnum):
    """Relation of the second text to the first; the last value is for sets with two classes."""

    ENTAILMENT = 0
    NEUTRAL = 1
    CONTRADICTION = 2
    NOT_ENTAILMENT = 3


@dataclass(frozen=True)
class TextPair:
    """Two texts and a person's label.

    For entailment, `text` is the premise or document and `other` the hypothesis or summary; for the
    other tasks, `text` is the reference and `other` is compared with it.
    """

    text: str
    other: str
    task: PairTask | None = None
    label: float | None = None
    """Similarity 0 to 1; paraphrase 0 or 1; an Entailment. None in a file without labels."""
    file: str = field(default="", compare=False)
    """File of the pair: scores of two files need not have the same meaning."""


@dataclass(frozen=True)
class PairFormat:
    """The user's description of a file; fields that are None are inferred."""

    text: str | None = None
    other: str | None = None
    label: str | None = None
    """Columns by name, or by number from 1 in a file without a header."""
    task: PairTask | None = None
    score_range: tuple[float, float] | None = None
    """Lowest and highest similarity on the file's scale."""


TEXT_COLUMNS = (
    ("text", "other"),
    ("sentence1", "sentence2"),
    ("sentence_a", "sentence_b"),
    ("#1 string", "#2 string"),
    ("premise", "hypothesis"),
    ("doc", "summary"),
    ("document", "summary"),
)
"""Columns of the two texts in well-known data sets."""
DIRECTED = ("premise", "doc", "document")
"""Names of a first column with which 0 and 1 mean entailment, not paraphrase."""
LABEL_COLUMNS: Mapping[str, tuple[PairTask | None, tuple[float, float] | None]] = {
    "label": (None, None),
    "score": (PairTask.SIMILARITY, None),
    "gold_label": (PairTask.ENTAILMENT, None),
    "quality": (PairTask.PARAPHRASE, None),
    "relatedness_score": (PairTask.SIMILARITY, (1.0, 5.0)),
    "entailment_judgment": (PairTask.ENTAILMENT, None),
}
"""Task and range of the label columns of well-known data sets. SICK has two of them."""
HEADERLESS = ("1", "2", "3")
SCORE_RANGES = ((0.0, 1.0), (0.0, 5.0))
"""Ranges that are tried in order; 0 to 5 is STS-B's."""
NAME_THEM = "name them with --map text=NAME --map other=NAME --map label=NAME"
ROLES = ("text", "other", "label")


def pair_format(
    columns: Sequence[str] = (), task: str | None = None, score_range: str | None = None
) -> PairFormat:
    """Parse a format from the options of a command line.

    Args:
        columns: For example `text=premise`, `other=hypothesis` and `label=gold`.
        task: Name of a PairTask.
        score_range: For example `0,5`.

    Returns:
        The format; None for what the options leave open.

    Raises:
        DataFileError: If an option is not valid; shows how to write it.
    """
    named = parse_map(columns, ROLES)
    if named.keys() & {"text", "other"} and not {"text", "other"} <= named.keys():
        raise DataFileError(f"--map {columns[0]}: name both text and other, or neither")
    if task is not None and task not in list(PairTask):
        raise DataFileError(f"--task {task}: use {', '.join(PairTask)}")
    return PairFormat(
        text=named.get("text"),
        other=named.get("other"),
        label=named.get("label"),
        task=PairTask(task) if task else None,
        score_range=_parse_range(score_range) if score_range else None,
    )


def _parse_range(text: str) -> tuple[float, float]:
    bounds = [number for part in text.split(",") if (number := number_of(part)) is not None]
    if len(bounds) != 2 or text.count(",") != 1 or not bounds[0] < bounds[1]:
        raise DataFileError(f"--range {text}: write LOW,HIGH, as in 0,5")
    return bounds[0], bounds[1]


@dataclass(frozen=True)
class _LabelColumn:
    name: str
    task: PairTask | None
    score_range: tuple[float, float] | None


def read_text_pairs(
    path: Path, known: PairFormat | None = None, needs_label: bool = True
) -> list[TextPair]:
    """Read the pairs of a file, in its order; a row with two known labels makes two pairs.

    Args:
        path: A .csv, .tsv, .txt (as TSV), .json, .jsonl, .jsonl.gz or .parquet file, or the folder
            of a data set.
        known: The user's description of the file.
        needs_label: False to return one unlabelled pair a row.

    Returns:
        At least one pair.

    Raises:
        DataFileError: If the file or a row cannot be read; names file, line and column.
    """
    known = known or PairFormat()
    rows = [
        Cells(place, {str(name).strip().lower(): cell for name, cell in row.items()})
        for place, row in read_source(path, lambda cells: _is_header(cells, known))
    ]
    if not rows:
        raise DataFileError(f"{path} holds no pair of texts")
    first, second = _text_columns(path, rows[0].row, known)
    columns = _label_columns(path, rows[0].row, known, first) if needs_label else []
    readers = [(column.name, _label_reader(path, rows, column)) for column in columns]
    pairs: list[TextPair] = []
    for cells in rows:
        text, other = _text(cells, first), _text(cells, second)
        if not needs_label:
            pairs.append(TextPair(text, other, file=str(path)))
        for name, (task, read) in readers:
            pairs.append(TextPair(text, other, task, read(cells, name), str(path)))
    return pairs


def _is_header(cells: Sequence[str], known: PairFormat) -> bool:
    """Return True if the first line of a table names the columns of the texts."""
    if known.text is not None:
        return not known.text.isdigit()
    names = {cell.strip().lower() for cell in cells}
    return any(set(pair) <= names for pair in TEXT_COLUMNS)


def _text_columns(path: Path, names: Mapping[str, Any], known: PairFormat) -> tuple[str, str]:
    if known.text is not None and known.other is not None:
        chosen = (known.text.lower(), known.other.lower())
        for name in chosen:
            _require_column(path, names, name)
        return chosen
    for pair in TEXT_COLUMNS:
        if set(pair) <= set(names):
            return pair
    if HEADERLESS[0] in names and len(names) <= len(HEADERLESS):
        return HEADERLESS[0], HEADERLESS[1]
    raise DataFileError(
        f"{path}: which columns hold the texts? (found: {', '.join(names)}); {NAME_THEM}"
    )


def _label_columns(
    path: Path, names: Mapping[str, Any], known: PairFormat, first: str
) -> list[_LabelColumn]:
    default = PairTask.ENTAILMENT if first in DIRECTED else None
    if known.label is not None:
        name = known.label.lower()
        _require_column(path, names, name)
        return [_LabelColumn(name, known.task or default, known.score_range)]
    columns = [
        _LabelColumn(name, task or known.task or default, known.score_range or score_range)
        for name, (task, score_range) in LABEL_COLUMNS.items()
        if name in names and known.task in (None, task or known.task)
    ]
    if not columns and len(names) >= len(HEADERLESS) and HEADERLESS[2] in names:
        columns = [_LabelColumn(HEADERLESS[2], known.task, known.score_range)]
    if not columns:
        raise DataFileError(
            f"{path}: which column holds the label? (found: {', '.join(names)}); {NAME_THEM}"
        )
    return columns


def _require_column(path: Path, row: Mapping[str, Any], name: str) -> None:
    if find_cell(row, name) is MISSING:
        raise DataFileError(
            f"{path}: no column {name!r} (found: {', '.join(row)}){near_name(name, row)}"
        )


LabelReader = tuple[PairTask, Callable[[Cells, str], float]]
"""Task of a label column, and the function that reads its cells."""


def _label_reader(path: Path, rows: Sequence[Cells], column: _LabelColumn) -> LabelReader:
    """Return the task of a column and the reader of its labels; the cells decide unknown tasks."""
    numbers = {
        number for cells in rows if (number := number_of(cells.get(column.name))) is not None
    }
    task = column.task
    if task is None:
        if not numbers:
            task = PairTask.ENTAILMENT
        else:
            task = PairTask.PARAPHRASE if numbers <= {0.0, 1.0} else PairTask.SIMILARITY
    if task is PairTask.PARAPHRASE:
        return task, _read_binary
    if task is PairTask.ENTAILMENT:
        return task, _read_entailment
    return task, _score_reader(column.score_range or _score_range(path, column.name, numbers))


def _score_range(path: Path, column: str, numbers: set[float]) -> tuple[float, float]:
    for low, high in SCORE_RANGES:
        if all(low <= number <= high for number in numbers):
            return low, high
    raise DataFileError(
        f"{path}: {column!r} has scores from {min(numbers):g} to {max(numbers):g}; name their "
        "range with --range LOW,HIGH"
    )


def _score_reader(score_range: tuple[float, float]) -> Callable[[Cells, str], float]:
    low, high = score_range

    def read(cells: Cells, column: str) -> float:
        number = number_of(cell := cells.raw(column))
        if number is None or not low <= number <= high:
            raise cells.error(f"{column} = {cell!r}: must be a score from {low:g} to {high:g}")
        return (number - low) / (high - low)

    return read


def _read_binary(cells: Cells, column: str) -> float:
    number = number_of(cell := cells.raw(column))
    if number not in (0.0, 1.0):
        raise cells.error(f"{column} = {cell!r}: must be 0 or 1")
    return float(number)


def _read_entailment(cells: Cells, column: str) -> float:
    number = number_of(cell := cells.raw(column))
    if number in (0.0, 1.0):
        return float(Entailment.ENTAILMENT if number else Entailment.NOT_ENTAILMENT)
    try:
        return float(Entailment[str(cell).strip().upper().replace(" ", "_")])
    except KeyError:
        names = ", ".join(name.lower() for name in Entailment.__members__)
        raise cells.error(f"{column} = {cell!r}: must be {names}, 0 or 1") from None


def _text(cells: Cells, column: str) -> str:
    text = cells.text(column).strip()
    if not text:
        raise cells.error(f"{column!r} must be a text that is not empty")
    return text
