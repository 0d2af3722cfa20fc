"""Reading labelled files: pairs, scored pairs, ranked sets and scored texts, told by their columns.

A row that cannot be read is an error with its place. A row that no judge could decide, such as two
equal answers, is left out and counted.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path

from rlhf_core.errors import DataFileError
from rlhf_core.files.cells import USUAL_NAMES, Cells
from rlhf_core.files.dialogues import (
    ASSISTANT_ROLE,
    is_dialogue,
    is_messages,
    split_dialogues,
    split_messages,
)
from rlhf_core.files.labelled import TIE, LabelledPair, LabelledSet, LabelledText
from rlhf_core.files.rows import NamedColumns, data_set_rows, read_rows

Entry = LabelledPair | LabelledText
DRAW, HIGHEST = 0.0, 2.0
"""Of a preference: 0 or 1.5 is a tie, else 1 + the probability that the second is better."""


def read_labelled(
    path: Path, form: str | None = None, columns: Mapping[str, str] | None = None
) -> LabelledSet:
    """The labelled answers of a file, each once, in an order that no label shows in.

    Args:
        path: A .jsonl, .jsonl.gz, .json, .csv or .parquet file, or the folder of a data set;
            what `solon export` wrote is read in each of its forms but that of demonstrations.
        form: One of FORMATS; told by the columns of each row, where it is left out.
        columns: Names of columns, by what they hold; the usual ones, where they are left out.

    Raises:
        DataFileError: If a row cannot be read, with its line; if there is nothing to judge.
    """
    names = dict(columns or {})
    if not path.exists():
        raise DataFileError(f"no file {path}; name an existing one")
    if form is not None and form not in FORMATS:
        raise DataFileError(f"no format {form!r}; use {', '.join(FORMATS)}")
    unknown = sorted(set(names) - set(USUAL_NAMES))
    if unknown:
        raise DataFileError(f"no column holds {unknown[0]!r}; use {', '.join(USUAL_NAMES)}")
    found: dict[str, Entry] = {}
    left_out: Counter[str] = Counter()
    forms = set()
    named = NamedColumns({f"--column {holds}": name for holds, name in names.items()})
    for place, row in data_set_rows(str(path)) if path.is_dir() else read_rows(path):
        named.see(row)
        cells = Cells(place, row, names)
        forms.add(form or _form(cells))
        for entry in FORMATS[form or _form(cells)](cells):
            reason = _unjudgeable(entry, found)
            if reason:
                left_out[reason] += 1
            else:
                found[entry.id] = entry
    named.check(str(path))
    if forms == {"scored_pairs"}:
        _refuse_zero_and_one(path, found.values())
    return _labelled_set(path, list(found.values()), left_out)


def _labelled_set(path: Path, entries: list[Entry], left_out: Counter[str]) -> LabelledSet:
    pairs = tuple(e.in_drawn_order() for e in entries if isinstance(e, LabelledPair))
    texts = tuple(entry for entry in entries if isinstance(entry, LabelledText))
    if not entries:
        raise DataFileError(f"{path} holds nothing that could be judged")
    if pairs and texts:
        raise DataFileError(f"{path} holds pairs and single texts; make two files of it")
    return LabelledSet(str(path), pairs, texts, dict(left_out))


def _refuse_zero_and_one(path: Path, pairs: Iterable[Entry]) -> None:
    """Labels counted from 0 would read as ties and wins of the first, and nobody would notice."""
    targets = {pair.target for pair in pairs if isinstance(pair, LabelledPair)}
    if targets == {TIE, 1.0}:
        raise DataFileError(
            f"{path}: every preference is 0 or 1; write 1 where the first is better, 2 where the "
            "second is"
        )


def _unjudgeable(entry: Entry, found: Mapping[str, Entry]) -> str | None:
    if isinstance(entry, LabelledPair) and entry.first == entry.second:
        return "both answers are the same"
    return "asked before in this file" if entry.id in found else None


def _form(cells: Cells) -> str:
    """The format of a row, by its columns."""
    if cells.has("chosen", "rejected"):
        return "pairs"
    if cells.has("first", "second", "preference"):
        return "scored_pairs"
    if cells.has("responses") and (cells.has("ranks") or cells.has("scores")):
        return "ranked"
    if cells.has("answer", "label"):
        return "texts"
    raise cells.error(
        f"no known format (columns: {', '.join(cells.row)}); name --format and --column"
    )


def _pairs(cells: Cells) -> Iterator[Entry]:
    chosen, rejected = cells.raw("chosen"), cells.raw("rejected")
    asked: str | None = None
    if is_messages(chosen) and is_messages(rejected) and not _go_on(cells, chosen, rejected):
        (asked, chosen), (before, rejected) = split_messages(chosen), split_messages(rejected)
        if asked != before:
            raise cells.error("chosen and rejected must answer the same dialogue")
    elif is_dialogue(chosen) and is_dialogue(rejected) and not cells.has("prompt"):
        parts = split_dialogues(chosen, rejected)
        if parts is None:
            raise cells.error("the two dialogues share no turn; they cannot be compared")
        asked, chosen, rejected = parts
    # A column with the prompt is preferred to what the messages say of it.
    prompt = cells.prompt(None if cells.has("prompt") else asked)
    better, worse = cells.as_text("chosen", chosen), cells.as_text("rejected", rejected)
    yield LabelledPair(prompt, better, worse, 1.0, cells.subset())


def _go_on(cells: Cells, *answers: list[dict[str, str]]) -> bool:
    """Whether answers of messages go on from the prompt's column, as Solon exports them."""
    return cells.has("prompt") and all(turns[0]["role"] == ASSISTANT_ROLE for turns in answers)


def _scored_pairs(cells: Cells) -> Iterator[Entry]:
    preference = cells.number("preference")
    if preference != DRAW and not 1 <= preference <= HIGHEST:
        raise cells.error(
            f"{cells.column('preference')} = {preference:g}: must be 1 (the first is better), 2 "
            "(the second), between, or 0 for a tie"
        )
    target = TIE if preference == DRAW else HIGHEST - preference
    first, second = cells.text("first"), cells.text("second")
    yield LabelledPair(cells.prompt(), first, second, target, cells.subset())


def _ranked(cells: Cells) -> Iterator[Entry]:
    """Every two of the responses whose ranks differ."""
    texts = [cells.as_text("responses", cell) for cell in cells.listed("responses")]
    holds, sign = ("ranks", -1) if cells.has("ranks") else ("scores", 1)
    if cells.column(holds) == "utilities" and cells.raw(holds) is None:
        # An order alone, as Solon exports it: the best first.
        scores = [-float(place) for place in range(len(texts))]
    else:
        scores = [sign * cells.as_number(holds, cell) for cell in cells.listed(holds)]
    if len(texts) != len(scores):
        raise cells.error(f"{len(texts)} responses and {len(scores)} {holds}; one each is wanted")
    prompt, subset = cells.prompt(), cells.subset()
    for (one, ours), (other, theirs) in combinations(zip(texts, scores, strict=True), 2):
        target = TIE if ours == theirs else float(ours > theirs)
        yield LabelledPair(prompt, one, other, target, subset)


def _texts(cells: Cells) -> Iterator[Entry]:
    yield LabelledText(cells.prompt(), cells.text("answer"), cells.number("label"), cells.subset())


FORMATS: dict[str, Callable[[Cells], Iterator[Entry]]] = {
    "pairs": _pairs,
    "scored_pairs": _scored_pairs,
    "ranked": _ranked,
    "texts": _texts,
}
"""How a row of each format is read."""
