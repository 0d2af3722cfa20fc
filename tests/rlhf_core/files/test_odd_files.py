"""Files as people have them: read to their right value, or refused in one line."""

import csv
import gzip
import json
import random
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlhf_core.config.prompts import PromptSettings
from rlhf_core.errors import DataFileError
from rlhf_core.exchange.source import Findings, ImportSource
from rlhf_core.files.labelled_reading import read_labelled
from rlhf_core.files.rows import read_rows
from rlhf_core.files.text_pairs import read_text_pairs
from rlhf_core.prompts.reading import read_sent_prompts
from rlhf_core.records import Prompt

PAIR = {"prompt": "Which river?", "chosen": "The Seine.", "rejected": "Bananas."}
TEXTS = {"text": "A river.", "other": "Water.", "label": 1}
MEGABYTE = 1 << 20


def prompts(path: Path, **settings: Any) -> list[Prompt]:
    sent = read_sent_prompts(PromptSettings(path=str(path), **settings))
    return [each.prompt for each in sent]


def rows(path: Path) -> list[dict[str, Any]]:
    return [dict(cells) for _, cells in read_rows(path)]


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mark.jsonl", '\ufeff{"prompt": "Q"}\n'),
        ("windows.jsonl", '{"prompt": "Q"}\r\n\r\n'),
        ("blank.jsonl", '\n  \n{"prompt": "Q"}'),
        ("list.jsonl", '[{"prompt": "Q"}]'),
        ("lines.json", '{"prompt": "Q"}\n{"prompt": "Q"}'),
        ("one.json", '{\n "prompt": "Q"\n}'),
        ("marked.csv", "\ufeffprompt,n\r\nQ,1\r\n"),
        ("semicolons.csv", "prompt;n\nQ;1\n"),
        ("tabs.csv", "prompt\tn\nQ\t1\n"),
        ("quoted.csv", '"prompt","a;b"\n"Q",1\n'),
        ("table.tsv", "prompt\tn\nQ\t1\n"),
    ],
)
def test_spellings_of_one_file_are_read_alike(tmp_path: Path, name: str, text: str):
    path = written(tmp_path / name, text)
    assert {row["prompt"] for row in rows(path)} == {"Q"}
    compressed = written(tmp_path / f"{name}.gz", gzip.compress(text.encode()))
    assert rows(compressed) == rows(path)
    compressed = written(
        tmp_path / f"{name}.zst", pa.compress(text.encode(), codec="zstd", asbytes=True)
    )
    assert rows(compressed) == rows(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.jsonl.gz"])
def test_an_empty_file_holds_no_row(tmp_path: Path, name: str):
    content = gzip.compress(b"") if name.endswith(".gz") else b""
    assert rows(written(tmp_path / name, content)) == []


def test_a_cell_of_a_megabyte_is_read(tmp_path: Path):
    text = 'A "quoted", long\ncell; ' * (MEGABYTE // 20)
    for name in ("a.csv", "a.jsonl"):
        path = tmp_path / name
        if name == "a.csv":
            with path.open("w", newline="") as stream:
                csv.writer(stream).writerows([["prompt"], [text]])
        else:
            path.write_text(json.dumps({"prompt": text}))
        assert prompts(path)[0].text == text.strip()


def test_nul_is_a_character_like_others(tmp_path: Path):
    path = written(tmp_path / "a.jsonl", json.dumps({"prompt": "a\0b"}))
    assert prompts(path)[0].text == "a\0b"


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        (5, ("5",)),
        (5.0, ("5",)),
        (0.1, ("0.1",)),
        (-3, ("-3",)),
        (1e300, ("1e+300",)),
        (True, ("true",)),
        ("5.0", ("5.0",)),
        ([1, "two", None, " "], ("1", "two")),
        (None, ()),
    ],
)
def test_numbers_can_be_references(tmp_path: Path, cell: Any, texts: tuple[str, ...]):
    path = written(tmp_path / "a.jsonl", json.dumps({"prompt": "Q", "reference": cell}))
    assert prompts(path)[0].reference_answers == texts


