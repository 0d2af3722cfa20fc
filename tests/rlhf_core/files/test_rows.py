"""One reader serves all files: whatever reads a row, an error names its file, line and column."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlhf_core.config.prompts import PromptSettings
from rlhf_core.errors import DataFileError
from rlhf_core.exchange.source import ImportSource
from rlhf_core.files.cells import Cells, RowForm, matching_form
from rlhf_core.files.labelled_reading import read_labelled
from rlhf_core.files.rows import read_rows, read_source
from rlhf_core.files.text_pairs import read_text_pairs
from rlhf_core.prompts.reading import read_sent_prompts

READERS: dict[str, Callable[[Path], Any]] = {
    "prompts": lambda path: list(read_sent_prompts(PromptSettings(path=str(path)))),
    "labelled": read_labelled,
    "examples": lambda path: list(ImportSource(path).examples()),
    "text_pairs": read_text_pairs,
}
PAIR = {"prompt": "Q", "chosen": "a", "rejected": "b"}
TEXTS = {"text": "a", "other": "b", "label": 1}
BAD: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("prompts", {"prompt": "Q"}, {"prompt": 5}, "'prompt' must be text or messages, not int"),
    ("prompts", {"prompt": "Q"}, {"text": "Q"}, r"no column 'prompt' \(found: text\)"),
    ("labelled", PAIR, {**PAIR, "rejected": 5}, "'rejected' must be text, not int"),
    ("labelled", PAIR, {**PAIR, "rejected": None}, "'rejected' is null"),
    ("labelled", PAIR, {"prompt": "Q", "answers": "a", "ranks": [1]}, "'answers' must be a list"),
    ("labelled", PAIR, {"prompt": "Q", "text": "a", "score": "?"}, r"score = '\?': must be a numb"),
    ("examples", PAIR, {**PAIR, "margin": "much"}, "'margin' must be a number, not 'much'"),
    ("examples", PAIR, {**PAIR, "context": 5}, "'context' must be text, not int"),
    ("examples", PAIR, {"prompt": "Q", "chosen": "a"}, r"no column 'rejected' \(found: prompt,"),
    ("text_pairs", TEXTS, {**TEXTS, "other": 5}, "'other' must be text, not int"),
    ("text_pairs", TEXTS, {**TEXTS, "label": "?"}, r"label = '\?': must be 0 or 1"),
    ("text_pairs", TEXTS, {"text": "a", "other": "b"}, r"no column 'label' \(found: text, other"),
]
CONTAINERS: dict[str, tuple[Callable[[list[dict[str, Any]]], bytes], str]] = {
    "f.jsonl": (lambda rows: "\n".join(map(json.dumps, rows)).encode(), "line 3"),
    "f.jsonl.gz": (
        lambda rows: gzip.compress("\n".join(map(json.dumps, rows)).encode()),
        "line 3",
    ),
    "f.json": (lambda rows: json.dumps(rows).encode(), "row 3"),
}


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize(("reader", "good", "bad", "problem"), BAD)
def test_an_error_names_file_line_and_column(
    tmp_path: Path,
    name: str,
    reader: str,
    good: dict[str, Any],
    bad: dict[str, Any],
    problem: str,
):
    write, place = CONTAINERS[name]
    (tmp_path / name).write_bytes(write([good, {**good, next(iter(good)): "R"}, bad]))
    with pytest.raises(DataFileError, match=rf"{name} {place}: {problem}"):
        READERS[reader](tmp_path / name)


def test_an_undecodable_line_of_a_table_is_named(tmp_path: Path):
    (tmp_path / "f.csv").write_bytes(b"prompt\nfine\ncaf\xe9\n")
    with pytest.raises(DataFileError, match=r"f\.csv line 3: not UTF-8"):
        list(read_rows(tmp_path / "f.csv"))


def test_a_byte_order_mark_is_no_text(tmp_path: Path):
    for name, text in {"f.jsonl": '{"a": 1}', "f.json": '[{"a": 1}]', "f.csv": "a\n1"}.items():
        (tmp_path / name).write_text(f"\ufeff{text}")
        ((_, row),) = read_rows(tmp_path / name)
        assert list(row) == ["a"]


def test_a_missing_file_says_what_to_do(tmp_path: Path):
    with pytest.raises(DataFileError, match=r"no file .*gone\.csv; set prompts\.path"):
        read_source(tmp_path / "gone.csv", fix="set prompts.path")


def test_cells_are_found_by_role_and_the_rest_is_kept():
    """A name that the user gave is looked for alone; else the first usual name that is there."""
    usual = {"prompt": ("question", "input"), "answer": ("answer",)}
    cells = Cells("f line 1", {"input": "Q", "said": "a", "answer": "b"}, {"answer": "said"}, usual)
    assert (cells.text("prompt"), cells.text("answer")) == ("Q", "a")
    assert cells.unread == {"answer": "b"}
    assert cells.get("absent") is None
    assert not cells.has("prompt", "absent")


def test_a_form_is_matched_by_any_of_its_sets_of_columns():
    forms = {"pair": RowForm((("a", "b"),), str), "text": RowForm((("c",), ("a",)), str)}
    assert matching_form(Cells("", {"a": 1, "b": 2}), forms) == "pair"
    assert matching_form(Cells("", {"a": 1}), forms) == "text"
    assert matching_form(Cells("", {"b": 1}), forms) is None
