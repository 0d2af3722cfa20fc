import json
from pathlib import Path
from typing import Any

import pytest

from rlhf_core.errors import DataFileError
from rlhf_core.files.text_pairs import PairFormat, PairTask, TextPair, pair_format, read_text_pairs


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def labels(pairs: list[TextPair]) -> list[tuple[PairTask | None, float | None]]:
    return [(pair.task, pair.label) for pair in pairs]


def test_a_csv_without_header_holds_scores_from_0_to_5(tmp_path: Path):
    """STS-B's form. 3.8 of 5 is 0.76."""
    file = written(tmp_path, "sts.csv", 'A plane.,"An ""air"" plane, taking off.",3.8\nB.,C.,0\n')
    assert read_text_pairs(file) == [
        TextPair("A plane.", 'An "air" plane, taking off.', PairTask.SIMILARITY, 0.76),
        TextPair("B.", "C.", PairTask.SIMILARITY, 0.0),
    ]


def test_scores_within_0_and_1_stay_as_they_are(tmp_path: Path):
    file = written(tmp_path, "own.csv", "text,other,score\na,b,0.25\nc,d,1\n")
    assert labels(read_text_pairs(file)) == [
        (PairTask.SIMILARITY, 0.25),
        (PairTask.SIMILARITY, 1.0),
    ]


def test_one_row_with_two_labels_makes_two_pairs(tmp_path: Path):
    """SICK's form, whose relatedness runs from 1 to 5: (3.5 - 1) / 4 = 0.625."""
    header = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\r\n"
    file = written(tmp_path, "SICK.txt", header + "1\ta\tb\t3.5\tNEUTRAL\r\n")
    assert labels(read_text_pairs(file)) == [
        (PairTask.SIMILARITY, 0.625),
        (PairTask.ENTAILMENT, 1.0),
    ]
    only = read_text_pairs(file, PairFormat(task=PairTask.ENTAILMENT))
    assert labels(only) == [(PairTask.ENTAILMENT, 1.0)]


def test_a_quotation_mark_in_a_tsv_is_text(tmp_path: Path):
    """MSRP's form: a byte-order mark, and quotation marks that are never closed."""
    header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"
    row = '1\t70\t71\tHe said "yes.\t"Yes", said he.\r\n'
    (pair,) = read_text_pairs(written(tmp_path, "msr.tsv", header + row))
    assert pair == TextPair('He said "yes.', '"Yes", said he.', PairTask.PARAPHRASE, 1.0)


def test_entailment_is_read_by_name_with_two_classes_or_three(tmp_path: Path):
    header = "index\tsentence1\tsentence2\tlabel\n"
    rows = "0\ta\tb\tnot_entailment\n1\tc\td\tentailment\n2\te\tf\tContradiction\n"
    found = read_text_pairs(written(tmp_path, "rte.tsv", header + rows))
    assert labels(found) == [
        (PairTask.ENTAILMENT, 3.0),
        (PairTask.ENTAILMENT, 0.0),
        (PairTask.ENTAILMENT, 2.0),
    ]


def test_0_and_1_are_entailment_of_a_summary_and_paraphrase_of_a_sentence(tmp_path: Path):
    summary = written(tmp_path, "s.json", json.dumps([{"doc": "a", "summary": "b", "label": 0}]))
    assert labels(read_text_pairs(summary)) == [(PairTask.ENTAILMENT, 3.0)]
    sentence = written(tmp_path, "p.jsonl", '{"sentence1": "a", "sentence2": "b", "label": 1}\n\n')
    assert labels(read_text_pairs(sentence)) == [(PairTask.PARAPHRASE, 1.0)]
    named = read_text_pairs(sentence, PairFormat(task=PairTask.ENTAILMENT))
    assert labels(named) == [(PairTask.ENTAILMENT, 0.0)]


