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
from rlhf_core.files.cells import Cells, RowForm, matching_form
from rlhf_core.files.dialogues import (
    is_dialogue,
    is_messages,
    split_dialogues,
    split_messages,
    text_of,
)
from rlhf_core.files.labelled import TIE, LabelledPair, LabelledSet, LabelledText
from rlhf_core.files.rows import NamedColumns, read_source
from rlhf_core.records import Prompt, Split
from rlhf_core.records.conversation import ASSISTANT, USER
from rlhf_core.records.preferences import likely_mode

Entry = LabelledPair | LabelledText
DRAW, HIGHEST = 0.0, 2.0
"""Values of a preference: 0 or 1.5 is a tie, else 1 + the probability that the second is better."""
USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "instruction", "question", "query", "input"),
    "context": ("context", "document"),
    "reference": (
        "reference",
        "references",
        "reference_answer",
        "reference_answers",
        "ground_truth",
    ),
    "subset": ("subset", "category"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "first": ("output_1", "response_1", "answer_1", "response_a"),
    "second": ("output_2", "response_2", "answer_2", "response_b"),
    "preference": ("preference", "label"),
    "responses": ("responses", "answers", "candidates", "completions"),
    "ranks": ("ranks", "rank"),
    "scores": ("scores", "utilities"),
    "answer": ("answer", "response", "completion", "output", "text"),
    "label": ("label", "score", "rating", "is_correct"),
}
"""Usual names of columns by role."""


def read_labelled(
    path: Path, form: str | None = None, columns: Mapping[str, str] | None = None
) -> LabelledSet:
    """Read the labelled answers of a file, each once, in an order that reveals no label.

    Args:
        path: A .jsonl, .jsonl.gz, .json, .csv or .parquet file, or the folder of a data set;
            every form that `solon export` writes is read, except demonstrations.
        form: One of FORMATS; None infers it from the columns of each row.
        columns: Names of columns by role; the usual names for roles that are absent.

    Returns:
        The pairs or texts, and the number of rows left out by reason.

    Raises:
        DataFileError: If a row cannot be read (names the line), or there is nothing to judge.
    """
    names = dict(columns or {})
    if form is not None and form not in FORMATS:
        raise DataFileError(f"no format {form!r}; use {', '.join(FORMATS)}")
    unknown = sorted(set(names) - set(USUAL_NAMES))
    if unknown:
        raise DataFileError(f"no column holds {unknown[0]!r}; use {', '.join(USUAL_NAMES)}")
    entries: dict[str, Entry] = {}
    left_out: Counter[str] = Counter()
    forms = set()
    named = NamedColumns({f"--column {role}": name for role, name in names.items()})
    for place, row in read_source(path):
        named.see(row)
        cells = Cells(place, row, names, USUAL_NAMES)
        row_form = form or _form(cells)
        forms.add(row_form)
        for entry in FORMATS[row_form].read(cells):
            reason = _unjudgeable(entry, entries)
            if reason:
                left_out[reason] += 1
            else:
                entries[entry.id] = entry
    named.check(str(path))
    if forms == {"scored_pairs"}:
        _refuse_zero_and_one(path, entries.values())
    return _labelled_set(path, list(entries.values()), left_out)


def _labelled_set(path: Path, entries: list[Entry], left_out: Counter[str]) -> LabelledSet:
    pairs = tuple(e.in_drawn_order() for e in entries if isinstance(e, LabelledPair))
    texts = tuple(entry for entry in entries if isinstance(entry, LabelledText))
    if not entries:
        raise DataFileError(f"{path} holds nothing that could be judged")
    if pairs and texts:
        raise DataFileError(f"{path} holds pairs and single texts; make two files of it")
    return LabelledSet(str(path), pairs, texts, dict(left_out))


def _refuse_zero_and_one(path: Path, pairs: Iterable[Entry]) -> None:
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


def _form(cells: Cells) -> str:
    form = matching_form(cells, FORMATS)
    if form is None:
        raise cells.error(
            f"no known format (columns: {', '.join(cells.row)}); name --format and --column"
        )
    return form


