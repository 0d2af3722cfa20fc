"""`solon sql`: what is printed, what is written, what is refused."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import parquet

from rlhf_core.store import Store
from tests.facts import candidate, prompt
from tests.flows.test_cli import call

HOSTILE = '=1+1;"quoted"\n\x1b[2J'


@pytest.fixture
def database(store: Store) -> Path:
    store.append([prompt(), candidate(HOSTILE, 0), candidate("two", 1, token_ids=(1, 2))])
    return store.files.database


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: Path):
    """The command on that store: its exit code, and what it printed on both streams."""

    def asked(*arguments: str) -> tuple[int, str, str]:
        code = call(monkeypatch, "sql", *arguments, "--set", f"store={database}")
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return asked


ALL = "SELECT sample_index, text, token_ids, NULL AS nothing, 'nan'::DOUBLE AS odd FROM candidates"


def test_the_formats_hold_the_same_rows(ask, tmp_path: Path):
    objects = [
        {"sample_index": 0, "text": HOSTILE, "token_ids": None, "nothing": None, "odd": "nan"},
        {"sample_index": 1, "text": "two", "token_ids": [1, 2], "nothing": None, "odd": "nan"},
    ]
    for kind in ("json", "jsonl", "csv", "parquet"):
        code, out, err = ask(f"{ALL} ORDER BY 1", "--out", str(tmp_path / f"rows.{kind}"))
        assert (code, out) == (0, "")
        assert f"2 rows written to {tmp_path}" in err
    assert json.loads((tmp_path / "rows.json").read_text()) == objects
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == objects
    with (tmp_path / "rows.csv").open(newline="") as stream:
        cells = list(csv.reader(stream))
    assert cells[1:] == [["0", f"'{HOSTILE}", "", "", "nan"], ["1", "two", "[1, 2]", "", "nan"]]
    table = parquet.read_table(tmp_path / "rows.parquet")
    assert table.column("token_ids").to_pylist() == [None, [1, 2]]
    assert table.column("text").to_pylist() == [HOSTILE, "two"]


def test_json_is_the_same_by_either_option_and_the_age_is_beside_it(ask):
    code, out, err = ask("SELECT 1 AS one", "--json")
    assert (code, json.loads(out)) == (0, [{"one": 1}])
    assert err == "snapshot of 0 s ago\n"
    assert ask("SELECT 1 AS one", "--format", "json")[1] == out
    assert json.loads(ask("SELECT 1 AS one WHERE false", "--json")[1]) == []


def test_texts_in_csv_are_quoted_and_numbers_stay_numbers(ask):
    printed = ask(
        "SELECT 'it''s' AS a, '007' AS b, 7 AS c, true AS d, NULL AS e", "--format", "csv"
    )
    assert printed[1] == '"a","b","c","d","e"\n"it\'s","007",7,"true",""\n'
    query = (
        "SELECT -7 AS a, -0.5::DOUBLE AS b, -1.50::DECIMAL(9, 2) AS c, '-2.5e3' AS d, '-1-1' AS e"
    )
    numbers = ask(query, "--format", "csv")[1].splitlines()[1]
    assert numbers == '-7,-0.5,-1.50,"-2.5e3","\'-1-1"', "a formula is no number"


def test_no_text_in_csv_is_a_formula(ask, tmp_path: Path):
    """A model's words must not run where a person opens the file; names of columns neither."""
    starts = ["=", "+", "-", "@", "\t=", "\r=", "\n=", "\uff1d", "\uff0b", "\uff0d", "\uff20"]
    bound = ["--param", f"starts={json.dumps(starts)}", "--param", "rest=cmd|'/C calc'!A0"]
    query = (
        "SELECT s || $rest, 'x' || s || $rest, 1 AS \"=SUM(A1)\" "
        "FROM (SELECT unnest(from_json($starts, '[\"VARCHAR\"]')) AS s)"
    )
    assert ask(query, *bound, "--out", str(tmp_path / "a.csv"))[0] == 0
    with (tmp_path / "a.csv").open(newline="") as stream:
        names, *rows = csv.reader(stream)
    assert names[2] == "'=SUM(A1)"
    assert rows == [[f"'{s}cmd|'/C calc'!A0", f"x{s}cmd|'/C calc'!A0", "1"] for s in starts]


