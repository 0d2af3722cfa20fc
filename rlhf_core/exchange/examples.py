"""Reading of rows of preferences, rankings, demonstrations and labelled answers.

The columns of a row tell its form. A row that cannot be read is an error with its place. A row that
prefers no answer to another, such as two equal answers, raises `NothingToLearn`, and the caller
counts it.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rlhf_core.exchange import FORMS, Form
from rlhf_core.exchange.asked import read_asked
from rlhf_core.exchange.words import Words, read_words, split_implicit
from rlhf_core.files.cells import Cells, RowForm, matching_form
from rlhf_core.files.messages import read_few_shot, read_tools
from rlhf_core.identity import content_id
from rlhf_core.records import Mode, margin_of_utilities
from rlhf_core.records.conversation import ASSISTANT
from rlhf_core.records.preferences import likely_mode

EQUAL_ANSWERS, EQUAL_SCORES = "equal answers", "equal scores"
WIDEST_MARGIN = 2.0
"""Limit of a margin in a file; earlier versions of Solon exported margins up to this."""


class NothingToLearn(Exception):
    """A valid row that prefers nothing, with the reason. It is no error: the caller counts it."""


@dataclass(frozen=True)
class Scale:
    """Range of a file's scores, to store them as shares from 0 to 1."""

    low: float = 0.0
    high: float = 1.0

    def share(self, score: float) -> float:
        return (score - self.low) / (self.high - self.low)

    def margin(self, margin: float) -> float:
        return margin / (self.high - self.low)


UNIT = Scale()


