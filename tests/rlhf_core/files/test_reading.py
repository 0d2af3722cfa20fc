import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlhf_core.errors import DataFileError
from rlhf_core.files.labelled import LabelledPair, LabelledSet
from rlhf_core.files.labelled_reading import read_labelled

PAIRS = [
    {"prompt": "One?", "chosen": "good", "rejected": "bad", "subset": "easy"},
    {"prompt": "Two?", "chosen": "right", "rejected": "wrong", "subset": "hard"},
]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def read(folder: Path, *rows: dict[str, Any], **options: Any) -> LabelledSet:
    return read_labelled(jsonl(folder / "labels.jsonl", list(rows)), **options)


def better_and_worse(pair: LabelledPair) -> tuple[str, str]:
    return (pair.first, pair.second) if pair.target > 0.5 else (pair.second, pair.first)


def preferred(found: LabelledSet) -> list[tuple[str, ...]]:
    return [(pair.prompt.text, *better_and_worse(pair)) for pair in found.pairs]


WANTED = [("One?", "good", "bad"), ("Two?", "right", "wrong")]


def write_csv(path: Path) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, PAIRS[0])
        writer.writeheader()
        writer.writerows(PAIRS)


WRITERS = {
    "a.jsonl": lambda path: jsonl(path, PAIRS),
    "a.jsonl.gz": lambda path: path.write_bytes(
        gzip.compress("\n".join(json.dumps(row) for row in PAIRS).encode())
    ),
    "a.json": lambda path: path.write_text(json.dumps(PAIRS)),
    "a.csv": write_csv,
    "a.parquet": lambda path: pq.write_table(pa.Table.from_pylist(PAIRS), path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_file_format_gives_the_same_pairs(tmp_path: Path, name: str):
    WRITERS[name](tmp_path / name)
    found = read_labelled(tmp_path / name)
    assert preferred(found) == WANTED
    assert [pair.subset for pair in found.pairs] == ["easy", "hard"]


def test_the_better_answer_is_not_always_first(tmp_path: Path):
    """Half of 200 pairs, give or take four standard deviations of √50; the same on every read."""
    rows = [{"prompt": f"{n}?", "chosen": "good", "rejected": "bad"} for n in range(200)]
    found = read(tmp_path, *rows)
    first = sum(pair.target for pair in found.pairs)
    assert 72 <= first <= 128
    assert read(tmp_path, *rows).pairs == found.pairs


def test_the_order_does_not_depend_on_the_label(tmp_path: Path):
    """Swapping the labels swaps the targets and moves no answer."""
    rows = [{"prompt": f"{n}?", "chosen": "a", "rejected": "b"} for n in range(20)]
    turned = [{"prompt": f"{n}?", "chosen": "b", "rejected": "a"} for n in range(20)]
    ours, theirs = read(tmp_path, *rows), read(tmp_path, *turned)
    assert [pair.texts for pair in ours.pairs] == [pair.texts for pair in theirs.pairs]
    assert [pair.target for pair in ours.pairs] == [1 - pair.target for pair in theirs.pairs]
    assert ours.hash != theirs.hash


def test_a_dialogue_is_split_at_the_last_turn_both_share(tmp_path: Path):
    before = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Who?"
    row = {"chosen": f"{before}\n\nAssistant: Ann.", "rejected": f"{before}\n\nAssistant: Anybody."}
    assert preferred(read(tmp_path, row)) == [
        ("Human: Hi\n\nAssistant: Hello\n\nHuman: Who?", "Ann.", "Anybody.")
    ]


def test_a_dialogue_of_one_turn_is_what_the_human_said(tmp_path: Path):
    row = {"chosen": "\n\nHuman: Hi\n\nAssistant: A", "rejected": "\n\nHuman: Hi\n\nAssistant: B"}
    assert preferred(read(tmp_path, row)) == [("Hi", "A", "B")]


def test_dialogues_that_part_early_keep_all_that_follows(tmp_path: Path):
    row = {
        "chosen": "\n\nHuman: Hi\n\nAssistant: A\n\nHuman: So?\n\nAssistant: Yes",
        "rejected": "\n\nHuman: Hi\n\nAssistant: B",
    }
    assert preferred(read(tmp_path, row)) == [
        ("Hi", "A\n\nHuman: So?\n\nAssistant: Yes", "B"),
    ]


def test_dialogues_that_share_no_turn_cannot_be_compared(tmp_path: Path):
    row = {"chosen": "\n\nHuman: a", "rejected": "\n\nHuman: b"}
    with pytest.raises(DataFileError, match="line 1: no column 'prompt', and chosen"):
        read(tmp_path, row)


def test_messages_are_a_dialogue_too(tmp_path: Path):
    asked = {"role": "user", "content": "Hi"}
    row = {
        "chosen": [asked, {"role": "assistant", "content": "A"}],
        "rejected": [asked, {"role": "assistant", "content": "B"}],
    }
    assert preferred(read(tmp_path, row)) == [("Hi", "A", "B")]


def test_preferences_are_1_or_2_or_soft_or_a_tie(tmp_path: Path):
    """1.75 is a probability of 3/4 that the second is better, so 1/4 that the first is."""
    targets = []
    for preference in (1, 2, 1.75, 1.5, 0):
        row = {"input": "Q", "output_1": "a", "output_2": "b", "label": preference}
        (pair,) = read(tmp_path, row).pairs
        targets.append(pair.target if pair.first == "a" else 1 - pair.target)
    assert targets == [1.0, 0.0, 0.25, 0.5, 0.5]


def test_ranked_sets_become_every_two_of_them(tmp_path: Path):
    """Ranks: 1 is best. Scores: the highest is. Equal ones are ties."""
    by_rank = {"prompt": "Q", "responses": ["x", "y", "z"], "ranks": [2, 1, 2]}
    found = read(tmp_path, by_rank)
    decided = [better_and_worse(pair) for pair in found.pairs if pair.target != 0.5]
    assert sorted(decided) == [("y", "x"), ("y", "z")]
    assert len(found) == 3
    by_score = {"prompt": "Q", "responses": ["x", "y"], "scores": [0.1, 0.9]}
    assert preferred(read(tmp_path, by_score)) == [("Q", "y", "x")]


def test_scored_texts_keep_their_labels_and_references(tmp_path: Path):
    rows = [
        {"question": "Q", "answer": "a", "is_correct": True, "reference": ["r", "s"]},
        {"question": "Q", "answer": "b", "is_correct": "no", "reference": "r"},
        {"question": "R", "answer": "a", "is_correct": 3.5},
    ]
    found = read(tmp_path, *rows)
    assert [text.target for text in found.texts] == [1.0, 0.0, 3.5]
    assert [text.prompt.reference_answers for text in found.texts] == [("r", "s"), ("r",), ()]


def test_columns_and_format_can_be_named(tmp_path: Path):
    row = {"ask": "Q", "prompt": "not this", "good": "a", "bad": "b"}
    columns = {"prompt": "ask", "chosen": "good", "rejected": "bad"}
    assert preferred(read(tmp_path, row, columns=columns)) == [("Q", "a", "b")]
    row = {"prompt": "Q", "answer": "a", "score": 1, "chosen": "a", "rejected": "b"}
    assert len(read(tmp_path, row, form="texts").texts) == 1


def test_what_no_judge_could_decide_is_left_out_and_counted(tmp_path: Path):
    same = {"prompt": "One?", "chosen": "a", "rejected": "a"}
    found = read(tmp_path, *PAIRS, same, PAIRS[0])
    assert found.left_out == {"both answers are the same": 1, "repeated in this file": 1}
    assert preferred(found) == WANTED


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "Q", "chosen": "a"}, r"line 3: no known format \(columns: prompt, chosen\)"),
        ({"prompt": "Q", "chosen": 1, "rejected": "b"}, "line 3: 'chosen' must be text, not int"),
        ({"prompt": " ", "chosen": "a", "rejected": "b"}, "line 3: the prompt is empty"),
        (
            {"chosen": "a", "rejected": "b"},
            "line 3: no column 'prompt', and chosen and rejected do not",
        ),
        (
            {"prompt": "Q", "output_1": "a", "output_2": "b", "preference": 3},
            r"line 3: preference = 3: must be 1 \(the first is better\)",
        ),
        (
            {"prompt": "Q", "output_1": "a", "output_2": "b", "preference": "?"},
            r"line 3: preference = '\?': must be a number",
        ),
        (
            {"prompt": "Q", "responses": ["a", "b"], "ranks": [1]},
            "line 3: 2 answers and 1 ranks",
        ),
        ({"prompt": "Q", "answer": "a", "label": float("nan")}, "line 3: label = nan"),
        ({"prompt": "Q", "answer": "a", "label": 1}, "holds pairs and single texts"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_with_its_line(
    tmp_path: Path, row: dict[str, Any], message: str
):
    with pytest.raises(DataFileError, match=message):
        read(tmp_path, *PAIRS, row)


def test_labels_counted_from_zero_are_refused(tmp_path: Path):
    """0 would read as a tie and 1 as the first, and every figure would be wrong in silence."""
    rows = [{"prompt": "Q", "output_1": "a", "output_2": f"b{n}", "label": n % 2} for n in range(4)]
    with pytest.raises(DataFileError, match="every preference is 0 or 1; write 1 where the first"):
        read(tmp_path, *rows)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "no file .*none.jsonl; name an existing one"),
        ("a.txt", b"x", "format not known; use .jsonl, .json, .csv, .tsv"),
        ("a.jsonl", b'{"prompt": "One?"\n', "line 1: not JSON"),
        ("a.jsonl", b"", "holds nothing that could be judged"),
        ("a.json", b"{}", "row 1: no known format"),
        ("a.jsonl.gz", b"not gzip", "not readable as gzip"),
        ("a.parquet", b"not parquet", "not readable as Parquet"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, name: str, content: bytes | None, message: str):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataFileError, match=message):
        read_labelled(tmp_path / name)


def test_an_unknown_format_or_column_is_refused_with_those_there_are(tmp_path: Path):
    with pytest.raises(DataFileError, match="no format 'pears'; use pairs, scored_pairs"):
        read(tmp_path, *PAIRS, form="pears")
    with pytest.raises(DataFileError, match="no role 'promt'; use prompt, system"):
        read(tmp_path, *PAIRS, columns={"promt": "x"})


@pytest.mark.parametrize("holds", ["reference", "context", "subset"])
def test_a_named_column_that_no_row_has_is_refused(tmp_path: Path, holds: str):
    with pytest.raises(DataFileError, match=rf"'gold', which --map {holds} names"):
        read(tmp_path, *PAIRS, columns={holds: "gold"})