def test_parquet_holds_references_of_its_own_types(tmp_path: Path):
    columns: dict[str, pa.Array] = {
        "decimal": pa.array([Decimal("5.10")]),
        "date": pa.array([date(2026, 1, 2)]),
        "whole": pa.array([5.0]),
        "category": pa.array(["Seine"]).dictionary_encode(),
        "large": pa.array(["Seine"], pa.large_string()),
        "list": pa.array([["Seine", "Loire"]], pa.large_list(pa.string())),
        "struct": pa.array([{"answer": {"value": 42}}]),
    }
    table = {"prompt": pa.array(["Q"]), **columns}
    pq.write_table(pa.table(table), path := tmp_path / "a.parquet")
    read = {
        name: prompts(path, columns={"reference": name})[0].reference_answers
        for name in [*list(columns)[:-1], "struct.answer.value"]
    }
    assert read == {
        "decimal": ("5.10",),
        "date": ("2026-01-02",),
        "whole": ("5",),
        "category": ("Seine",),
        "large": ("Seine",),
        "list": ("Seine", "Loire"),
        "struct.answer.value": ("42",),
    }


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", '{"prompt": "Q",}', "a.jsonl line 1: not JSON"),
        ("a.jsonl", '{"prompt": "Q"},\n{"prompt": "R"}', "a.jsonl line 1: not JSON (Extra data"),
        ("a.jsonl", '{"prompt": "Q", "prompt": "R"}', "the key 'prompt' stands twice"),
        ("a.jsonl", '{"prompt": "Q", "x": {"a": 1, "a" : 2}}', "the key 'a' stands twice"),
        ("a.jsonl", '{"prompt": "Q", "n": ' + "9" * 5000 + "}", "a.jsonl line 1: Exceeds"),
        ("a.jsonl", '{"prompt": ' + "[" * 200_000, "nested too deeply"),
        ("a.jsonl", '{"prompt": "\\ud83d"}', "line 1: 'prompt' holds half a surrogate pair"),
        ("a.json", '[{"prompt": "Q"},\n {"prompt": ]', "a.json line 2: not JSON"),
        ("a.json", '"prompt"', "a.json row 1: must be an object"),
        ("a.jsonl", '{"prompt": "Q"}'.encode("utf-16"), "is UTF-16; save the file as UTF-8"),
        ("a.jsonl", b'{"prompt": "Q"}\n{"prompt": "\xff"}', "a.jsonl line 2: not UTF-8"),
        ("a.csv", b"prompt\nQ\ncaf\xe9\n", "a.csv line 3: not UTF-8"),
        ("a.csv", 'prompt\nQ\n"never\nclosed', "a.csv line 3: unexpected end of data; write"),
        ("a.csv", "prompt,prompt\nQ,R\n", "line 1: two columns are named 'prompt'"),
        ("a.csv", "prompt,n\nQ,1,2\n", "line 2: 3 cells, but 2 in the first line; quote"),
        (
            "a.jsonl.gz",
            gzip.compress(b'{"prompt": "Q"}' * 99, mtime=0)[:40],
            "not readable as gzip",
        ),
        ("a.jsonl.zst", b"not zstd", "not readable as zstd"),
        ("a.parquet", b"", "not readable as Parquet"),
        ("a.parquet.gz", b"", "format not known"),
        (
            "a.jsonl",
            '{"prompt": "Q", "reference": {"a": {"b": 1}}}',
            "'reference' has parts; name one of them: reference.a",
        ),
        ("a.jsonl", '{"question": "Q"}', "no column 'prompt' (found: question)"),
        ("a.jsonl", '{"data": {"prompt": "Q"}}', "did you mean 'data.prompt'?"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_its_place(
    tmp_path: Path, name: str, content: str | bytes, problem: str
):
    with pytest.raises(DataFileError) as caught:
        prompts(written(tmp_path / name, content))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "options", "prompt", "answers"),
    [
        # Columns with names of their own.
        (
            {"question": "0+2=", "response_chosen": "2", "response_rejected": "9"},
            {"columns": {"chosen": "response_chosen", "rejected": "response_rejected"}},
            "0+2=",
            ["2", "9"],
        ),
        # Content as parts.
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "Name a river."}]},
                    {"role": "assistant", "content": "The Seine."},
                ]
            },
            {},
            "Name a river.",
            ["The Seine."],
        ),
        # One part of a nested column each.
        (
            {"turns": [{"content": "Q"}], "replies": {"good": "a", "bad": "b"}},
            {
                "columns": {
                    "prompt": "turns[0].content",
                    "chosen": "replies.good",
                    "rejected": "replies.bad",
                }
            },
            "Q",
            ["a", "b"],
        ),
    ],
)
def test_rows_of_other_shapes_are_read_by_their_columns(
    tmp_path: Path, row: dict[str, Any], options: dict[str, Any], prompt: str, answers: list[str]
):
    path = written(tmp_path / "a.jsonl", json.dumps(row))
    (example,) = ImportSource(path, **options).examples()
    assert example.prompt.text == prompt
    assert [answer.text for answer in example.answers] == answers


