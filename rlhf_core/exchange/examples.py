"""Reading rows of preferences, rankings, demonstrations and labelled answers, told by columns.

A row that cannot be read is an error with its place. A row that prefers nothing to anything, such
as two equal answers, says so in `NothingToLearn`, and the reader counts it.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.exchange import FORMS, Form
from rlhf_core.exchange.words import ASSISTANT, USER, Words, read_words, split_implicit
from rlhf_core.identity import content_id
from rlhf_core.records import Mode, margin_of_utilities
from rlhf_core.records.preferences import likely_mode

EQUAL_ANSWERS, EQUAL_SCORES = "equal answers", "equal scores"
WIDEST_MARGIN = 2.0
"""Of a margin that a file tells: earlier versions of Solon wrote up to this."""


class NothingToLearn(Exception):
    """A row that is well and prefers nothing: no error, and caught by who counts; the reason."""


@dataclass(frozen=True)
class Scale:
    """Where a file's scores lie, so that they can be kept as shares from 0 to 1."""

    low: float = 0.0
    high: float = 1.0

    def share(self, score: float) -> float:
        return (score - self.low) / (self.high - self.low)

    def margin(self, margin: float) -> float:
        return margin / (self.high - self.low)


UNIT = Scale()


@dataclass(frozen=True)
class Example:
    """A row that says something: what was asked, and the answers, best first."""

    place: str
    form: Form
    prompt: Words
    answers: tuple[Words, ...]
    is_conversation: bool
    context: str | None = None
    mode: Mode = Mode.CREATIVE
    reference_answers: tuple[str, ...] = ()
    scores: tuple[float, ...] | None = None
    """Of each answer, 0 to 1; None where the row gives none."""
    utilities: tuple[float, ...] = ()
    """Of each answer, −1 to 1, as in the record Ranking."""
    told_margin: float | None = None
    """2 P − 1 of a preference, where P is the chance that the chosen answer is better; up to 2 in
    files that say so."""
    agreement: float = 1.0
    label: bool | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    """Every cell that is not read into the fields above."""
    personal_data: Counter[str] = field(default_factory=Counter)
    """Places with personal data by kind; where it is masked, as it was before."""
    unmasked: "Example | None" = None
    """The row as it stands in the file, where something in it was masked; never stored."""

    def margin(self, better: int, worse: int) -> float:
        """By how much the answer at one place is preferred to one at a later place, 2 P − 1."""
        if self.told_margin is not None:
            return self.told_margin
        if self.form == "ranking" and self.scores is None:
            return 1.0  # An order without strengths is certain of every two, however long it is.
        return margin_of_utilities(self.utilities[better], self.utilities[worse])

    @cached_property
    def hash(self) -> str:
        """Of all it says, wherever it stands."""
        said = [self.prompt, *self.answers]
        return content_id(
            "example",
            self.form,
            [(words.text, words.messages) for words in said],
            self.is_conversation,
            [self.context, self.mode, self.reference_answers],
            [self.scores, self.told_margin or self.utilities, self.agreement, self.label],
            self.columns_json,
        )

    @property
    def as_read(self) -> "Example":
        """As it stands in the file."""
        return self.unmasked or self

    @cached_property
    def columns_json(self) -> str:
        return json.dumps(self.columns, sort_keys=True, default=str)


def form_of(place: str, cells: Mapping[str, Any]) -> Form:
    """The form of a row, by its columns.

    Raises:
        DataFileError: If they are those of none.
    """
    has = {name for name, cell in cells.items() if cell is not None}
    wanted: dict[Form, set[str]] = {
        "preference": {"chosen", "rejected"},
        "ranking": {"prompt", "answers"},
        "kto": {"prompt", "completion", "label"},
        "sft": {"messages"} if "messages" in has else {"prompt", "completion"},
    }
    for form, names in wanted.items():
        if names <= has:
            return form
    raise DataFileError(
        f"{place}: columns {', '.join(cells)} are those of no form ({', '.join(FORMS)}); "
        "rename them to prompt, chosen, rejected, answers, completion or label"
    )


