"""Exports and imports as their users meet them, and that a round trip loses nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import pytest

from flows.cli.imports import _import
from flows.cycle.cycle import Cycle
from flows.training.rankings import count_imported, training_rankings, wanted_imports
from rlhf_core.errors import ConfigError
from rlhf_core.exchange import FORMS, Form
from rlhf_core.exchange.columns import WORDS
from rlhf_core.exchange.forms import form_of
from rlhf_core.exchange.source import ImportSource
from rlhf_core.files.rows import data_set_rows, read_rows
from rlhf_core.records import Mode, Prompt, PromptTombstone, Split
from rlhf_core.store import Store
from tests.flows.conftest import smoke
from tests.flows.test_cli import call
from tests.rlhf_core.files.samples import SAMPLES

HOSTILE = (
    "\x1b[31mred\x1b[0m '; DROP TABLE pairs; -- <script>\u2028\u202e\x00 <|im_end|> {{x}} 🦀 é\r\n"
)
LONG = "long words " * 20_000
SYSTEM = {"role": "system", "content": "Be brief."}


def said(*texts: str) -> list[dict[str, str]]:
    """User and assistant in turn."""
    return [
        {"role": ("user", "assistant")[place % 2], "content": text}
        for place, text in enumerate(texts)
    ]


def answered(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


PLAIN = [
    {"prompt": "Why?", "chosen": "Because.", "rejected": "No."},
    {"prompt": "Why?", "chosen": "No.", "rejected": "Because."},
    {"prompt": HOSTILE, "chosen": HOSTILE + "a", "rejected": LONG, "margin": 0.1},
    {"prompt": "  Padded \n", "chosen": " a", "rejected": "a", "score_chosen": 0.3,
     "score_rejected": 0.1},
    {"prompt": "A text.\n\nSum up.", "chosen": "x", "rejected": "y", "context": "A text.",
     "agreement": 2 / 3, "mode": "text_grounded", "reference_answers": ["r", "ré\n"]},
    {"chosen": "The sky is A", "rejected": "The sky is B"},
]  # fmt: skip
CONVERSATIONS: list[dict[str, Any]] = [
    {"prompt": said("Why?"), "chosen": answered("Because."), "rejected": answered("No.")},
    {"prompt": [SYSTEM, *said("a", "b", HOSTILE)], "chosen": answered(LONG),
     "rejected": [*answered("x"), *said("y", "z")]},
    # Both dialogues read the same as texts, and are not.
    {"prompt": said("a\n\nAssistant: b\n\nHuman: c"), "chosen": answered("x"),
     "rejected": answered("y")},
    {"prompt": said("a", "b", "c"), "chosen": answered("x"), "rejected": answered("y")},
]  # fmt: skip
ROWS: dict[str, list[dict[str, Any]]] = {
    "preference": PLAIN,
    "preference, conversational": CONVERSATIONS,
    "ranking": [
        {"prompt": "Why?", "answers": ["a", HOSTILE, LONG], "utilities": [2 / 3, 0.1, -2 / 3]},
        {"prompt": "Why?", "answers": ["b", "a"]},
    ],
    "ranking, conversational": [
        {"prompt": [SYSTEM, *said("a")], "answers": [answered("x"), said("y")[:1] + answered("z")]},
    ],
    "sft": [
        {"prompt": "Why?", "completion": HOSTILE},
        {"prompt": "Why?", "completion": "Because."},
        {"prompt": LONG, "completion": "é", "mode": "creative"},
    ],
    "sft, conversational": [{"messages": [SYSTEM, *said("a", "b", "c", "d")]}],
    "kto": [
        {"prompt": "Why?", "completion": HOSTILE, "label": True},
        {"prompt": "Why?", "completion": LONG, "label": False},
    ],
    "kto, conversational": [
        {"prompt": said("a", "b", "c"), "completion": answered("d"), "label": False},
    ],
}  # fmt: skip
Solon = Callable[..., int]


@pytest.fixture
def solon(monkeypatch: pytest.MonkeyPatch) -> Solon:
    return lambda *arguments: call(monkeypatch, *map(str, arguments))


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_columns_and_formats_are_named_on_the_command_line(
    solon: Solon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    row = {"question": "0+2=", "response_chosen": "2", "response_rejected": "9"}
    path = written(tmp_path / "rows.jsonl", [row])
    named = ("--map", "chosen=response_chosen", "--map", "rejected=response_rejected")
    assert solon("import", path, *named, *at(tmp_path)) == 0
    assert "1 rows of format preference: 1 pairs" in capsys.readouterr().err
    assert solon("import", path, *at(tmp_path)) == 2
    assert "did you mean --map chosen=response_chosen" in capsys.readouterr().err
    assert solon("import", path, "--format", "nectar", *at(tmp_path)) == 2
    assert "(--format nectar reads prompt, answers[*].answer" in capsys.readouterr().err
    path = written(tmp_path / "binarized.jsonl", [SAMPLES["ultrafeedback_binarized"]])
    assert solon("import", path, *at(tmp_path)) == 0
    assert "read as ultrafeedback_binarized: 1 pairs" in capsys.readouterr().err


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows = data_set_rows(str(path)) if path.is_dir() else read_rows(path)
    return [dict(cells) for _, cells in rows]


def at(folder: Path) -> tuple[str, str]:
    return "--set", f"store={folder / 'solon.duckdb'}"


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A store that holds ROWS, and the run that wrote each kind."""
    folder = tmp_path_factory.mktemp("imported")
    runs = {}
    for kind, rows in ROWS.items():
        source = ImportSource(written(folder / "rows.jsonl", rows))
        runs[kind] = str(_import(folder / "solon.duckdb", source, kind, 0.0)["run_id"])
    return folder, runs


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ""])
@pytest.mark.parametrize("shape", ["", ", conversational"])
def test_a_round_trip_loses_nothing(
    solon: Solon,
    tmp_path: Path,
    imported: tuple[Path, dict[str, str]],
    shape: str,
    ending: str,
    capsys: pytest.CaptureFixture[str],
):
    """Out, into an empty store, and out again: the same rows in the same order."""
    folder, runs = imported
    for form in FORMS:
        kind = form + shape
        first, second = (tmp_path / f"{form}-{time}{ending}" for time in (1, 2))
        options = ["--format", form, "--run"]
        assert solon("export", first, *options, runs[kind], *at(folder)) == 0
        capsys.readouterr()
        assert solon("import", first, "--holdout", 0, "--json", *at(tmp_path / "empty")) == 0
        run = json.loads(capsys.readouterr().out)["run_id"]
        assert solon("export", second, *options, run, *at(tmp_path / "empty")) == 0
        rows = rows_of(first)
        assert rows == rows_of(second)
        assert len(rows) == len(ROWS[kind])
        assert all(isinstance(row["prompt"], list) == bool(shape) for row in rows)
        kept = {json.dumps(answer) for row in rows for answer in answers_of(row)}
        assert {json.dumps(a) for row in ROWS[kind] for a in answers_of(row)} <= kept


