"""Columns of exported rows: those that trainers read, and the origin of each row.

Names and types are those of TRL's data set formats, so its trainers load the files unchanged:
texts, or messages with `role` and `content`; `tools` is JSON text; `label` is true or false. What
only Solon reads, such as `rubric`, is JSON text too.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from rlhf_core.exchange import Form
from rlhf_core.exchange.words import Words
from rlhf_core.files.dialogues import text_of
from rlhf_core.records import Prompt
from rlhf_core.records.conversation import ASSISTANT, USER, Message
from rlhf_core.store.exchange import OF_PROMPT, OPTIONAL, Counts

_MESSAGE = [("role", pa.string()), ("content", pa.string())]
_FUNCTION = pa.struct([("name", pa.string()), ("arguments", pa.string())])
_CALL = pa.struct([("id", pa.string()), ("type", pa.string()), ("function", _FUNCTION)])
MESSAGES = pa.list_(pa.struct(_MESSAGE))
TOOL_MESSAGES = pa.list_(
    pa.struct(
        [
            *_MESSAGE,
            ("name", pa.string()),
            ("tool_calls", pa.list_(_CALL)),
            ("tool_call_id", pa.string()),
        ]
    )
)
"""Messages where any of them calls a tool or is its reply. The arguments of a call are JSON text,
as in OpenAI's format: in Parquet, those of different tools have no other type in common."""
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


def schema_of(form: Form, is_conversation: bool, counts: Counts) -> pa.Schema:
    """Return the columns of an export, in their order.

    Args:
        form: Form of the rows.
        is_conversation: True if prompts and answers are lists of messages.
        counts: What the rows hold.
    """
    messages = TOOL_MESSAGES if counts.has_tool_messages else MESSAGES
    words = messages if is_conversation else pa.string()
    kinds: dict[str, pa.DataType] = dict.fromkeys(WORDS[form], words)
    if form == "ranking":
        kinds["answers"] = pa.list_(words)
    kinds |= LABELS[form]
    kinds |= {"context": pa.string(), "few_shot": messages, "tools": pa.string()}
    kinds |= {"rubric": pa.string(), "mode": pa.string(), "split": pa.string()}
    kinds |= {"reference_answers": TEXTS, **ORIGINS[form]}
    left_out = set(OPTIONAL) - counts.columns
    if not is_conversation:
        left_out |= {"few_shot"}
    return pa.schema([(name, kind) for name, kind in kinds.items() if name not in left_out])


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
    answers = _AnswerWriter(json.loads(row["messages"] or "{}"), is_conversation)
    asked = _messages_read(row)
    cells: dict[str, Any] = {"prompt": asked if is_conversation else text_of(asked, USER)}
    if form == "ranking":
        cells["answers"] = [answers.write(n, text) for n, text in enumerate(row["answers"])]
    for place, name in enumerate(WORDS[form][1:]):
        cells[name] = answers.write(place, row[name])
    for name in (*LABELS[form], *OF_PROMPT, "mode", "split"):
        cells[name] = own[name]
    # The text of a plain prompt begins with the examples, which it can no longer be told from.
    cells["few_shot"] = json.loads(row["few_shot"] or "null") if is_conversation else None
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


class _AnswerWriter:
    """Writes answers as texts or as messages; `messages` are the imported ones, by their place."""

    def __init__(self, messages: Mapping[str, list[Message]], is_conversation: bool) -> None:
        self.messages, self.is_conversation = messages, is_conversation

    def write(self, place: int, text: str) -> str | list[Message]:
        kept = self.messages.get(str(place))
        words = Words(text, tuple(kept) if kept else None)
        return words.as_messages(ASSISTANT) if self.is_conversation else words.text


def _messages_read(row: Mapping[str, Any]) -> list[Message]:
    """Return all messages that the model reads, with the context and worked examples."""
    prompt = Prompt(
        text=row["prompt"],
        messages=row["prompt_messages"],
        **{name: row[name] for name in ("context", "few_shot", "tools", "mode", "split")},
    )
    return list(prompt.conversation.messages)


def _is_of(kind: pa.DataType, cell: Any) -> bool:
    if kind == TEXTS:
        return isinstance(cell, list) and all(isinstance(text, str) for text in cell)
    return isinstance(cell, str)