def test_a_prompt_that_ends_with_a_tools_reply_keeps_the_call(tmp_path: Path):
    call = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    asked = [
        {"role": "user", "content": "Search."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "name": "search", "tool_call_id": "c1", "content": "Results"},
    ]
    row = {
        "prompt": asked,
        "chosen": [{"role": "assistant", "content": "Here."}],
        "rejected": [{"role": "assistant", "content": "No."}],
    }
    path = written(tmp_path / "a.jsonl", json.dumps(row))
    (example,) = ImportSource(path).examples()
    assert list(example.prompt.messages or ()) == asked
    (prompt,) = prompts(path)
    assert list(prompt.conversation.messages) == asked
    (pair,) = read_labelled(path).pairs
    assert list(pair.prompt.conversation.messages) == asked


def test_bad_rows_of_every_kind_can_be_skipped(tmp_path: Path):
    """The good first row tells the form; each bad one is counted with its line."""
    bad = [
        '{"prompt": "Q", "chosen": "\\ud800", "rejected": "b"}',
        '{"prompt": 5, "chosen": "a", "rejected": "b"}',
        '{"prompt": "Q", "chosen": "a"}',
        '{"prompt": [{"role": "user", "content": "Q"}], "chosen": "a", "rejected": {"x": 1}}',
        '{"prompt": "Q", "chosen": "a", "rejected": "b", "reference": {"x": 1}}',
        '{"prompt": "Q", "chosen": "a", "rejected": "b", "rubric": [{"points": 1}]}',
    ]
    path = written(tmp_path / "a.jsonl", "\n".join([json.dumps(PAIR), *bad]))
    counts = Findings()
    (example,) = ImportSource(path, skips_bad=True).examples(counts)
    assert example.answers[0].text == "The Seine."
    assert [line.split(": ")[0].rsplit(" ", 1)[1] for line in counts.bad] == list("234567")


READERS: dict[str, Callable[[Path], Any]] = {
    "prompts": prompts,
    "import": lambda path: list(ImportSource(path).examples()),
    "skipping": lambda path: list(ImportSource(path, skips_bad=True).examples()),
    "labelled": read_labelled,
    "text_pairs": read_text_pairs,
}
SEEDS: list[Any] = [
    None,
    True,
    -1,
    0.5,
    10**400,
    float("nan"),
    "",
    " ",
    "\ud800",
    "\0",
    "[",
    "\n\nHuman: ",
    [],
    [None],
    {},
    {"a": [{"b": 1}]},
    [{"role": "user", "content": "Q"}],
    [{"role": "assistant", "content": None}],
    [{"from": "gpt", "value": 1}],
    [[1, 2], {"text": "x"}],
]
NAMES = (
    *("prompt", "chosen", "rejected", "answers", "utilities", "scores", "ranks", "completion"),
    *("label", "messages", "context", "mode", "reference", "tools", "few_shot", "rubric"),
    *("margin", "agreement", "score_chosen", "score_rejected", "conversations", "text", "other"),
    *("sentence1", "sentence2", "score", "response_1", "response_2", "preference", "output"),
)


def odd_row(draw: random.Random) -> dict[str, Any]:
    row: dict[str, Any] = dict(draw.choice([PAIR, PAIR, TEXTS, {}]))
    for name in draw.sample(NAMES, draw.randint(0, 6)):
        row[name] = draw.choice([*SEEDS, "words", [PAIR, "words"], 1])
    return row


def odd_bytes(draw: random.Random, name: str) -> bytes:
    """A file of odd rows, in half of the cases with a few bytes lost, doubled or changed."""
    drawn = [odd_row(draw) for _ in range(draw.randint(0, 3))]
    if name.endswith(".csv"):
        cells = [[str(cell) for cell in row.values()] for row in drawn]
        lines = [",".join(drawn[0]) if drawn else "", *(";".join(row) for row in cells)]
        content = "\n".join(lines).encode(errors="surrogatepass")
    elif name.endswith(".json"):
        content = json.dumps(drawn).encode()
    else:
        content = "\n".join(map(json.dumps, drawn)).encode()
    if draw.random() < 0.5 and content:
        at = draw.randrange(len(content))
        new = draw.choice([b"", b'"', b"\xff", b"\r", b"{", b",", content[:at], bytes(3)])
        content = content[:at] + new + content[at + draw.randint(0, 3) :]
    return gzip.compress(content) if name.endswith(".gz") else content


def problem_of(reader: Callable[[Path], Any], path: Path) -> str:
    try:
        reader(path)
    except DataFileError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ["f.jsonl", "f.json", "f.csv", "f.jsonl.gz"])
def test_no_file_ends_in_a_traceback(tmp_path: Path, name: str):
    """250 files of odd rows and torn bytes: each is read, or refused in one line with its name."""
    draw = random.Random(name)
    for _ in range(250):
        path = written(tmp_path / name, odd_bytes(draw, name))
        problems = [problem_of(reader, path) for reader in READERS.values()]
        assert all(str(path) in problem for problem in problems if problem)
        assert not any("\n" in problem for problem in problems)
