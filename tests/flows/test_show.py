"""What `solon show` marks, and that it shows."""

import json
from pathlib import Path

import pytest

from flows.cli.show import mark_differences
from rlhf_core.records import ModelKind, ModelVersion
from rlhf_core.store import Store
from tests.facts import candidate, prompt
from tests.flows.test_cli import call
from tests.rlhf_core.store.test_lineage import ANSWERS, FACTS, PAIRS


def test_words_that_differ_are_marked_without_colours_too():
    left, right = mark_differences("the cat sat", "the dog sat down", has_colours=False)
    assert left.plain == "the [-cat-] sat"
    assert right.plain == "the {+dog+} sat{+ down+}"


def test_colours_leave_the_words_alone():
    left, right = mark_differences("a b", "a c", has_colours=True)
    assert (left.plain, right.plain) == ("a b", "a c")
    assert [str(span.style) for span in (*left.spans, *right.spans)] == ["bold red", "bold green"]


def test_an_answer_cannot_steer_the_terminal():
    left, _ = mark_differences("one \x1b[2J", "two", has_colours=False)
    assert "\x1b" not in left.plain


def test_a_candidate_is_shown_to_people_and_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    store = Store(tmp_path / "solon.duckdb")
    told = candidate("[bold]an answer", logprobs=(-1.0, -2.0))
    store.append([prompt(), told])
    arguments = ["show", "candidate", told.id[:9], "--set", f"store={store.files.database}"]
    assert call(monkeypatch, *arguments) == 0
    assert "[bold]an answer" in capsys.readouterr().out
    assert call(monkeypatch, *arguments, "--json") == 0
    assert json.loads(capsys.readouterr().out)["mean_logprob"] == -1.5
    assert call(monkeypatch, "show", "pair", *arguments[2:]) == 2
    assert "looked among pairs" in capsys.readouterr().err


def test_a_pair_is_shown_side_by_side_with_its_votes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    store = Store(tmp_path / "solon.duckdb")
    store.append(FACTS)
    (pair,) = [one for one in PAIRS if {one.left_id, one.right_id} == {a.id for a in ANSWERS[:2]}]
    assert call(monkeypatch, "show", "pair", pair.id, "--set", f"store={store.files.database}") == 0
    printed = capsys.readouterr().out
    assert f"{ANSWERS[0].id}, chosen" in printed
    assert "[-good-]" in printed
    assert "{+bad+}" in printed
    assert printed.count("one-1") >= 2
    record, votes = printed.index("ranking_id"), printed.index("presented")
    assert record < votes
    assert "raw_output" not in printed
    assert ANSWERS[0].id not in printed[votes:]  # which is "left" there


def test_a_models_recipe_is_shown_setting_by_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    store = Store(tmp_path / "solon.duckdb")
    recipe = '{"training": {"kl": {"place": "loss"}}}'
    model = ModelVersion(kind=ModelKind.SFT, base="b", recipe=recipe, config_hash="c")
    store.append([model])
    assert (
        call(monkeypatch, "show", "model", model.id, "--set", f"store={store.files.database}") == 0
    )
    assert "recipe.training.kl.place" in capsys.readouterr().out


def test_a_conversation_is_shown_turn_by_turn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    messages = [
        {"role": "system", "content": "Answer in verse."},
        {"role": "user", "content": "Name a river.\x1b[2J"},
    ]
    examples = [
        {"role": "user", "content": "Name a lake."},
        {"role": "assistant", "content": "Como."},
    ]
    asked = prompt(
        "System: Answer in verse.\n\nHuman: Name a river.",
        messages=json.dumps(messages),
        few_shot=json.dumps(examples),
    )
    told = candidate("The Seine.", prompt_id=asked.id)
    store = Store(tmp_path / "solon.duckdb")
    store.append([asked, told])
    for kind, identity in (("prompt", asked.id), ("candidate", told.id)):
        arguments = ["show", kind, identity, "--set", f"store={store.files.database}"]
        assert call(monkeypatch, *arguments) == 0
        printed = capsys.readouterr().out
        rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines()]
        place = rows.index(["system", "Answer in verse."])
        assert rows[place + 1 : place + 4] == [
            ["example: user", "Name a lake."],
            ["example: assistant", "Como."],
            ["user", "Name a river.\\x1b[2J"],
        ]
        assert "Human:" not in printed
    assert call(monkeypatch, *arguments, "--json") == 0
    shown = json.loads(capsys.readouterr().out)["prompt"]["turns"]
    assert [turn["text"] for turn in shown] == [
        one["content"] for one in (messages[0], *examples, messages[1])
    ]
