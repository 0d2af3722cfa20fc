"""Reading labelled pairs of texts: CSV, TSV (also as .txt), JSON and JSONL.

The columns of the well-known sets are known by name; others are named by the caller. A row that
cannot be used is an error that names its line; nothing is skipped in silence.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

from rlhf_core.errors import DataFileError


class Task(StrEnum):
    SIMILARITY = "similarity"
    PARAPHRASE = "paraphrase"
    ENTAILMENT = "entailment"


class Entailment(IntEnum):
    """Whether the second text follows from the first; the last where a set has two classes."""

    ENTAILMENT = 0
    NEUTRAL = 1
    CONTRADICTION = 2
    NOT_ENTAILMENT = 3


@dataclass(frozen=True)
class TextPair:
    """Two texts and what a person said of them.

    For entailment `text` is the premise or document, `other` the hypothesis or summary; for the
    rest, the reference and what is compared with it.
    """

    text: str
    other: str
    task: Task | None = None
    label: float | None = None
    """Similarity 0 to 1; paraphrase 0 or 1; an Entailment. None in a file without labels."""
    file: str = field(default="", compare=False)
    """Where it was read: scores of two files need not mean the same."""


@dataclass(frozen=True)
class PairFormat:
    """What the caller says of a file; None is found out."""

    text: str | None = None
    other: str | None = None
    label: str | None = None
    """Columns by name, or by number from 1 in a file without a header."""
    task: Task | None = None
    score_range: tuple[float, float] | None = None
    """The lowest and highest similarity the file's people could give."""


TEXT_COLUMNS = (
    ("text", "other"),
    ("sentence1", "sentence2"),
    ("sentence_a", "sentence_b"),
    ("#1 string", "#2 string"),
    ("premise", "hypothesis"),
    ("doc", "summary"),
    ("document", "summary"),
)
DIRECTED = ("premise", "doc", "document")
"""A first column so named says that 0 and 1 mean entailment, not paraphrase."""
LABEL_COLUMNS: Mapping[str, tuple[Task | None, tuple[float, float] | None]] = {
    "label": (None, None),
    "score": (Task.SIMILARITY, None),
    "gold_label": (Task.ENTAILMENT, None),
    "quality": (Task.PARAPHRASE, None),
    "relatedness_score": (Task.SIMILARITY, (1.0, 5.0)),
    "entailment_judgment": (Task.ENTAILMENT, None),
}
"""What a label column is known to hold, and its range. SICK has two of them."""
HEADERLESS = ("1", "2", "3")
SCORE_RANGES = ((0.0, 1.0), (0.0, 5.0))
"""Tried in order; 0 to 5 is STS-B's."""


def pair_format(
    columns: str | None = None, task: str | None = None, score_range: str | None = None
) -> PairFormat:
    """A format from how it is written on a command line.

    Args:
        columns: As in `text=premise,other=hypothesis,label=gold`.
        task: A Task.
        score_range: As in `0,5`.

    Raises:
        DataFileError: With how it is written.
    """
    named = dict(part.partition("=")[::2] for part in (columns or "").split(",") if part)
    if named and (not {"text", "other"} <= set(named) <= {"text", "other", "label"}):
        raise DataFileError(f"--columns {columns}: write text=NAME,other=NAME,label=NAME")
    if task is not None and task not in list(Task):
        raise DataFileError(f"--task {task}: use {', '.join(Task)}")
    bounds = [_number(part) for part in (score_range or "0,1").split(",")]
    if len(bounds) != 2 or None in bounds or not bounds[0] < bounds[1]:  # type: ignore[operator]
        raise DataFileError(f"--range {score_range}: write LOW,HIGH, as in 0,5")
    return PairFormat(
        text=named.get("text"),
        other=named.get("other"),
        label=named.get("label"),
        task=Task(task) if task else None,
        score_range=(bounds[0], bounds[1]) if score_range else None,  # type: ignore[arg-type]
    )


Cells = Mapping[str, Any]
Row = tuple[str, Cells]
"""Where a row stands, for errors, and its cells by column in lower case."""