def read_example(place: str, cells: Mapping[str, Any], form: Form, scale: Scale) -> Example:
    """The row as an example of that form.

    Raises:
        DataFileError: If it cannot be read.
        NothingToLearn: If it prefers nothing.
    """
    return READERS[form](_Cells(place, dict(cells)), scale)


class _Cells:
    """A row whose cells are taken one by one; what nobody took is kept as it is."""

    def __init__(self, place: str, rest: dict[str, Any]) -> None:
        self.place, self.rest = place, rest

    def take(self, name: str) -> Any:
        return self.rest.pop(name, None)

    def needed(self, name: str) -> Any:
        cell = self.take(name)
        if cell is None:
            raise self.error(f"no column {name!r} (found: {', '.join(self.rest)})")
        return cell

    def number(self, name: str) -> float | None:
        cell = self.take(name)
        return None if cell is None else self.as_number(name, cell)

    def as_number(self, name: str, cell: Any) -> float:
        if isinstance(cell, bool) or not isinstance(cell, int | float) or not math.isfinite(cell):
            raise self.error(f"{name!r} must be a number, not {cell!r:.40}")
        return float(cell)

    def texts(self, name: str) -> tuple[str, ...]:
        cell = self.take(name)
        if cell is None:
            return ()
        if not isinstance(cell, list) or not all(isinstance(text, str) for text in cell):
            raise self.error(f"{name!r} must be a list of texts")
        return tuple(read_words(self.place, name, text, ASSISTANT).text for text in cell)

    def error(self, problem: str) -> DataFileError:
        return DataFileError(f"{self.place}: {problem}")

    def example(self, form: Form, prompt: Any, answers: Sequence[Any], **said: Any) -> Example:
        """With what every form has: the prompt, its context, mode and references."""
        shapes = {isinstance(cell, str) for cell in (prompt, *answers)}
        if len(shapes) > 1:
            raise self.error("prompt and answers must all be texts, or all be lists of messages")
        context = self.take("context")
        if context is not None and not isinstance(context, str):
            raise self.error(f"'context' must be text, not {type(context).__name__}")
        asked = read_words(self.place, "prompt", prompt, USER)
        if context and asked.messages is None:
            # Solon writes prompts as models read them: the text they are about comes first.
            asked = Words(asked.text.removeprefix(f"{context}\n\n"))
        references = self.texts("reference_answers")
        return Example(
            place=self.place,
            form=form,
            prompt=asked,
            answers=tuple(read_words(self.place, "answer", cell, ASSISTANT) for cell in answers),
            is_conversation=not isinstance(prompt, str),
            context=context or None,
            mode=self._mode(context, references or answers if form == "sft" else references),
            reference_answers=references,
            **said,
            columns=self.rest,
        )

    def _mode(self, context: str | None, references: Sequence[Any]) -> Mode:
        cell = self.take("mode")
        if cell is None:
            return likely_mode(context, references)
        if cell not in list(Mode):
            raise self.error(f"mode {cell!r}; use {', '.join(Mode)}, or rename the column")
        return Mode(cell)


def _preference(cells: _Cells, scale: Scale) -> Example:
    chosen, rejected = cells.needed("chosen"), cells.needed("rejected")
    if chosen == rejected:
        raise NothingToLearn(EQUAL_ANSWERS)
    prompt = cells.take("prompt")
    if prompt is None:
        prompt, chosen, rejected = split_implicit(cells.place, chosen, rejected)
    scores = _two_scores(cells, scale)
    margin = _margin(cells, scale, scores)
    agreement = cells.number("agreement")
    if agreement is not None and not 0 <= agreement <= 1:
        raise cells.error(f"agreement {agreement:g} must lie from 0 to 1")
    found = cells.example(
        "preference",
        prompt,
        (chosen, rejected),
        scores=scores,
        utilities=_utilities_of_two(min(1.0, margin)),
        told_margin=margin,
        agreement=1.0 if agreement is None else agreement,
    )
    if found.answers[0].text == found.answers[1].text:
        raise NothingToLearn(EQUAL_ANSWERS)
    return found


