"""Columns of exported rows: those that trainers read, and the origin of each row.

Names and types are those of TRL's data set formats, so its trainers load the files unchanged:
texts, or messages with `role` and `content`; `label` is true or false.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from rlhf_core.exchange import Form
from rlhf_core.exchange.words import Words
from rlhf_core.records.conversation import ASSISTANT, USER, Message
from rlhf_core.store.exchange import OPTIONAL

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
TEXTS = pa.list_(pa.string())
WORDS: dict[Form, tuple[str, ...]] = {
    "preference": ("prompt", "chosen", "rejected"),
    "ranking": ("prompt",),
    "kto": ("prompt", "completion"),
    "sft": ("prompt", "completion"),
}
"""Columns of texts or messages; the answers of a ranking are lists of either."""
LABELS: dict[Form, dict[str, pa.DataType]] = {
    "preference": dict.fromkeys(
        ("score_chosen", "score_rejected", "margin", "agreement"), pa.float64()
    ),
    "ranking": {"utilities": pa.list_(pa.float64())},
    "kto": {"label": pa.bool_()},
    "sft": {},
}
ORIGINS: dict[Form, dict[str, pa.DataType]] = {
    "preference": {
        "pair_id": pa.string(),
        "ranking_id": pa.string(),
        "judge_versions": TEXTS,
        "config_hash": pa.string(),
        "run_id": pa.string(),
    },
    "ranking": {
        "ranking_id": pa.string(),
        "model_id": pa.string(),
        "recipe": pa.string(),
        "run_id": pa.string(),
    },
    "kto": {"candidate_id": pa.string(), "judge_versions": TEXTS},
    "sft": {"origin": pa.string(), "origin_id": pa.string()},
}
"""Origin of a row. Values that an imported row brings along are exported unchanged."""


def schema_of(form: Form, is_conversation: bool, filled: Iterable[str]) -> pa.Schema:
    """Return the columns of an export, in their order.

    Args:
        form: Form of the rows.
        is_conversation: True if prompts and answers are lists of messages.
        filled: Names in OPTIONAL for which at least one row has a value.
    """
    words = MESSAGES if is_conversation else pa.string()
    kinds: dict[str, pa.DataType] = dict.fromkeys(WORDS[form], words)
    if form == "ranking":
        kinds["answers"] = pa.list_(words)
    kinds |= LABELS[form]
    kinds |= {"context": pa.string(), "mode": pa.string(), "split": pa.string()}
    kinds |= {"reference_answers": TEXTS, **ORIGINS[form]}
    empty = set(OPTIONAL) - set(filled)
    return pa.schema([(name, kind) for name, kind in kinds.items() if name not in empty])


def export_row(form: Form, row: Mapping[str, Any], is_conversation: bool) -> dict[str, Any]:
    """Return the cells that a row of the store has in an export.

    Args:
        form: Form of the row.
        row: Row of the store's selection.
        is_conversation: True if prompts and answers are written as lists of messages.
    """
    own = {**row, f"{'pair' if form == 'preference' else form}_id": row["id"]}
    own |= {"candidate_id": row["id"], "origin_id": row["id"]}
    original = json.loads(row["said"] or "{}")
    messages = json.loads(row["messages"] or "{}")
    words = _Writer(messages, is_conversation)
    cells: dict[str, Any] = {"prompt": words.write("prompt", _instruction(row), USER)}
    if form == "ranking":
        cells["answers"] = [
            words.write(str(place), text, ASSISTANT) for place, text in enumerate(row["answers"])
        ]
    for place, name in enumerate(WORDS[form][1:]):
        cells[name] = words.write(str(place), row[name], ASSISTANT)
    for name in (*LABELS[form], "context", "mode", "split", "reference_answers"):
        cells[name] = own[name]
    for name, kind in ORIGINS[form].items():
        cells[name] = original[name] if _is_of(kind, original.get(name)) else own[name]
    return cells


def without_repeats(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield rankings of two or more answers, each once at its best place, none empty or cut off."""
    for row in rows:
        places: dict[str, int] = {}
        for place, (text, is_whole) in enumerate(zip(row["answers"], row["is_whole"], strict=True)):
            if text.strip() and is_whole:
                places.setdefault(text, place)
        if len(places) > 1:
            kept = list(places.values())
            yield {
                **row,
                "answers": [row["answers"][place] for place in kept],
                "utilities": row["utilities"] and [row["utilities"][place] for place in kept],
            }


class _Writer:
    """Writes words as texts or as messages; `messages` are the imported ones, by column."""

    def __init__(self, messages: Mapping[str, list[Message]], is_conversation: bool) -> None:
        self.messages, self.is_conversation = messages, is_conversation

    def write(self, column: str, text: str, role: str) -> str | list[Message]:
        kept = self.messages.get(column)
        words = Words(text, tuple(kept) if kept else None)
        return words.as_messages(role) if self.is_conversation else words.text


def _instruction(row: Mapping[str, Any]) -> str:
    """Return the text that the model reads, like `Prompt.instruction`."""
    return f"{row['context']}\n\n{row['prompt']}" if row["context"] else str(row["prompt"])


def _is_of(kind: pa.DataType, cell: Any) -> bool:
    if kind == TEXTS:
        return isinstance(cell, list) and all(isinstance(text, str) for text in cell)
    return isinstance(cell, str)
