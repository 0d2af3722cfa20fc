"""Screening of imported rows for personal data, which is counted or masked, or drops the row."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from rlhf_core.config.prompts import PrivacySettings
from rlhf_core.exchange.examples import Example, NothingToLearn
from rlhf_core.prompts.privacy import mask_personal_data
from rlhf_core.records.conversation import ASSISTANT, USER, from_json, to_json, with_texts
from rlhf_core.records.rubric import rubric_from_json, rubric_to_json

PERSONAL_DATA, EQUAL_ONCE_MASKED = "personal data", "equal answers once masked"
REPEATED_CELLS = 4096
"""Size of the cache for cells of other columns, most of which repeat in many rows."""


@dataclass
class Screen:
    """Screens every text of a row: prompt, context, answers, references, other columns."""

    settings: PrivacySettings
    dropped: dict[str, Counter[str]] = field(default_factory=dict)
    """Places with personal data by kind, for each dropped row, by the row's place in the file."""

    def __post_init__(self) -> None:
        self._clean: set[str] = set()
        self._masked: Callable[[str], tuple[str, Counter[str]]] = lru_cache(REPEATED_CELLS)(
            lambda text: mask_personal_data(text, self.settings)
        )

    def apply(self, example: Example) -> Example:
        """Return the row as it may be kept. A row without findings is not screened a second time.

        Raises:
            NothingToLearn: If the row is dropped, or its answers are equal once masked.
            ConfigError: If the packages that detect personal data are not installed.
        """
        if self.settings.policy == "off" or example.place in self._clean:
            return example
        kinds: Counter[str] = Counter()

        def change(text: str) -> str:
            safe, counts = mask_personal_data(text, self.settings)
            kinds.update(counts)
            return safe

        safe = replace(
            example,
            prompt=example.prompt.map_texts(USER, change),
            answers=tuple(answer.map_texts(ASSISTANT, change) for answer in example.answers),
            context=change(example.context) if example.context else None,
            reference_answers=tuple(map(change, example.reference_answers)),
            few_shot=_changed_messages(example.few_shot, change),
            rubric=_changed(example.rubric, change),
            columns={name: self._cell(cell, kinds) for name, cell in example.columns.items()},
            personal_data=kinds,
            unmasked=example,
        )
        if not kinds:
            self._clean.add(example.place)
            return example
        if self.settings.policy == "drop":
            self.dropped[example.place] = kinds
            raise NothingToLearn(PERSONAL_DATA)
        if self.settings.policy == "count":
            return replace(example, personal_data=kinds)
        if len({answer.text for answer in safe.answers}) < len(safe.answers):
            raise NothingToLearn(EQUAL_ONCE_MASKED)
        return safe

    def _cell(self, cell: Any, kinds: Counter[str]) -> Any:
        if isinstance(cell, str):
            safe, counts = self._masked(cell)
            kinds.update(counts)
            return safe
        if isinstance(cell, list):
            return [self._cell(part, kinds) for part in cell]
        if isinstance(cell, dict):
            return {name: self._cell(part, kinds) for name, part in cell.items()}
        return cell


def _changed_messages(messages: str | None, change: Callable[[str], str]) -> str | None:
    return to_json(with_texts(from_json(messages), change)) if messages else None


def _changed(rubric: str | None, change: Callable[[str], str]) -> str | None:
    criteria = [replace(one, text=change(one.text)) for one in rubric_from_json(rubric)]
    return rubric_to_json(criteria) if criteria else None
