"""`solon spot-check` as a person uses it; lines stand for the keys of a terminal."""

import io
import json
import sys
from pathlib import Path

import pytest

from flows.audit import spot_check_session
from flows.terminal.progress import new_console
from rlhf_core.preferences.ranking import pairs_of, rank
from rlhf_core.preferences.spot_checks import PairToCheck, choose
from rlhf_core.preferences.votes import Combination
from rlhf_core.records import ConfigVersion, Judgement, Mode, Outcome, SpotCheck, Strategy
from rlhf_core.records.turns import Turn
from rlhf_core.store import Store
from rlhf_core.store.audit.spot_checks import checkable
from tests.facts import candidate, checkable_pair, prompt
from tests.flows.test_cli import call

HOSTILE = "\x1b[2J[red]bad[/red]"
WORTH = {"long answer": 0.9, HOSTILE: 0.2}


@pytest.fixture
def filled(store: Store) -> Store:
    """Three prompts, two answers each: by `one` the long answer is better, by `other` worse."""
    combination = Combination({"one-1": 2.0, "other-1": 1.0}, 0.02)
    facts = [ConfigVersion(config_hash="hash", config="{}")]
    for n in range(3):
        asked = prompt(f"Question {n}?", context="A given text.", mode=Mode.TEXT_GROUNDED)
        answers = [candidate(f"{w} {n}", i, prompt_id=asked.id) for i, w in enumerate(WORTH)]
        said = [
            Judgement(
                prompt_id=asked.id,
                judge=judge,
                judge_version=f"{judge}-1",
                candidate_id=answer.id,
                outcome=Outcome.SCORED,
                score=score if judge == "one" else 1 - score,
            )
            for judge in ("one", "other")
            for answer, score in zip(answers, WORTH.values(), strict=True)
        ]
        ranking = rank(answers, said, combination)
        assert ranking is not None
        pairs = pairs_of(ranking, answers, said, combination, "hash")
        facts += [asked, *answers, *said, ranking, *pairs]
    store.append(facts)
    return store