def test_on_a_terminal_csv_and_json_do_not_steer_it(ask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    for kind in ("csv", "json", "jsonl"):
        out = ask("SELECT chr(27) || chr(155) AS said", "--format", kind)[1]
        assert "\x1b" not in out
        assert "\x9b" not in out
        assert r"\x9b" in out


def test_a_table_ends_after_so_many_rows_and_says_so(ask):
    code, out, err = ask("FROM range(1001)")
    assert code == 0
    assert "999" in out
    assert "1000" not in out
    assert "the first 1000 rows; there are more" in err
    assert "more" not in ask("FROM range(1000)")[2]
    assert "the first 3 rows" in ask("FROM range(1001)", "--limit", "3")[2]


def test_files_get_every_row_but_for_a_limit(ask, tmp_path: Path):
    ask("FROM range(25000)", "--out", str(tmp_path / "all.csv"))
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 25_001
    ask("FROM range(25000)", "--out", str(tmp_path / "all.parquet"))
    assert parquet.read_metadata(tmp_path / "all.parquet").num_rows == 25_000
    ask("FROM range(25000)", "--limit", "12345", "--out", str(tmp_path / "some.parquet"))
    assert parquet.read_metadata(tmp_path / "some.parquet").num_rows == 12_345
    assert len(ask("FROM range(9)", "--limit", "4", "--format", "jsonl")[1].splitlines()) == 4


def test_a_named_query_takes_parameters_and_has_its_own(ask, tmp_path: Path):
    (tmp_path / "mine.sql").write_text("-- Mine.\n-- $text = two: words\nSELECT $text AS said;")
    named = ["--query", "mine", "--queries", str(tmp_path), "--json"]
    assert json.loads(ask(*named)[1]) == [{"said": "two"}]
    quoted = ask(*named, "--param", "text=') --")[1]
    assert json.loads(quoted) == [{"said": "') --"}]
    assert ask("SELECT $n + 1 AS n", "--param", "n=4", "--json")[1] == '[\n{"n": 5}\n]\n'


def test_what_can_be_asked_is_listed(ask):
    code, out, _ = ask("--list")
    assert code == 0
    assert "closest_pairs" in out
    assert "rows: how many (20)" in out
    listed = json.loads(ask("--list", "--json")[1])
    assert {"name", "summary", "parameters", "defaults"} == set(listed[0])
    code, out, _ = ask()
    assert code == 0
    assert "pair_texts" in out
    assert "Two candidates of a ranking" in out
    assert {"name": "pairs", "kind": "table"}.items() <= next(
        one for one in json.loads(ask("--json")[1]) if one["name"] == "pairs"
    ).items()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["SELECT 1", "--query", "promotions"], "and not both"),
        (["--query", "nope"], "no query named 'nope'"),
        (["SELECT 1", "--param", "x"], "write NAME=VALUE"),
        (["SELECT $x"], "not provided for the following parameters: x"),
        (["SELECT 1", "--param", "x=1"], "Expected 0, got 1"),
        (["SELECT 1", "--format", "xml"], "no format 'xml': --format table, csv"),
        (["SELECT 1", "--format", "csv", "--json"], "do not go together"),
        (["SELECT 1", "--format", "parquet"], "name a file with --out"),
        (["SELECT 1", "--format", "table", "--out", "x"], "a table is for the screen"),
        (["SELECT 1", "--out", "x"], "no format ''"),
        (["SELECT 1", "--out", "none/x.csv"], "none/x.csv cannot be written: No such file"),
        (["FROM range(100000000000)", "--timeout", "0.2", "--out", "x.csv"], "was stopped"),
        (["FROM range(100000000000)", "--timeout", "0.2", "--out", "x.parquet"], "was stopped"),
        (["SELEC", "--out", "x.parquet"], "syntax error"),
    ],
)
def test_what_is_wrong_is_said_and_leaves_no_file(
    ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    code, out, err = ask(*arguments)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert list(Path().iterdir()) == []


def test_a_file_that_is_there_stays_also_if_it_is_the_store(ask, database: Path):
    before = database.read_bytes()
    code, _, err = ask("SELECT 1", "--out", str(database), "--format", "csv")
    assert code == 2
    assert "exists; remove it, or name another" in err
    assert database.read_bytes() == before


DEAF = """
import sys, threading
from flows.cli import main
from flows.cli import sql
sql.GRACE_SECONDS = 0.2
sys.argv = ["solon", *sys.argv[1:]]
main.main()
"""


def test_a_query_that_is_deaf_to_being_stopped_ends_with_the_process(
    database: Path, tmp_path: Path
):
    """One huge string is made in one call, which no interrupt reaches."""
    target = tmp_path / "out.csv"
    query = "SELECT length(repeat('x', 4000000000))"
    options = ["--timeout", "0.2", "--out", str(target), "--set", f"store={database}"]
    command = [sys.executable, "-c", DEAF, "sql", query, *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "longer than 0.2 s and could not be stopped" in ended.stderr
    assert list(tmp_path.glob("out*")) == list(tmp_path.glob(".*")) == []


def test_who_reads_only_the_first_rows_is_no_error(database: Path):
    shell = f"{sys.executable} -m flows.cli sql 'FROM range(1000000)' --format csv --set store="
    ended = subprocess.run(
        f"{shell}{database} | head -2", shell=True, capture_output=True, text=True, check=False
    )
    assert ended.stdout == '"range"\n0\n'
    assert ended.stderr == "snapshot of 0 s ago\n"