def test_columns_can_be_named_or_counted(tmp_path: Path):
    named = pair_format(["text=Q1", "other=Q2", "label=same"])
    file = written(tmp_path, "q.csv", "id,q1,q2,same\n7,a,b,1\n")
    assert read_text_pairs(file, named) == [TextPair("a", "b", PairTask.PARAPHRASE, 1.0)]
    counted = pair_format(["text=2", "other=3", "label=1"], score_range="0,10")
    file = written(tmp_path, "n.tsv", "7\ta\tb\n")
    assert read_text_pairs(file, counted) == [TextPair("a", "b", PairTask.SIMILARITY, 0.7)]


def test_without_labels_every_row_is_one_pair(tmp_path: Path):
    file = written(tmp_path, "two.tsv", "a\tb\nc\td\n")
    assert read_text_pairs(file, needs_label=False) == [TextPair("a", "b"), TextPair("c", "d")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "a,b,3\nc,d\n", r"a\.csv line 2: 2 cells, but 3 in the first line"),
        ("a.csv", "a,b,3\nc,d,high\n", r"line 2: 3 = 'high': must be a score from 0 to 5"),
        ("a.csv", "a,b,3\nc,d,nan\n", r"scores from .* name their range|'nan'"),
        (
            "a.csv",
            "a,b,3\nc,d,70\n",
            r"a\.csv: '3' has scores from 3 to 70; name .* --range LOW,HIGH",
        ),
        ("a.csv", 'a,"b\n', r"a\.csv line 1: unexpected end of data"),
        ("a.tsv", "a\tb\tsame\n", r"line 1: 3 = 'same': must be entailment, neutral"),
        ("a.tsv", "a\t \t3\n", r"line 1: '2' must be a text that is not empty"),
        ("a.tsv", "a\tb\tc\td\t1\n", r"which columns hold the texts\? \(found: 1, 2, 3, 4, 5\)"),
        (
            "a.csv",
            "sentence1,sentence2\na,b\n",
            r"which column holds the label\? \(found: sentence1",
        ),
        ("a.json", '{"doc": "a"}', r"which columns hold the texts\? .found: doc"),
        ("a.json", "[{]", r"a\.json line 1: not JSON"),
        ("a.jsonl", "{}\n[1]\n", r"line 2: must be an object"),
        (
            "a.jsonl",
            '{"doc": "a", "summary": 3, "label": 1}\n',
            r"1: 'summary' must be text, not int",
        ),
        ("a.csv", "", r"a\.csv holds no pair of texts"),
        ("a.xml", "", r"format not known; use \.jsonl"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, name: str, text: str, message: str
):
    with pytest.raises(DataFileError, match=message):
        read_text_pairs(written(tmp_path, name, text))


def test_a_file_that_is_not_there_or_no_utf8_is_refused(tmp_path: Path):
    with pytest.raises(DataFileError, match=r"no file .*gone\.csv; name an existing one"):
        read_text_pairs(tmp_path / "gone.csv")
    (tmp_path / "latin.csv").write_bytes(b"caf\xe9,b,1\n")
    with pytest.raises(DataFileError, match=r"latin\.csv line 1: not UTF-8"):
        read_text_pairs(tmp_path / "latin.csv")


@pytest.mark.parametrize(
    "arguments", [(["a"],), (["text=a"],), ([], "nearness"), ([], None, "5"), (["texts=a"],)]
)
def test_a_format_written_wrongly_says_how(arguments: tuple[Any, ...]):
    with pytest.raises(DataFileError, match=r"write|name both|use similarity|use text, other"):
        pair_format(*arguments)


def test_a_part_of_a_nested_column_can_be_named(tmp_path: Path):
    known = pair_format(["text=pair.a", "other=pair.b", "label=same"])
    file = written(tmp_path, "n.jsonl", '{"pair": {"a": "x", "b": "y"}, "same": 1}\n')
    assert read_text_pairs(file, known) == [TextPair("x", "y", PairTask.PARAPHRASE, 1.0)]