@dataclass(frozen=True)
class _Column:
    name: str
    task: Task | None
    score_range: tuple[float, float] | None


def read_text_pairs(
    path: Path, known: PairFormat | None = None, needs_label: bool = True
) -> list[TextPair]:
    """The pairs of a file, in its order; a row with two known labels makes two pairs.

    Args:
        path: .csv, .tsv, .txt (as TSV), .json or .jsonl.
        known: What is known of it.
        needs_label: Without it, one unlabelled pair a row.

    Raises:
        DataFileError: With file and line.
    """
    known = known or PairFormat()
    rows = list(_rows(path, known))
    if not rows:
        raise DataFileError(f"{path} holds no pair of texts")
    names = list(rows[0][1])
    first, second = _text_columns(path, names, known)
    columns = _label_columns(path, names, known, first) if needs_label else []
    readers = [(column, _label_reader(path, rows, column)) for column in columns]
    found: list[TextPair] = []
    for place, cells in rows:
        text, other = _text(place, first, cells), _text(place, second, cells)
        if not needs_label:
            found.append(TextPair(text, other, file=str(path)))
        for column, (task, read) in readers:
            label = read(place, _cell(place, column.name, cells))
            found.append(TextPair(text, other, task, label, str(path)))
    return found


def _rows(path: Path, known: PairFormat) -> Iterator[Row]:
    suffix = path.suffix.lower()
    readers: dict[str, Callable[[str], Iterator[Row]]] = {
        ".csv": lambda text: _table(path, _csv_lines(path, text), known),
        ".tsv": lambda text: _table(path, _tsv_lines(path, text), known),
        ".txt": lambda text: _table(path, _tsv_lines(path, text), known),
        ".json": lambda text: _json_rows(path, text),
        ".jsonl": lambda text: _jsonl_rows(path, text),
    }
    if suffix not in readers:
        raise DataFileError(f"{path}: format not known; use {', '.join(readers)}")
    try:
        # The line ends of the file itself: a quoted cell may hold one.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            text = stream.read()
    except UnicodeDecodeError:
        raise DataFileError(f"{path}: not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataFileError(f"{path}: {reason}; name an existing file") from None
    return readers[suffix](text)


def _csv_lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise DataFileError(f"{path} line {reader.line_num}: {error}") from None


def _tsv_lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Cells between tabs: in the sets that come so, a quotation mark is part of the text."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip("\r"):
            yield number, line.rstrip("\r").split("\t")


def _table(path: Path, lines: Iterator[tuple[int, list[str]]], known: PairFormat) -> Iterator[Row]:
    header: list[str] | None = None
    for number, cells in lines:
        if header is None:
            header = _header(cells, known)
            if header is not None:
                continue
            header = [str(index) for index in range(1, len(cells) + 1)]
        if len(cells) != len(header):
            raise DataFileError(
                f"{path} line {number}: {len(cells)} cells, but {len(header)} in the first line"
            )
        yield f"{path} line {number}", dict(zip(header, cells, strict=True))


def _header(cells: Sequence[str], known: PairFormat) -> list[str] | None:
    """The first line's names where it is a header: it names the columns we look for."""
    names = [cell.strip().lower() for cell in cells]
    if known.text is not None:
        return None if known.text.isdigit() else names
    return names if any(set(pair) <= set(names) for pair in TEXT_COLUMNS) else None


def _json_rows(path: Path, text: str) -> Iterator[Row]:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataFileError(f"{path} line {error.lineno}: not JSON ({error.msg})") from None
    if not isinstance(rows, list):
        raise DataFileError(f"{path}: must be a list of objects")
    for number, cells in enumerate(rows, start=1):
        yield _json_row(f"{path} entry {number}", cells)


def _jsonl_rows(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path} line {number}"
        try:
            yield _json_row(place, json.loads(line))
        except json.JSONDecodeError as error:
            raise DataFileError(f"{place}: not JSON ({error.msg}); mend that line") from None


def _json_row(place: str, cells: Any) -> Row:
    if not isinstance(cells, dict):
        raise DataFileError(f'{place}: must be an object such as {{"text": …, "other": …}}')
    return place, {key.lower(): value for key, value in cells.items()}


def _text_columns(path: Path, names: Sequence[str], known: PairFormat) -> tuple[str, str]:
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
        f"{path}: which columns hold the texts? found {', '.join(names)}; say "
        "--columns text=NAME,other=NAME,label=NAME"
    )