def _utilities_of_two(margin: float) -> tuple[float, float]:
    """Utilities of opposite sign whose margin this is: tanh(s / 2) of half its log-odds s."""
    utility = margin / (1 + math.sqrt(1 - margin**2))
    return utility, -utility


def _two_scores(cells: _Cells, scale: Scale) -> tuple[float, float] | None:
    chosen, rejected = cells.number("score_chosen"), cells.number("score_rejected")
    if chosen is None and rejected is None:
        return None
    if chosen is None or rejected is None:
        raise cells.error("score_chosen and score_rejected come together; one is missing")
    return _share(cells, scale, chosen), _share(cells, scale, rejected)


def _share(cells: _Cells, scale: Scale, score: float) -> float:
    share = scale.share(score)
    if not 0 <= share <= 1:
        raise cells.error(
            f"score {score:g} lies outside {scale.low:g} to {scale.high:g}; name the scale of the "
            "file, as in --scale 1:10"
        )
    return share


def _margin(cells: _Cells, scale: Scale, scores: tuple[float, float] | None) -> float:
    """By how much the chosen answer is better: said, or the scores' difference, or 1."""
    margin = cells.number("margin")
    if margin is not None:
        found = scale.margin(margin)
        if not 0 < found <= WIDEST_MARGIN:
            raise cells.error(
                f"margin {margin:g} must be above 0 and at most {WIDEST_MARGIN:g} times the scale "
                f"from {scale.low:g} to {scale.high:g}; name the file's own, as in --scale 1:10"
            )
        return found
    if scores is None:
        return 1.0
    if scores[0] < scores[1]:
        raise cells.error("the rejected answer has the higher score; swap the two, or the scores")
    if scores[0] == scores[1]:
        raise NothingToLearn(EQUAL_SCORES)
    return scores[0] - scores[1]


def _ranking(cells: _Cells, scale: Scale) -> Example:
    prompt, answers = cells.needed("prompt"), cells.needed("answers")
    if not isinstance(answers, list) or len(answers) < 2:
        raise cells.error("'answers' must be a list of two or more, best first")
    given = cells.take("utilities")
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
    found = cells.example(
        "ranking",
        prompt,
        answers,
        utilities=tuple(utilities),
        # As a score, the chance to be found better than an average answer.
        scores=None if given is None else tuple((1 + utility) / 2 for utility in utilities),
    )
    texts = [answer.text for answer in found.answers]
    if len(set(texts)) < len(texts):
        raise cells.error("two of the answers are the same; keep one of them")
    if utilities[0] == utilities[-1]:
        raise NothingToLearn(EQUAL_SCORES)
    return found


def _kto(cells: _Cells, scale: Scale) -> Example:
    prompt, completion, label = (cells.needed(name) for name in ("prompt", "completion", "label"))
    if label not in (0, 1):
        raise cells.error(f"label must be true or false, not {label!r:.40}")
    return cells.example(
        "kto", prompt, (completion,), label=bool(label), scores=(float(bool(label)),)
    )


def _sft(cells: _Cells, scale: Scale) -> Example:
    messages = cells.take("messages")
    if messages is None:
        return cells.example("sft", cells.needed("prompt"), (cells.needed("completion"),))
    if not isinstance(messages, list) or len(messages) < 2:
        raise cells.error("'messages' must be a list of two or more")
    return cells.example("sft", messages[:-1], (messages[-1:],))


READERS: dict[Form, Callable[[_Cells, Scale], Example]] = {
    "preference": _preference,
    "ranking": _ranking,
    "sft": _sft,
    "kto": _kto,
}
"""How a row of each form is read."""
