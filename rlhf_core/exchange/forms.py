"""Reading of rows of preferences, rankings, demonstrations and labelled answers.

The columns of a row tell its form. A row that cannot be read is an error with its place. A row that
prefers no answer to another, such as two equal answers, raises `NothingToLearn`, and the caller
counts it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf_core.exchange import FORMS, Form
from rlhf_core.exchange.examples import Example, NothingToLearn
from rlhf_core.exchange.orders import (
    EQUAL_ANSWERS,
    EQUAL_SCORES,
    NO_WORDS,
    read_margin,
    read_order,
    read_two_scores,
    utilities_of_two,
)
from rlhf_core.exchange.words import Words, read_words
from rlhf_core.files.asking import asked, compared_cells, is_silent, prompt_cell, split_answer
from rlhf_core.files.cells import Cells, RowForm, matching_form
from rlhf_core.files.formats import Layout
from rlhf_core.files.messages import read_few_shot, read_tools
from rlhf_core.files.roles import NAMES_IN_IMPORTS, suggested_map
from rlhf_core.files.rubrics import read_rubric
from rlhf_core.files.scales import UNIT, Scale, read_preference
from rlhf_core.records import Mode
from rlhf_core.records.conversation import ASSISTANT
from rlhf_core.records.preferences import likely_mode
from rlhf_core.records.rubric import rubric_to_json

PLAIN = Layout(usual=NAMES_IN_IMPORTS)
"""The layout of rows whose columns have usual names."""


def form_of(place: str, row: Mapping[str, Any], layout: Layout = PLAIN) -> Form:
    """Return the form of a row, by its columns.

    Args:
        place: File and line of the row, for errors.
        row: Cells by column.
        layout: The columns of each role.

    Raises:
        DataFileError: If the columns match no form.
    """
    filled = layout.cells(place, {name: cell for name, cell in row.items() if cell is not None})
    form = matching_form(filled, READERS)
    if form is None:
        raise filled.error(
            f"columns {', '.join(row)} are those of no form ({', '.join(FORMS)}); name them, as in "
            "--map prompt=COLUMN --map chosen=COLUMN --map rejected=COLUMN, or name a --format"
            f"{suggested_map(row)}{layout.explained}"
        )
    return form


def read_example(
    place: str,
    row: Mapping[str, Any],
    form: Form,
    scale: Scale | None = None,
    layout: Layout = PLAIN,
) -> Example:
    """Return a row as an example.

    Args:
        place: File and line of the row, for errors.
        row: Cells by column.
        form: Form of the row.
        scale: Range of the file's scores; None is the layout's, else 0 to 1.
        layout: The columns of each role.

    Raises:
        DataFileError: If the row cannot be read; names file, line and column.
        NothingToLearn: If the row prefers no answer to another.
    """
    known = scale or layout.scale
    return READERS[form].read(layout.cells(place, row), known)


def _example(cells: Cells, form: Form, prompt: Any, answers: Sequence[Any], **read: Any) -> Example:
    """Return an example with the columns that every form has: context, mode and references."""
    if len({isinstance(cell, str) for cell in answers}) > 1:
        raise cells.error("the answers must all be texts, or all be lists of messages")
    context = cells.get("context")
    if context is not None:
        cells.as_text("context", context)
    few_shot = cells.read("few_shot", read_few_shot)
    words = Words(*asked(cells.place, cells.shown("prompt"), prompt, context, few_shot))
    references = cells.texts("reference")
    criteria = cells.read("rubric", read_rubric)
    return Example(
        place=cells.place,
        form=form,
        prompt=words,
        answers=tuple(read_words(cells.place, "answer", cell, ASSISTANT) for cell in answers),
        is_conversation=not all(isinstance(cell, str) for cell in (prompt, *answers)),
        context=context or None,
        mode=_mode(cells, context, references or answers if form == "sft" else references),
        reference_answers=references,
        few_shot=few_shot,
        tools=cells.read("tools", read_tools),
        rubric=rubric_to_json(criteria) if criteria else None,
        **read,
        columns=cells.unread,
    )


def _prompt(cells: Cells) -> Any:
    cells.require("prompt")
    cell = prompt_cell(cells)
    return cells.raw("prompt") if cell is None else cell


def _mode(cells: Cells, context: str | None, references: Sequence[Any]) -> Mode:
    cell = cells.get("mode")
    if cell is None:
        return likely_mode(context, references)
    if cell not in list(Mode):
        raise cells.error(f"mode {cell!r}; use {', '.join(Mode)}, or rename the column")
    return Mode(cell)


def _preference(cells: Cells, scale: Scale | None) -> Example:
    if not cells.has("chosen") and cells.has("first", "second", "preference"):
        return _comparison(cells, scale)
    if cells.raw("chosen") == cells.raw("rejected"):
        raise NothingToLearn(EQUAL_ANSWERS)
    known = scale or UNIT
    scores = read_two_scores(cells, known)
    margin = read_margin(cells, known, scores)
    agreement = cells.optional_number("agreement")
    if agreement is not None and not 0 <= agreement <= 1:
        raise cells.error(f"agreement {agreement:g} must lie from 0 to 1")
    prompt, chosen, rejected = compared_cells(cells)
    if is_silent(chosen) or is_silent(rejected):
        raise NothingToLearn(NO_WORDS)
    example = _example(
        cells,
        "preference",
        prompt,
        (chosen, rejected),
        scores=scores,
        utilities=utilities_of_two(min(1.0, margin)),
        told_margin=margin,
        agreement=1.0 if agreement is None else agreement,
    )
    return _unequal(example)


def _comparison(cells: Cells, scale: Scale | None) -> Example:
    """Return a row with two answers in any order, and a preference between them."""
    first = read_preference(cells, scale)
    if first == 0.5:
        raise NothingToLearn(EQUAL_SCORES)
    answers = cells.raw("first"), cells.raw("second")
    margin = abs(2 * first - 1)
    example = _example(
        cells,
        "preference",
        _prompt(cells),
        answers if first > 0.5 else answers[::-1],
        utilities=utilities_of_two(margin),
        told_margin=margin,
    )
    return _unequal(example)


def _unequal(example: Example) -> Example:
    if example.answers[0].text == example.answers[1].text:
        raise NothingToLearn(EQUAL_ANSWERS)
    return example


def _ranking(cells: Cells, scale: Scale | None) -> Example:
    prompt, answers = _prompt(cells), cells.entries("answers")
    if len(answers) < 2:
        raise cells.error(f"{cells.column('answers')!r} must be a list of two or more")
    order = read_order(cells, scale, len(answers))
    ordered = [answers[place] for place in order.places]
    kept = _without_repeats(cells, ordered, order.utilities)
    utilities = tuple(order.utilities[place] for place in kept)
    example = _example(
        cells,
        "ranking",
        prompt,
        [ordered[place] for place in kept],
        utilities=utilities,
        scores=order.scores and tuple(order.scores[place] for place in kept),
    )
    if utilities[0] == utilities[-1]:
        raise NothingToLearn(EQUAL_SCORES if len(kept) > 1 else EQUAL_ANSWERS)
    return example


def _without_repeats(cells: Cells, answers: list[Any], utilities: Sequence[float]) -> list[int]:
    """Return the places of the answers without those that repeat one of the same utility."""
    texts = [read_words(cells.place, "answer", answer, ASSISTANT).text for answer in answers]
    first: dict[str, int] = {}
    for place, text in enumerate(texts):
        if utilities[first.setdefault(text, place)] != utilities[place]:
            raise cells.error("two of the answers are the same; keep one of them")
    return list(first.values())


def _kto(cells: Cells, scale: Scale | None) -> Example:
    prompt, answer, label = _prompt(cells), cells.raw("answer"), cells.label("label")
    if label not in (0, 1):
        raise cells.error(
            f"{cells.column('label')!r} must be true or false, not {cells.raw('label')!r:.40}"
        )
    return _example(cells, "kto", prompt, (answer,), label=bool(label), scores=(label,))


def _sft(cells: Cells, scale: Scale | None) -> Example:
    if cells.get("messages") is not None:
        messages, answer = split_answer(cells)
        return _example(cells, "sft", messages, (answer,))
    return _example(cells, "sft", _prompt(cells), (cells.raw("answer"),))


READERS: dict[Form, RowForm[Example]] = {
    "preference": RowForm((("chosen", "rejected"), ("first", "second", "preference")), _preference),
    "ranking": RowForm((("prompt", "answers"),), _ranking),
    "kto": RowForm((("prompt", "answer", "label"),), _kto),
    "sft": RowForm((("messages",), ("prompt", "answer")), _sft),
}
"""Forms by name; the first whose columns a row has is read."""
