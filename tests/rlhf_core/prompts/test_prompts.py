import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlhf_core.config.prompts import PromptSettings
from rlhf_core.errors import DataFileError
from rlhf_core.prompts.intake import read_prompts
from rlhf_core.records import Mode, Prompt, Split, split_of

ROWS = [
    {"prompt": "Who wrote it?", "context": "Ann wrote it.", "mode": "", "reference": "Ann"},
    {"prompt": "Name a “prime”,\nplease.", "context": "", "mode": "", "reference": "7"},
    {"prompt": "Write a haiku.", "context": "", "mode": "creative", "reference": ""},
]


def read(path: Path | str, **settings: Any) -> list[Prompt]:
    return read_prompts(PromptSettings(path=str(path), **settings)).prompts


def write_jsonl(path: Path) -> None:
    path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n")


def write_csv(path: Path) -> None:
    lines = [",".join(ROWS[0])]
    lines += [",".join('"' + cell + '"' for cell in row.values()) for row in ROWS]
    path.write_text("\n".join(lines), encoding="utf-8-sig")


def write_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), path)


def write_data_set(path: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk(path)


FORMATS = {
    "p.jsonl": write_jsonl,
    "p.csv": write_csv,
    "p.parquet": write_parquet,
    "folder": write_data_set,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_prompts(tmp_path: Path, name: str):
    FORMATS[name](tmp_path / name)
    found = read(tmp_path / name)
    assert [(p.text, p.context, p.mode, p.reference_answers) for p in found] == [
        ("Who wrote it?", "Ann wrote it.", Mode.TEXT_GROUNDED, ("Ann",)),
        ("Name a “prime”,\nplease.", None, Mode.KNOWLEDGE_SEEKING, ("7",)),
        ("Write a haiku.", None, Mode.CREATIVE, ()),
    ]


@pytest.mark.parametrize("key", ["context", "mode", "reference", "user"])
@pytest.mark.parametrize("write", [write_jsonl, write_csv, write_parquet])
def test_a_named_column_that_no_row_has_is_refused(
    tmp_path: Path, write: Callable[[Path], None], key: str
):
    """A typo would otherwise read as prompts without references, contexts or modes."""
    path = tmp_path / f"prompts.{write.__name__.removeprefix('write_')}"
    write(path)
    with pytest.raises(DataFileError, match=rf"'refrence'.*prompts\.columns\.{key}"):
        read(path, columns={key: "refrence"})


def test_a_typo_in_a_column_is_answered_with_the_name_that_was_meant(tmp_path: Path):
    path = tmp_path / "prompts.csv"
    write_csv(path)
    with pytest.raises(DataFileError, match="did you mean 'reference'"):
        read(path, columns={"reference": "refrence"})


def test_a_named_column_may_be_missing_from_some_rows(tmp_path: Path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "A?"}\n{"prompt": "B?", "gold": "b"}\n')
    found = read(path, columns={"reference": "gold"})
    assert {p.text: p.reference_answers for p in found} == {"A?": (), "B?": ("b",)}


def test_columns_can_be_renamed_and_references_be_many(tmp_path: Path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"question": "Why?", "answers": ["Because.", "So."]}')
    (found,) = read(path, columns={"prompt": "question", "reference": "answers"})
    assert found.reference_answers == ("Because.", "So.")


def test_a_prompt_that_comes_twice_is_one(tmp_path: Path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "Why?"}\n{"prompt": " Why? "}\n{"prompt": "How?"}')
    assert [prompt.text for prompt in read(path)] == ["Why?", "How?"]
    assert len(read(path, limit=1)) == 1


def test_split_does_not_move_when_prompts_are_added():
    texts = [f"Question {number}" for number in range(500)]
    few = {text: split_of(text, None, 0.2) for text in texts[:100]}
    many = {text: split_of(text, None, 0.2) for text in reversed(texts)}
    assert few.items() <= many.items()
    held_out = sum(split is Split.HOLDOUT for split in many.values())
    assert 70 < held_out < 130
    assert all(
        split_of(text, None, 0.3) is Split.HOLDOUT
        for text, split in many.items()
        if split is Split.HOLDOUT
    )


def test_other_references_do_not_move_a_prompt_to_the_other_split(tmp_path: Path):
    """Else the held-out question could be trained on with another answer."""
    splits = set()
    for reference in ("one", "two", "three", "four", "five"):
        path = tmp_path / "p.jsonl"
        path.write_text(json.dumps({"prompt": "Why?", "reference": reference}))
        splits.add(read(path)[0].split)
    assert len(splits) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": ', "line 2: not JSON .*mend that line"),
        ("p.jsonl", '{"prompt": "a"}\n\n["b"]', "line 3: must be an object such as"),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": "  "}', "line 2: the prompt is empty; fill it in"),
        ("p.jsonl", '{"text": "a"}', r"line 1: no column 'prompt' \(found: text\); name it"),
        ("p.jsonl", '{"prompt": 5}', "line 1: 'prompt' must be text or messages, not int"),
        ("p.jsonl", '{"prompt": "a", "reference": [[1]]}', "line 1: 'reference' must be text"),
        ("p.jsonl", '{"prompt": "a", "mode": "poem"}', "line 1: mode 'poem'; use text_grounded"),
        ("p.jsonl", "", "holds no prompt"),
        ("p.csv", "prompt,mode\na,creative\nb", "line 3: 1 cells, but 2 in the first line"),
        ("p.csv", "prompt\na,b", "line 2: 2 cells, but 1 in the first line"),
        ("p.csv", 'prompt\n"a', "line 2"),
        ("p.parquet", "PAR1", "not readable as Parquet"),
        ("p.txt", "a", "format not known; use .jsonl, .json, .csv, .tsv"),
        ("nothing.jsonl", None, "no file .*; set prompts.path to an existing file"),
    ],
)
def test_a_broken_source_is_refused_with_its_line(
    tmp_path: Path, name: str, content: str | None, message: str
):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataFileError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path: Path):
    (tmp_path / "p.jsonl").write_bytes(b'{"prompt": "a"}\n{"prompt": "\xff"}')
    with pytest.raises(DataFileError, match="line 2: not UTF-8"):
        read(tmp_path / "p.jsonl")
    (tmp_path / "p.csv").write_bytes(b"prompt\n\xff")
    with pytest.raises(DataFileError, match="not UTF-8"):
        read(tmp_path / "p.csv")


def test_data_set_with_several_splits_asks_for_one(tmp_path: Path):
    splits = {name: datasets.Dataset.from_list(ROWS) for name in ("train", "test")}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "both")
    with pytest.raises(DataFileError, match=r"several splits \(train, test\)"):
        read(tmp_path / "both")


def test_a_data_set_that_is_not_on_the_hub_is_refused():
    with pytest.raises(DataFileError, match="hf:owner/nothing"):
        read("hf:owner/nothing")


def test_default_prompts(in_root: Callable[..., Path]):
    """At least 160, all modes, almost all with a short reference answer."""
    prompts = read("deploy/prompts/default.jsonl")
    modes = [prompt.mode for prompt in prompts]
    assert len(prompts) >= 160
    assert min(modes.count(mode) for mode in Mode) >= 40
    assert all(p.context for p in prompts if p.mode is Mode.TEXT_GROUNDED)
    answers = [answer for prompt in prompts for answer in prompt.reference_answers]
    assert len(answers) >= len(prompts)
    assert max(len(answer.split()) for answer in answers) <= 40