def answers_of(row: dict[str, Any]) -> list[Any]:
    """Of a row that names its prompt."""
    if "prompt" not in row:
        return []
    return row.get("answers") or [row[name] for name in WORDS[form_of("", row)][1:]]


def test_what_goes_out_is_what_came_in(solon: Solon, tmp_path: Path):
    source = written(tmp_path / "source.jsonl", [*CONVERSATIONS, *PLAIN[:0]])
    assert solon("import", source, "--holdout", 0, *at(tmp_path)) == 0
    assert solon("export", tmp_path / "out.jsonl", *at(tmp_path)) == 0
    found = [
        {name: row[name] for name in ("prompt", "chosen", "rejected")}
        for row in rows_of(tmp_path / "out.jsonl")
    ]
    key = json.dumps
    assert sorted(found, key=key) == sorted(CONVERSATIONS, key=key)


def test_conversations_go_out_as_texts_where_texts_are_asked_for(solon: Solon, tmp_path: Path):
    source = written(tmp_path / "source.jsonl", CONVERSATIONS[:1] + PLAIN[:0])
    assert solon("import", source, "--holdout", 0, *at(tmp_path)) == 0
    assert solon("export", tmp_path / "out.parquet", "--plain", *at(tmp_path)) == 0
    (row,) = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert (row["prompt"], row["chosen"], row["rejected"]) == ("Why?", "Because.", "No.")


