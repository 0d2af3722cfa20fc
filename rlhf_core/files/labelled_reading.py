"""Reading of labelled files: pairs, scored pairs, ranked sets and scored texts.

The columns of a row tell its format. A row that cannot be read is an error with its place. A row
that no judge could decide, such as two equal answers, is left out and counted.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.files.asking import asked, compared_cells, prompt_cell
from rlhf_core.files.cells import Cells, RowForm, matching_form
from rlhf_core.files.dialogues import text_of
from rlhf_core.files.formats import Layout, check_format, layout_of
from rlhf_core.files.labelled import TIE, LabelledPair, LabelledSet, LabelledText
from rlhf_core.files.messages import read_few_shot, read_messages, read_tools
from rlhf_core.files.roles import ROLES, suggested_map
from rlhf_core.files.rows import NamedColumns, read_source
from rlhf_core.files.rubrics import read_rubric
from rlhf_core.files.scales import Scale, read_preference
from rlhf_core.records import Prompt, Split
from rlhf_core.records.conversation import ASSISTANT, to_json
from rlhf_core.records.preferences import likely_mode
from rlhf_core.records.rubric import rubric_to_json

Entry = LabelledPair | LabelledText


def read_labelled(
    path: Path | str, form: str | None = None, columns: Mapping[str, str] | None = None
) -> LabelledSet:
    """Read the labelled answers of a file, each once, in an order that reveals no label.

    Args:
        path: A file, the folder of a data set, or one on the hub (rows.py); every form that
            `solon export` writes is read, except demonstrations.
        form: One of FORMATS, or the name of a well-known format (formats.py); None infers it from
            the columns.
        columns: Names of columns by role (roles.py); the usual names for roles that are absent.

    Returns:
        The pairs or texts, and the number of rows left out by reason.

    Raises:
        DataFileError: If a row cannot be read (names the line), or there is nothing to judge.
    """
    known = check_format(form, tuple(FORMATS))
    unknown = next((role for role in columns or {} if role not in ROLES), None)
    if unknown:
        raise DataFileError(f"no role {unknown!r}; use {', '.join(ROLES)}")
    entries: dict[str, Entry] = {}
    left_out: Counter[str] = Counter()
    forms = set()
    named = NamedColumns({f"--map {role}": name for role, name in (columns or {}).items()})
    layout: Layout | None = None
    for place, row in read_source(path):
        named.see(row)
        layout = layout or layout_of(row, known, columns)
        cells = layout.cells(place, row)
        row_form = form if form in FORMATS else _form(cells, layout)
        forms.add(row_form)
        for entry in FORMATS[row_form].read(cells, layout.scale):
            reason = _unjudgeable(entry, entries)
            if reason:
                left_out[reason] += 1
            else:
                entries[entry.id] = entry
    named.check(str(path))
    if forms == {"scored_pairs"} and layout and layout.scale is None:
        _refuse_zero_and_one(path, entries.values())
    return _labelled_set(path, list(entries.values()), left_out)


def _labelled_set(path: Path | str, entries: list[Entry], left_out: Counter[str]) -> LabelledSet:
    pairs = tuple(e.in_drawn_order() for e in entries if isinstance(e, LabelledPair))
    texts = tuple(entry for entry in entries if isinstance(entry, LabelledText))
    if not entries:
        raise DataFileError(f"{path} holds nothing that could be judged")
    if pairs and texts:
        raise DataFileError(f"{path} holds pairs and single texts; make two files of it")
    return LabelledSet(str(path), pairs, texts, dict(left_out))


def _refuse_zero_and_one(path: Path | str, pairs: Iterable[Entry]) -> None:
    """Refuse labels counted from 0, which would silently read as ties and wins of the first."""
    targets = {pair.target for pair in pairs if isinstance(pair, LabelledPair)}
    if targets == {TIE, 1.0}:
        raise DataFileError(
            f"{path}: every preference is 0 or 1; write 1 where the first is better, 2 where the "
            "second is"
        )


def _unjudgeable(entry: Entry, entries: Mapping[str, Entry]) -> str | None:
    if isinstance(entry, LabelledPair) and entry.first == entry.second:
        return "both answers are the same"
    return "repeated in this file" if entry.id in entries else None


def _form(cells: Cells, layout: Layout) -> str:
    form = matching_form(cells, FORMATS)
    if form is None:
        raise cells.error(
            f"no known format (columns: {', '.join(cells.row)}); name a --format, or the columns, "
            "as in --map prompt=COLUMN --map chosen=COLUMN --map rejected=COLUMN"
            f"{suggested_map(cells.row)}{layout.explained}"
        )
    return form


def _pairs(cells: Cells, scale: Scale | None) -> Iterator[Entry]:
    prompt, *answers = compared_cells(cells)
    better, worse = (
        _words(cells, role, cell)
        for role, cell in zip(("chosen", "rejected"), answers, strict=True)
    )
    yield LabelledPair(_prompt(cells, prompt), better, worse, 1.0, _subset(cells))


def _scored_pairs(cells: Cells, scale: Scale | None) -> Iterator[Entry]:
    target = read_preference(cells, scale)
    first, second = (_words(cells, role, cells.raw(role)) for role in ("first", "second"))
    yield LabelledPair(_prompt(cells), first, second, target, _subset(cells))


def _ranked(cells: Cells, scale: Scale | None) -> Iterator[Entry]:
    """Yield every two of the answers."""
    texts = [_words(cells, "answers", cell) for cell in cells.entries("answers")]
    role = next(role for role in ("ranks", "scores", "utilities") if cells.has(role))
    if role == "utilities" and cells.get(role) is None:
        # An order without scores, as in Solon's exports: the best first.
        values = [-float(place) for place in range(len(texts))]
    else:
        sign = -1 if role == "ranks" else 1
        values = [sign * cells.as_label(role, cell) for cell in cells.entries(role)]
    if len(texts) != len(values):
        raise cells.error(f"{len(texts)} answers and {len(values)} {role}; one each is wanted")
    prompt, subset = _prompt(cells), _subset(cells)
    for (one, ours), (other, theirs) in combinations(zip(texts, values, strict=True), 2):
        target = TIE if ours == theirs else float(ours > theirs)
        yield LabelledPair(prompt, one, other, target, subset)


def _texts(cells: Cells, scale: Scale | None) -> Iterator[Entry]:
    answer = _words(cells, "answer", cells.raw("answer"))
    yield LabelledText(_prompt(cells), answer, cells.label("label"), _subset(cells))


FORMATS: dict[str, RowForm[Iterator[Entry]]] = {
    "pairs": RowForm((("chosen", "rejected"),), _pairs),
    "scored_pairs": RowForm((("first", "second", "preference"),), _scored_pairs),
    "ranked": RowForm(
        (("answers", "ranks"), ("answers", "scores"), ("answers", "utilities")), _ranked
    ),
    "texts": RowForm((("answer", "label"),), _texts),
}
"""Formats by name; the first whose columns a row has is read."""


def _words(cells: Cells, role: str, cell: Any) -> str:
    """Return an answer: a text, or messages as a text."""
    if isinstance(cell, list):
        name = cells.shown(role)
        return text_of(read_messages(cells.place, name, cell), ASSISTANT)
    return cells.as_text(role, cell)


def _subset(cells: Cells) -> str:
    cell = cells.get("subset")
    return "" if cell is None else str(cell)


def _prompt(cells: Cells, prompt: Any = None) -> Prompt:
    """Return the prompt of the row.

    Args:
        cells: The row.
        prompt: The prompt as a text or messages, if it was split off; None reads its column.
    """
    context = cells.get("context")
    if context is not None:
        context = cells.as_text("context", context) or None
    few_shot = cells.read("few_shot", read_few_shot)
    name = cells.shown("prompt")
    if prompt is None:
        cells.raw("prompt")
        prompt = prompt_cell(cells)
    text, messages = asked(cells.place, name, prompt, context and context.strip(), few_shot)
    references = cells.texts("reference")
    criteria = cells.read("rubric", read_rubric)
    return Prompt(
        text=text.strip(),
        context=context,
        mode=likely_mode(context, references),
        reference_answers=references,
        messages=to_json(messages) if messages else None,
        few_shot=few_shot,
        tools=cells.read("tools", read_tools),
        rubric=rubric_to_json(criteria) if criteria else None,
        split=Split.HOLDOUT,
    )
