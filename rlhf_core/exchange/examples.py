"""Rows with something to learn: preferences, rankings, demonstrations and labelled answers."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rlhf_core.exchange import Form
from rlhf_core.exchange.words import Words
from rlhf_core.identity import content_id
from rlhf_core.records import Mode, margin_of_utilities


class NothingToLearn(Exception):
    """A valid row that prefers nothing, with the reason. It is no error: the caller counts it."""


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
    rubric: str | None = None
    """Worked examples, tools and criteria of the prompt, as in the record Prompt."""
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
            # An order without strengths is certain for every two answers that are not tied.
            return float(self.utilities[better] > self.utilities[worse])
        return margin_of_utilities(self.utilities[better], self.utilities[worse])

    @cached_property
    def hash(self) -> str:
        """Hash of the whole content, whatever its place."""
        parts = [self.prompt, *self.answers]
        more = [self.few_shot, self.tools]
        more += [self.rubric] if self.rubric else []
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