def check(monkeypatch, store: Store, lines: str, *options: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    where = ("--set", f"store={store.files.database}", "--person", "ada")
    return call(monkeypatch, "spot-check", *where, *options)


def test_every_answer_is_kept_at_once_and_the_rest_is_asked_later(monkeypatch, capsys, filled):
    assert check(monkeypatch, filled, "1\n0\n", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"person": "ada", "asked": 3, "answered": 2}
    kept = filled.rows(SpotCheck)
    assert kept[0].verdict == ("left" if kept[0].shown_left == kept[0].left_id else "right")
    assert kept[1].verdict == "tie"
    assert check(monkeypatch, filled, "u\n2\n") == 0
    assert "1 of 1 pairs answered" in capsys.readouterr().out
    assert filled.rows(SpotCheck)[2].verdict == "unsure"
    assert check(monkeypatch, filled, "") == 0
    assert "no pair that ada has not checked" in capsys.readouterr().out


def test_back_asks_again_and_a_note_is_kept_with_the_verdict(monkeypatch, filled):
    assert check(monkeypatch, filled, "x\n1\nb\nn\nit's longer\n0\nq\n1\n") == 0
    first, again = filled.rows(SpotCheck)
    assert (first.pair_id, first.round, first.note) == (again.pair_id, 1, None)
    assert (again.verdict, again.round, again.note) == ("tie", 2, "it's longer")


def test_a_conversation_is_shown_turn_by_turn(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.StringIO("q\n"))
    turns = (Turn("system", "Be brief."), Turn("user", "Why\x1b[2J?"))
    check = PairToCheck(checkable_pair("a", "b", turns=turns), Strategy.RANDOM)
    store = Store(tmp_path / "solon.duckdb")
    assert spot_check_session.check_pairs(store, [check], "ada", new_console()) == 0
    assert "system: Be brief.\nuser: Why\\x1b[2J?\n" in capsys.readouterr().out


def test_the_screen_shows_words_and_nothing_of_the_judges(monkeypatch, capsys, filled):
    """Neither names, versions, scores, outcome nor strategy; control characters as text."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n1\n1\n"))
    checks = choose(checkable(filled, "ada"), 3, "mixed", seed=0)
    assert spot_check_session.check_pairs(filled, checks, "ada", new_console()) == 3
    printed = capsys.readouterr().out
    for words in ("Question 1?", "A given text.", "long answer 1", r"\x1b[2J[red]bad[/red] 1"):
        assert words in printed
    assert "\x1b" not in printed
    assert "pair 2 of 3" in printed
    hidden = ["one", "other", "0.9", "0.35", "chosen", "rejected", "disagree", "margin", "random"]
    assert [word for word in hidden if word in printed] == []


def test_keys_are_read_from_a_terminal_without_enter(monkeypatch, filled):
    keys = iter("2u")

    def press() -> str:
        try:
            return next(keys)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(spot_check_session.typer, "getchar", press)
    checks = choose(checkable(filled, "ada"), 3, "random", seed=0)
    assert spot_check_session.check_pairs(filled, checks, "ada", new_console()) == 2


def answer_all(store: Store, person: str, wanted: str) -> None:
    from rlhf_core.records import HumanVerdict
    from rlhf_core.store.audit.spot_checks import record

    for each in choose(checkable(store, person), 3, "mixed", seed=0):
        said = HumanVerdict(wanted)
        record(store, each, person, each.pair.verdict(said, person), 2.0)


def test_the_report_sets_judges_label_and_people_side_by_side(monkeypatch, capsys, filled):
    """Ada chooses the left, long answer three times, Bob the right one.

    So `one` and the label agree with three of six, `other` with the other three, and one in two on
    each of three prompts: the quantiles of Beta(n/2 + ½, n/2 + ½), where n = 3 (1.960 / 4.303)²,
    as three prompts that are all alike show no variance. Ada and bob never agree:
    alpha = 1 − 5 · 6 / 18.
    """
    answer_all(filled, "ada", "left")
    answer_all(filled, "bob", "right")
    filled.publish()
    assert check(monkeypatch, filled, "", "--report", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    shares = {row["judge"]: row["agreement"] for row in found["judges"]}
    assert set(shares) == {"one", "other", "final label"}
    for agreement in shares.values():
        assert (agreement["value"], agreement["n"]) == (0.5, 6)
        assert agreement["low"] == pytest.approx(0.0133, abs=1e-3)
        assert agreement["high"] == pytest.approx(0.9867, abs=1e-3)
    (people,) = found["people"]
    assert (people["agreement"]["value"], people["agreement"]["n"]) == (0.0, 3)
    assert found["krippendorff_alpha"] == pytest.approx(1 - 5 * 6 / 18)
    assert {row["facet"] for row in found["facets"]["mode"]} == {"text_grounded"}
    assert {row["facet"] for row in found["facets"]["strategy"]} == {
        "disagreement",
        "low_margin",
        "high_weight",
    }
    assert len({row["facet"] for row in found["facets"]["week"]}) == 1
    assert found["disputes"][0]["people"] == ["ada: left", "bob: right"]
    assert (found["disputes"][0]["against"], found["disputes"][0]["votes"]) == (2, 4)
    assert check(monkeypatch, filled, "", "--report") == 0
    printed = capsys.readouterr().out
    assert "0.50 (0.01–0.99), n 6" in printed
    assert "ada: 3 pairs (3 left)" in printed
    assert "\x1b" not in printed


def test_a_report_without_checks_says_how_to_begin(monkeypatch, capsys, filled):
    assert check(monkeypatch, filled, "", "--report") == 0
    assert "no pair was checked yet" in capsys.readouterr().out


def test_no_store_is_an_error_and_makes_none(monkeypatch, capsys, tmp_path: Path):
    where = ("--set", f"store={tmp_path / 'none.duckdb'}")
    assert call(monkeypatch, "spot-check", *where) == 1
    assert "`solon run CONFIG` makes one" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
