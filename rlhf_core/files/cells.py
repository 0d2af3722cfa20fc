"""From the cells of a row to prompts, texts and numbers, or an error that names the place."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.files.dialogues import ASSISTANT_ROLE, USER_ROLE, is_messages, text_of
from rlhf_core.records import Prompt, Split
from rlhf_core.records.preferences import likely_mode

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
"""By what a column holds, the names it goes by; the first that a row has is read."""
TRUTH = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


@dataclass(frozen=True)
class Cells:
    """A row, asked by what its columns hold.

    Args:
        place: Where it stands, for errors.
        row: Its cells.
        names: Columns named by the user, by what they hold.
    """

    place: str
    row: Mapping[str, Any]
    names: Mapping[str, str]

    def column(self, holds: str) -> str | None:
        """The name of the column that holds it; None where there is none."""
        usual = (self.names[holds],) if holds in self.names else USUAL_NAMES[holds]
        return next((name for name in usual if name in self.row), None)

    def has(self, *holds: str) -> bool:
        return all(self.column(one) is not None for one in holds)

    def raw(self, holds: str) -> Any:
        name = self.column(holds)
        if name is None:
            wanted = self.names.get(holds) or " or ".join(USUAL_NAMES[holds])
            raise self.error(f"no column {wanted} (found: {', '.join(self.row)})")
        return self.row[name]

    def text(self, holds: str) -> str:
        return self.as_text(holds, self.raw(holds))

    def as_text(self, holds: str, cell: Any) -> str:
        if is_messages(cell):
            return text_of(cell, USER_ROLE if holds == "prompt" else ASSISTANT_ROLE)
        if not isinstance(cell, str):
            raise self.error(f"{self.column(holds)!r} must be text, not {type(cell).__name__}")
        return cell

    def number(self, holds: str) -> float:
        return self.as_number(holds, self.raw(holds))

    def as_number(self, holds: str, cell: Any) -> float:
        """A number, also from text and from yes, no, true and false."""
        try:
            text = str(cell).strip().lower()
            found = TRUTH[text] if text in TRUTH else float(text)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise self.error(f"{self.column(holds)} = {cell!r}: must be a number")
        return found

    def listed(self, holds: str) -> Sequence[Any]:
        cell = self.raw(holds)
        if not isinstance(cell, list):
            raise self.error(f"{self.column(holds)!r} must be a list, not {type(cell).__name__}")
        return cell

    def subset(self) -> str:
        cell = self.raw("subset") if self.has("subset") else None
        return "" if cell is None else str(cell)

    def prompt(self, text: str | None = None) -> Prompt:
        """The prompt of the row.

        Args:
            text: What is asked, where no column says it.
        """
        context = self.raw("context") if self.has("context") else None
        asked = (self.text("prompt") if text is None else text).strip()
        if context and isinstance(context, str):
            # Solon exports prompts as models read them: the text they are about comes first.
            asked = asked.removeprefix(f"{context.strip()}\n\n")
        if not asked:
            raise self.error("the prompt is empty; fill it in or remove the row")
        references = self._references()
        return Prompt(
            text=asked,
            context=context or None,
            mode=likely_mode(context, references),
            reference_answers=references,
            split=Split.HOLDOUT,
        )

    def error(self, problem: str) -> DataFileError:
        return DataFileError(f"{self.place}: {problem}")

    def _references(self) -> tuple[str, ...]:
        cell = self.raw("reference") if self.has("reference") else None
        cells = cell if isinstance(cell, list) else [cell]
        return tuple(self.as_text("reference", text) for text in cells if text)