@dataclass(frozen=True)
class Example:
    """A row with something to learn: the prompt, and the answers, best first."""

    place: str
    form: Form
    prompt: Words
    answers: tuple[Words, ...]
    is_conversation: bool
    context: str | None = None
    mode: Mode = Mode.CREATIVE
    reference_answers: tuple[str, ...] = ()
    few_shot: str | None = None
    tools: str | None = None
    """Worked examples and tools of the prompt, as in the record Prompt."""
    scores: tuple[float, ...] | None = None
    """Score of each answer, 0 to 1; None if the row has none."""
    utilities: tuple[float, ...] = ()
    """Utility of each answer, −1 to 1, as in the record Ranking."""
    told_margin: float | None = None
    """2 P − 1 of a preference, where P is the probability that the chosen answer is better; up to 2
    in files from earlier versions."""
    agreement: float = 1.0
    label: bool | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Cells that are not read into the fields above."""
    personal_data: Counter[str] = field(default_factory=Counter)
    """Places with personal data by kind, as they were before masking."""
    unmasked: "Example | None" = None
    """The row as read from the file, if something in it was masked; never stored."""

    def margin(self, better: int, worse: int) -> float:
        """Return by how much an answer is preferred to one at a later place, 2 P − 1."""
        if self.told_margin is not None:
            return self.told_margin
        if self.form == "ranking" and self.scores is None:
            return 1.0  # An order without strengths is certain for every two answers.
        return margin_of_utilities(self.utilities[better], self.utilities[worse])

    @cached_property
    def hash(self) -> str:
        """Hash of the whole content, whatever its place."""
        parts = [self.prompt, *self.answers]
        more = [self.few_shot, self.tools]
        return content_id(
            "example",
            self.form,
            [(words.text, words.messages) for words in parts],
            self.is_conversation,
            [self.context, self.mode, self.reference_answers],
            [self.scores, self.told_margin or self.utilities, self.agreement, self.label],
            self.columns_json,
            *(more if any(more) else ()),
        )

    @property
    def as_read(self) -> "Example":
        """The row as read from the file, before masking."""
        return self.unmasked or self

    @cached_property
    def columns_json(self) -> str:
        return json.dumps(self.columns, sort_keys=True, default=str)


def form_of(place: str, row: Mapping[str, Any]) -> Form:
    """Return the form of a row, by its columns.

    Raises:
        DataFileError: If the columns match no form.
    """
    filled = Cells(place, {name: cell for name, cell in row.items() if cell is not None})
    form = matching_form(filled, READERS)
    if form is None:
        raise filled.error(
            f"columns {', '.join(row)} are those of no form ({', '.join(FORMS)}); "
            "rename them to prompt, chosen, rejected, answers, completion or label"
        )
    return form


def read_example(place: str, row: Mapping[str, Any], form: Form, scale: Scale) -> Example:
    """Return a row as an example.

    Args:
        place: File and line of the row, for errors.
        row: Cells by column.
        form: Form of the row.
        scale: Range of the file's scores.

    Raises:
        DataFileError: If the row cannot be read; names file, line and column.
        NothingToLearn: If the row prefers no answer to another.
    """
    return READERS[form].read(Cells(place, row), scale)


def _example(cells: Cells, form: Form, prompt: Any, answers: Sequence[Any], **read: Any) -> Example:
    """Return an example with the columns that every form has: context, mode and references."""
    shapes = {isinstance(cell, str) for cell in (prompt, *answers)}
    if len(shapes) > 1:
        raise cells.error("prompt and answers must all be texts, or all be lists of messages")
    context = cells.get("context")
    if context is not None:
        cells.as_text("context", context)
    few_shot = read_few_shot(cells.place, "few_shot", cells.get("few_shot"))
    words = read_asked(cells.place, "prompt", prompt, context, few_shot)
    references = _references(cells)
    return Example(
        place=cells.place,
        form=form,
        prompt=words,
        answers=tuple(read_words(cells.place, "answer", cell, ASSISTANT) for cell in answers),
        is_conversation=not isinstance(prompt, str),
        context=context or None,
        mode=_mode(cells, context, references or answers if form == "sft" else references),
        reference_answers=references,
        few_shot=few_shot,
        tools=read_tools(cells.place, "tools", cells.get("tools")),
        **read,
        columns=cells.unread,
    )


def _references(cells: Cells) -> tuple[str, ...]:
    cell = cells.get("reference_answers")
    if cell is None:
        return ()
    if not isinstance(cell, list) or not all(isinstance(text, str) for text in cell):
        raise cells.error("'reference_answers' must be a list of texts")
    return tuple(
        read_words(cells.place, "reference_answers", text, ASSISTANT).text for text in cell
    )


def _mode(cells: Cells, context: str | None, references: Sequence[Any]) -> Mode:
    cell = cells.get("mode")
    if cell is None:
        return likely_mode(context, references)
    if cell not in list(Mode):
        raise cells.error(f"mode {cell!r}; use {', '.join(Mode)}, or rename the column")
    return Mode(cell)


def _preference(cells: Cells, scale: Scale) -> Example:
    chosen, rejected = cells.raw("chosen"), cells.raw("rejected")
    if chosen == rejected:
        raise NothingToLearn(EQUAL_ANSWERS)
    prompt = cells.get("prompt")
    if prompt is None:
        prompt, chosen, rejected = split_implicit(cells.place, chosen, rejected)
    scores = _two_scores(cells, scale)
    margin = _margin(cells, scale, scores)
    agreement = cells.optional_number("agreement")
    if agreement is not None and not 0 <= agreement <= 1:
        raise cells.error(f"agreement {agreement:g} must lie from 0 to 1")
    example = _example(
        cells,
        "preference",
        prompt,
        (chosen, rejected),
        scores=scores,
        utilities=_utilities_of_two(min(1.0, margin)),
        told_margin=margin,
        agreement=1.0 if agreement is None else agreement,
    )
    if example.answers[0].text == example.answers[1].text:
        raise NothingToLearn(EQUAL_ANSWERS)
    return example


def _utilities_of_two(margin: float) -> tuple[float, float]:
    """Return utilities of opposite sign with this margin: tanh(s / 2) of half its log-odds s."""
    utility = margin / (1 + math.sqrt(1 - margin**2))
    return utility, -utility


def _two_scores(cells: Cells, scale: Scale) -> tuple[float, float] | None:
    chosen, rejected = (
        cells.optional_number("score_chosen"),
        cells.optional_number("score_rejected"),
    )
    if chosen is None and rejected is None:
        return None
    if chosen is None or rejected is None:
        raise cells.error("score_chosen and score_rejected come together; one is missing")
    return _share(cells, scale, chosen), _share(cells, scale, rejected)


def _share(cells: Cells, scale: Scale, score: float) -> float:
    share = scale.share(score)
    if not 0 <= share <= 1:
        raise cells.error(
            f"score {score:g} lies outside {scale.low:g} to {scale.high:g}; name the scale of the "
            "file, as in --scale 1:10"
        )
    return share


def _margin(cells: Cells, scale: Scale, scores: tuple[float, float] | None) -> float:
    """Return the margin of the chosen answer: the cell, else the difference of scores, else 1."""
    margin = cells.optional_number("margin")
    if margin is not None:
        share = scale.margin(margin)
        if not 0 < share <= WIDEST_MARGIN:
            raise cells.error(
                f"margin {margin:g} must be above 0 and at most {WIDEST_MARGIN:g} times the scale "
                f"from {scale.low:g} to {scale.high:g}; name the file's own, as in --scale 1:10"
            )
        return share
    if scores is None:
        return 1.0
    if scores[0] < scores[1]:
        raise cells.error("the rejected answer has the higher score; swap the two, or the scores")
    if scores[0] == scores[1]:
        raise NothingToLearn(EQUAL_SCORES)
    return scores[0] - scores[1]


def _ranking(cells: Cells, scale: Scale) -> Example:
    prompt, answers = cells.raw("prompt"), cells.raw("answers")
    if not isinstance(answers, list) or len(answers) < 2:
        raise cells.error("'answers' must be a list of two or more, best first")
    given = cells.get("utilities")
    if given is None:
        steps = len(answers) - 1
        utilities = [0.5 - place / steps for place in range(len(answers))]
    elif not isinstance(given, list) or len(given) != len(answers):
        raise cells.error(f"'utilities' must be a list of {len(answers)}, one an answer")
    else:
        utilities = [scale.margin(cells.as_number("utilities", cell)) for cell in given]
    if sorted(utilities, reverse=True) != utilities or max(map(abs, utilities)) > 1:
        raise cells.error(
            "utilities must fall from the first answer to the last and lie from -1 to 1, or from "
            "minus to plus the width of --scale"
        )
    example = _example(
        cells,
        "ranking",
        prompt,
        answers,
        utilities=tuple(utilities),
        # As a score: the probability to be better than an average answer.
        scores=None if given is None else tuple((1 + utility) / 2 for utility in utilities),
    )
    texts = [answer.text for answer in example.answers]
    if len(set(texts)) < len(texts):
        raise cells.error("two of the answers are the same; keep one of them")
    if utilities[0] == utilities[-1]:
        raise NothingToLearn(EQUAL_SCORES)
    return example


def _kto(cells: Cells, scale: Scale) -> Example:
    prompt, completion, label = (cells.raw(name) for name in ("prompt", "completion", "label"))
    if label not in (0, 1):
        raise cells.error(f"label must be true or false, not {label!r:.40}")
    return _example(
        cells, "kto", prompt, (completion,), label=bool(label), scores=(float(bool(label)),)
    )


def _sft(cells: Cells, scale: Scale) -> Example:
    messages = cells.get("messages")
    if messages is None:
        return _example(cells, "sft", cells.raw("prompt"), (cells.raw("completion"),))
    if not isinstance(messages, list) or len(messages) < 2:
        raise cells.error("'messages' must be a list of two or more")
    return _example(cells, "sft", messages[:-1], (messages[-1:],))


READERS: dict[Form, RowForm[Example]] = {
    "preference": RowForm((("chosen", "rejected"),), _preference),
    "ranking": RowForm((("prompt", "answers"),), _ranking),
    "kto": RowForm((("prompt", "completion", "label"),), _kto),
    "sft": RowForm((("messages",), ("prompt", "completion")), _sft),
}
"""Forms by name; the first whose columns a row has is read."""