def _pairs(cells: Cells) -> Iterator[Entry]:
    chosen, rejected = cells.raw("chosen"), cells.raw("rejected")
    shared: str | None = None
    if is_messages(chosen) and is_messages(rejected) and not _continue(cells, chosen, rejected):
        (shared, chosen), (other_shared, rejected) = (
            split_messages(chosen),
            split_messages(rejected),
        )
        if shared != other_shared:
            raise cells.error("chosen and rejected must answer the same dialogue")
    elif is_dialogue(chosen) and is_dialogue(rejected) and not cells.has("prompt"):
        parts = split_dialogues(chosen, rejected)
        if parts is None:
            raise cells.error("the two dialogues share no turn; they cannot be compared")
        shared, chosen, rejected = parts
    # A column with the prompt takes precedence over the prompt in the messages.
    prompt = _prompt(cells, None if cells.has("prompt") else shared)
    better, worse = _words(cells, "chosen", chosen), _words(cells, "rejected", rejected)
    yield LabelledPair(prompt, better, worse, 1.0, _subset(cells))


def _continue(cells: Cells, *answers: list[dict[str, str]]) -> bool:
    """Return True if answers of messages continue the prompt's column, as in Solon's exports."""
    return cells.has("prompt") and all(turns[0]["role"] == ASSISTANT for turns in answers)


def _scored_pairs(cells: Cells) -> Iterator[Entry]:
    preference = cells.label("preference")
    if preference != DRAW and not 1 <= preference <= HIGHEST:
        raise cells.error(
            f"{cells.column('preference')} = {preference:g}: must be 1 (the first is better), 2 "
            "(the second), between, or 0 for a tie"
        )
    target = TIE if preference == DRAW else HIGHEST - preference
    first, second = (_words(cells, role, cells.raw(role)) for role in ("first", "second"))
    yield LabelledPair(_prompt(cells), first, second, target, _subset(cells))


def _ranked(cells: Cells) -> Iterator[Entry]:
    """Yield every two of the responses."""
    texts = [_words(cells, "responses", cell) for cell in cells.entries("responses")]
    role, sign = ("ranks", -1) if cells.has("ranks") else ("scores", 1)
    if cells.column(role) == "utilities" and cells.get(role) is None:
        # An order without scores, as in Solon's exports: the best first.
        scores = [-float(place) for place in range(len(texts))]
    else:
        scores = [sign * cells.as_label(role, cell) for cell in cells.entries(role)]
    if len(texts) != len(scores):
        raise cells.error(f"{len(texts)} responses and {len(scores)} {role}; one each is wanted")
    prompt, subset = _prompt(cells), _subset(cells)
    for (one, ours), (other, theirs) in combinations(zip(texts, scores, strict=True), 2):
        target = TIE if ours == theirs else float(ours > theirs)
        yield LabelledPair(prompt, one, other, target, subset)


def _texts(cells: Cells) -> Iterator[Entry]:
    answer = _words(cells, "answer", cells.raw("answer"))
    yield LabelledText(_prompt(cells), answer, cells.label("label"), _subset(cells))


FORMATS: dict[str, RowForm[Iterator[Entry]]] = {
    "pairs": RowForm((("chosen", "rejected"),), _pairs),
    "scored_pairs": RowForm((("first", "second", "preference"),), _scored_pairs),
    "ranked": RowForm((("responses", "ranks"), ("responses", "scores")), _ranked),
    "texts": RowForm((("answer", "label"),), _texts),
}
"""Formats by name; the first whose columns a row has is read."""


def _words(cells: Cells, role: str, cell: Any) -> str:
    """Return a text, or messages as a text."""
    if is_messages(cell):
        return text_of(cell, USER if role == "prompt" else ASSISTANT)
    return cells.as_text(role, cell)


def _subset(cells: Cells) -> str:
    cell = cells.get("subset")
    return "" if cell is None else str(cell)


def _prompt(cells: Cells, text: str | None = None) -> Prompt:
    """Return the prompt of the row.

    Args:
        cells: The row.
        text: The prompt, if no column holds it.
    """
    context = cells.get("context")
    prompt = (_words(cells, "prompt", cells.raw("prompt")) if text is None else text).strip()
    if context and isinstance(context, str):
        # Solon exports prompts as models read them: the context comes first.
        prompt = prompt.removeprefix(f"{context.strip()}\n\n")
    if not prompt:
        raise cells.error("the prompt is empty; fill it in or remove the row")
    cell = cells.get("reference")
    references = tuple(
        _words(cells, "reference", entry)
        for entry in (cell if isinstance(cell, list) else [cell])
        if entry
    )
    return Prompt(
        text=prompt,
        context=context or None,
        mode=likely_mode(context, references),
        reference_answers=references,
        split=Split.HOLDOUT,
    )