def test_the_same_rows_are_imported_once(
    solon: Solon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Whatever container holds them."""
    source = written(tmp_path / "pairs.jsonl", [PLAIN[0], PLAIN[0], PLAIN[2]])
    assert solon("import", source, "--json", *at(tmp_path)) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["pairs"], found["new_prompts"]) == (2, 2, 2)
    assert found["left_out"] == {"repeated in this file": 1}
    before = Store(tmp_path / "solon.duckdb").counts()
    assert found["added"] == sum(before.values())
    assert solon("import", source, "--json", *at(tmp_path)) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["added"], again["new_prompts"]) == (0, 0)
    assert Store(tmp_path / "solon.duckdb").counts() == before


def test_held_out_prompts_go_out_when_they_are_asked_for(solon: Solon, tmp_path: Path):
    rows = [{**PLAIN[0], "prompt": f"Question {number}?"} for number in range(40)]
    assert solon("import", written(tmp_path / "a.jsonl", rows), *at(tmp_path)) == 0
    for options in ([], ["--split", "holdout"]):
        assert solon("export", tmp_path / f"{len(options)}.jsonl", *options, *at(tmp_path)) == 0
    train, holdout = rows_of(tmp_path / "0.jsonl"), rows_of(tmp_path / "2.jsonl")
    assert {row["split"] for row in train} == {"train"}
    assert {row["split"] for row in holdout} == {"holdout"}
    assert len(train) + len(holdout) == 40
    assert 2 <= len(holdout) <= 15


def test_a_bad_row_is_an_error_and_nothing_is_written(
    solon: Solon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = written(tmp_path / "pairs.jsonl", [*PLAIN, {**PLAIN[0], "chosen": ""}])
    assert solon("import", source, *at(tmp_path / "store")) == 2
    assert "pairs.jsonl line 7: 'answer' is empty" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
    assert solon("import", source, "--skip-bad", "--json", *at(tmp_path / "store")) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["bad"] == 1
    assert "line 7" in printed.err


def test_a_plan_writes_nothing(solon: Solon, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = written(tmp_path / "pairs.jsonl", PLAIN)
    assert solon("import", source, "--plan", *at(tmp_path / "store")) == 0
    assert "6 rows of format preference: 6 pairs, 5 prompts, 5 of them new" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "out.csv"], "end the name in .jsonl or .parquet"),
        (["export", "out.jsonl", "--as", "csv"], "name --as jsonl, parquet, datasets"),
        (["export", "."], "exists and is not empty"),
        (["export", "out.jsonl", "--format", "dpo"], "no format 'dpo'; use preference"),
        (["export", "out.jsonl", "--split", "test"], "--split test: use train, holdout"),
        (["export", "out.jsonl", "--mode", "prose"], "--mode prose: use text_grounded"),
        (["export", "out.jsonl", "--format", "sft", "--from", "all"], "--from all: use references"),
        (
            ["export", "out.jsonl", "--format", "ranking", "--min-margin", "0.1"],
            "--min-margin has no effect on ranking",
        ),
        (["import", "none.jsonl"], "no file none.jsonl"),
        (["import", "a.txt"], "format not known"),
        (["import", "a.jsonl", "--format", "dpo"], "no format 'dpo'"),
        (["import", "a.jsonl", "--scale", "10:1"], "write the lowest and the highest score"),
        (["import", "a.jsonl", "--scale", "1:inf"], "write the lowest and the highest score"),
        (["import", "empty.jsonl"], "holds nothing that could be imported"),
    ],
)
def test_wrong_arguments_are_one_line_and_write_nothing(
    solon: Solon,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a.jsonl", PLAIN)
    (tmp_path / "a.txt").touch()
    (tmp_path / "empty.jsonl").touch()
    before = set(tmp_path.iterdir())
    assert solon(*arguments, *at(tmp_path / "store")) == 2
    assert message in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before


def test_a_full_disk_leaves_the_old_file(
    solon: Solon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source = written(tmp_path / "pairs.jsonl", PLAIN)
    assert solon("import", source, "--holdout", 0, *at(tmp_path / "store")) == 0
    out = tmp_path / "out" / "pairs.jsonl"
    assert solon("export", out, *at(tmp_path / "store")) == 0
    kept = out.read_bytes()

    def fails(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rlhf_core.exchange.containers.json.JSONEncoder.encode", fails)
    assert solon("export", out, *at(tmp_path / "store")) == 2
    assert out.read_bytes() == kept
    assert list(out.parent.iterdir()) == [out]


def test_imported_rankings_are_learnt_from_but_for_held_out_prompts(solon: Solon, tmp_path: Path):
    config = smoke(tmp_path, "preferences.imported.sources=[theirs]")
    with pytest.raises(ConfigError, match="there is no store"):
        count_imported(config)
    rows = [{**PLAIN[0], "prompt": f"Question {number}?"} for number in range(20)]
    source = written(tmp_path / "theirs.jsonl", rows)
    assert solon("import", source, "--holdout", 0.5, "--name", "held", *at(tmp_path)) == 0
    with pytest.raises(ConfigError, match=r"'theirs' is not in .* --name theirs"):
        count_imported(config)
    # Prompts keep the split they came with, whatever share a later import names.
    assert solon("import", source, "--holdout", 0, *at(tmp_path)) == 0
    store = Store(config.store)
    held = store.query("SELECT count(*) AS count FROM prompts WHERE split = 'holdout'")[0]["count"]
    assert 2 < held < 18
    assert count_imported(config) == 20 - held
    (imported,) = wanted_imports(store, config)
    rankings = training_rankings(Cycle(config=config, number=1, run_id="r"), store, "s", "x", [])
    assert {ranking.recipe for ranking in rankings} == {imported.judge_version}
    assert len(rankings) == 20 - held


def test_a_prompt_that_was_deleted_does_not_come_back(solon: Solon, tmp_path: Path):
    rows = [{"prompt": p, "chosen": "a", "rejected": "b"} for p in ("Mine?", "Other?")]
    source = written(tmp_path / "pairs.jsonl", rows)
    store = Store(tmp_path / "solon.duckdb")
    mine = Prompt(text="Mine?", mode=Mode.CREATIVE, split=Split.TRAIN)
    store.append([PromptTombstone(prompt_id=mine.id, user_hash="u")])
    assert solon("import", str(source), *at(tmp_path)) == 0
    assert [row["text"] for row in store.query("SELECT text FROM prompts")] == ["Other?"]
    assert store.counts()["pairs"] == 1


def test_labels_of_one_kind_rank_nothing(solon: Solon, tmp_path: Path):
    config = smoke(tmp_path, "preferences.imported.sources=[labels]")
    labels = [{"prompt": "Why?", "completion": text, "label": True} for text in ("a", "b")]
    assert solon("import", written(tmp_path / "labels.jsonl", labels), *at(tmp_path)) == 0
    with pytest.raises(ConfigError, match="rows of format kto that rank nothing"):
        count_imported(config)
    labels[1]["label"] = False
    source = written(tmp_path / "labels.jsonl", labels)
    assert solon("import", source, "--holdout", 0, *at(tmp_path)) == 0
    assert count_imported(config) == 1


@pytest.mark.parametrize(
    "kind", ["preference", "preference, conversational", "ranking", "sft", "kto"]
)
def test_an_export_that_comes_back_is_known(
    imported: tuple[Path, dict[str, str]], tmp_path: Path, solon: Solon, kind: str
):
    """Rows that were changed on the way are facts from elsewhere."""
    folder, runs = imported
    form = kind.split(",")[0]
    out = tmp_path / "out.jsonl"
    assert solon("export", out, "--format", form, "--run", runs[kind], *at(folder)) == 0
    found = _import(folder / "solon.duckdb", ImportSource(out), "again", 0.0, plans=True)
    count = len(ROWS[kind])
    assert (found["rows"], found["left_out"]) == (0, {"in this store already": count})
    first, *rest = rows_of(out)
    name = WORDS[cast(Form, form)][-1] if form != "ranking" else "answers"
    first[name] = first[name][::-1] if form == "ranking" else said("", "Changed.")[1:]
    if form == "ranking":
        # An order that came without utilities goes out without them.
        assert sorted(row["utilities"] is None for row in (first, *rest)) == [False, True]
        first["utilities"] = first["utilities"] and [-u for u in first["utilities"][::-1]]
    elif isinstance(first["prompt"], str):
        first[name] = "Changed."
    changed = ImportSource(written(out, [first, *rest]))
    found = _import(folder / "solon.duckdb", changed, "again", 0.0, plans=True)
    assert (found["rows"], found["left_out"].get("in this store already", 0)) == (1, count - 1)


@pytest.mark.extra("presidio_analyzer")
def test_the_rules_of_the_config_hold_and_are_told(
    solon: Solon, tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
):
    rows = [{**PLAIN[0], "chosen": "Ask ann@example.com."}, PLAIN[1]]
    source = written(tmp_path / "pairs.jsonl", rows)
    place = at(store.files.database.parent)
    assert solon("import", source, "--plan", *place) == 0
    assert "personal data: not looked for (prompts.privacy.policy is off)" in (
        capsys.readouterr().err
    )
    masks = ("--set", "prompts.privacy.policy=mask")
    assert solon("import", source, "--json", *masks, *place) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["personal_data"] == {"email": 1}
    assert "personal data: 1 email, masked" in printed.err
    kept = store.query("SELECT kind, action, prompts, spans FROM privacy_summary")
    assert kept == [{"kind": "email", "action": "masked", "prompts": 1, "spans": 1}]
    assert store.query("SELECT * FROM candidates WHERE text LIKE '%@%'") == []