def _label_columns(
    path: Path, names: Sequence[str], known: PairFormat, first: str
) -> list[_Column]:
    default = Task.ENTAILMENT if first in DIRECTED else None
    if known.label is not None:
        name = known.label.lower()
        _require_column(path, names, name)
        return [_Column(name, known.task or default, known.score_range)]
    found = [
        _Column(name, task or known.task or default, known.score_range or score_range)
        for name, (task, score_range) in LABEL_COLUMNS.items()
        if name in names and known.task in (None, task or known.task)
    ]
    if not found and len(names) >= len(HEADERLESS) and HEADERLESS[2] in names:
        found = [_Column(HEADERLESS[2], known.task, known.score_range)]
    if not found:
        raise DataFileError(
            f"{path}: which column holds the label? found {', '.join(names)}; say "
            "--columns text=NAME,other=NAME,label=NAME"
        )
    return found


def _require_column(path: Path, names: Sequence[str], name: str) -> None:
    if name not in names:
        raise DataFileError(f"{path}: no column {name!r}; found {', '.join(names)}")


Reader = tuple[Task, Callable[[str, Any], float]]


def _label_reader(path: Path, rows: Sequence[Row], column: _Column) -> Reader:
    """How to read a column: its task, and from a cell to the label."""
    numbers = [_number(cells.get(column.name)) for _, cells in rows]
    found = {number for number in numbers if number is not None}
    task = column.task
    if task is None:
        if not found:
            task = Task.ENTAILMENT
        else:
            task = Task.PARAPHRASE if found <= {0.0, 1.0} else Task.SIMILARITY
    if task is Task.PARAPHRASE:
        return task, _read_binary
    if task is Task.ENTAILMENT:
        return task, _read_entailment
    return task, _score_reader(column.score_range or _score_range(path, found))


def _score_range(path: Path, found: set[float]) -> tuple[float, float]:
    for low, high in SCORE_RANGES:
        if all(low <= number <= high for number in found):
            return low, high
    raise DataFileError(
        f"{path}: scores from {min(found):g} to {max(found):g}; say what range they have with "
        "--range LOW,HIGH"
    )


def _score_reader(score_range: tuple[float, float]) -> Callable[[str, Any], float]:
    low, high = score_range

    def read(place: str, cell: Any) -> float:
        number = _number(cell)
        if number is None or not low <= number <= high:
            raise DataFileError(f"{place}: label {cell!r} is no score from {low:g} to {high:g}")
        return (number - low) / (high - low)

    return read


def _read_binary(place: str, cell: Any) -> float:
    number = _number(cell)
    if number not in (0.0, 1.0):
        raise DataFileError(f"{place}: label {cell!r} is neither 0 nor 1")
    return float(number)


def _read_entailment(place: str, cell: Any) -> float:
    number = _number(cell)
    if number in (0.0, 1.0):
        return float(Entailment.ENTAILMENT if number else Entailment.NOT_ENTAILMENT)
    try:
        return float(Entailment[str(cell).strip().upper().replace(" ", "_")])
    except KeyError:
        names = ", ".join(name.lower() for name in Entailment.__members__)
        raise DataFileError(f"{place}: label {cell!r} is none of {names}, 0, 1") from None


def _number(cell: Any) -> float | None:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def _cell(place: str, column: str, cells: Cells) -> Any:
    if column not in cells:
        raise DataFileError(f"{place}: no {column!r}")
    return cells[column]


def _text(place: str, column: str, cells: Cells) -> str:
    cell = _cell(place, column, cells)
    if not isinstance(cell, str) or not cell.strip():
        raise DataFileError(f"{place}: {column!r} must be a text that is not empty")
    return cell.strip()
