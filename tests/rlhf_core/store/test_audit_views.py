"""The audit views, each on facts whose result is counted by hand."""

import json
import re

import pytest

from rlhf_core.preferences.ranking import pairs_of, rank
from rlhf_core.preferences.votes import Combination
from rlhf_core.records import (
    ConfigVersion,
    CycleRun,
    ModelKind,
    ModelVersion,
    Outcome,
    Presented,
    Revision,
    Split,
    SpotCheck,
    StageRun,
)
from rlhf_core.store import Store, reading
from tests.conftest import ROOT
from tests.facts import candidate, prompt
from tests.rlhf_core.store.judged import ASKED, JUDGEMENTS, LONG, SHORT, contest, judged, judgement

QUERIES = sorted((ROOT / "deploy" / "queries").glob("*.sql"))


def later(store: Store, run_id: str) -> Store:
    return Store(store.files.database, run_id=run_id)


def test_a_pair_with_both_texts_and_every_vote(filled: Store):
    found = {row["judge"]: row for row in filled.query("SELECT * FROM pair_votes")}
    assert set(found) == {"one", "other", "pairwise"}
    assert {row["left_text"] for row in found.values()} == {LONG.text}
    assert {row["label"] for row in found.values()} == {"left"}
    assert [found[judge]["is_counted"] for judge in ("one", "other")] == [True, False]
    assert (found["one"]["left_score"], found["one"]["right_score"]) == (0.9, 0.2)
    assert found["pairwise"]["left_when_first"] == 0.9
    assert found["pairwise"]["left_when_second"] == pytest.approx(0.3)


def test_messages_of_prompts_stand_in_the_order_in_which_the_model_reads_them(filled: Store):
    system, user, answer = (
        {"role": role, "content": role[0]} for role in ("system", "user", "assistant")
    )
    calls = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]
    call = {"role": "assistant", "content": None, "tool_calls": calls}
    asked = prompt(
        "d",
        messages=json.dumps([system, user, call, {"role": "tool", "content": "t"}]),
        few_shot=json.dumps([user, answer]),
    )
    single = prompt("alone", few_shot=json.dumps([user, answer]))
    filled.append([asked, single])
    sql = "SELECT * FROM prompt_messages WHERE prompt_id = ? ORDER BY position"
    rows = filled.query(sql, [asked.id])
    assert [row["position"] for row in rows] == list(range(6))
    assert [row["role"][0] for row in rows] == list("suauat")
    assert [row["content"] for row in rows] == ["s", "u", "a", "u", None, "t"]
    assert [row["is_example"] for row in rows] == [False, True, True, False, False, False]
    assert [row["tool_calls"] and json.loads(row["tool_calls"]) for row in rows] == [
        *(None,) * 4, calls, None
    ]  # fmt: skip
    rows = filled.query(sql, [single.id])
    assert [(row["role"], row["content"], row["is_example"]) for row in rows] == [
        ("user", "u", True),
        ("assistant", "a", True),
        ("user", "alone", False),
    ]


def test_reasons_of_both_sides_stand_beside_a_vote(filled: Store):
    said = [
        judgement("wordy", LONG, 0.5, reason="fine"),
        judgement("wordy", SHORT, 0.1, reason="short"),
    ]
    filled.append(said)
    rows = filled.query("SELECT judge, rationale FROM judge_votes ORDER BY judge DESC LIMIT 2")
    assert rows[0] == {"judge": "wordy", "rationale": "fine | short"}
    assert rows[1]["rationale"] is None


def test_a_contest_read_in_one_order_is_no_vote(store: Store):
    """A preference for a position would not cancel out, just as in the making of pairs."""
    kept = [fact for fact in judged() if getattr(fact, "presented", None) != Presented.REVERSED]
    store.append(kept)
    assert store.query("SELECT * FROM judge_votes WHERE judge = 'pairwise'") == []


def test_who_prefers_what_was_rejected(filled: Store):
    (row,) = filled.query("SELECT * FROM dissenting_votes")
    assert (row["judge"], row["label"], row["margin"]) == ("other", "left", pytest.approx(-0.5))


def test_what_members_of_a_jury_said(store: Store):
    said = {
        "members": [
            {"name": "a", "outcome": "first", "probability": 0.8, "reason": None},
            {"name": "b", "outcome": "second", "probability": 0.3, "reason": "shorter"},
            {"name": "c", "outcome": None, "reason": "not its mode"},
        ],
        "spread": 0.5,
    }
    heard = contest(LONG, SHORT, 0.7, Presented.FORWARD)
    store.append([heard.model_copy(update={"raw_output": json.dumps(said)})])
    rows = store.query("SELECT * FROM jury_members ORDER BY member")
    assert [row["is_overruled"] for row in rows] == [False, True, None]
    assert (rows[1]["member_probability"], rows[1]["member_reason"]) == (0.3, "shorter")


def test_agreement_says_who_and_how_many_were_undecided(filled: Store):
    filled.append([judgement("same", of, 0.5) for of in (LONG, SHORT)])
    filled.append([judgement("same", SHORT, 0.5), judgement("even", LONG, 0.5)])
    rows = filled.query("SELECT * FROM judge_agreement ORDER BY judge, other_judge")
    assert [(row["judge_name"], row["other_judge_name"]) for row in rows] == [
        ("one", "other"),
        ("one", "pairwise"),
        ("other", "pairwise"),
    ]
    assert [row["undecided"] for row in rows] == [0, 0, 0]


def test_biases_by_judge_and_week(filled: Store):
    (position,) = filled.query("SELECT * FROM position_bias_by_week")
    assert (position["judge"], position["comparisons"], position["chose_first"]) == (
        "pairwise",
        2,
        1,
    )
    assert position["mean_probability"] == pytest.approx(0.8)
    assert position["week"].weekday() == 0
    found = filled.query("SELECT judge, longer_preferred FROM length_bias_by_week ORDER BY judge")
    assert [tuple(row.values()) for row in found] == [("one", 1), ("other", 0), ("pairwise", 1)]


def test_a_label_that_changes_under_other_judges_is_drift(filled: Store):
    combination = Combination({"other-1": 1.0}, 0.02)
    ranking = rank([LONG, SHORT], JUDGEMENTS, combination)
    assert ranking is not None
    assert filled.query("SELECT * FROM label_drift") == []
    again = pairs_of(ranking, [LONG, SHORT], JUDGEMENTS, combination, "second")
    later(filled, "second").append([ranking, *again])
    (row,) = filled.query("SELECT * FROM label_drift")
    assert (row["label"], row["later_label"]) == ("left", "right")
    assert (row["run_id"], row["later_run_id"]) == ("test", "second")
    assert (row["judge_versions"], row["later_judge_versions"]) == (["one-1"], ["other-1"])


def test_two_versions_of_a_judge_are_compared_on_the_same_candidates(filled: Store):
    mended = [
        judgement("one", LONG, 0.7, judge_version="one-2"),
        judgement("one", SHORT, 0.4, judge_version="one-2"),
    ]
    filled.append(mended)
    (row,) = filled.query("SELECT * FROM judge_drift")
    assert (row["judge"], row["candidates"]) == ("one", 2)
    assert row["mean_shift"] == pytest.approx(0)
    assert row["mean_change"] == pytest.approx(0.2)


def test_what_was_never_judged(filled: Store):
    unread = candidate("unread", 7, prompt_id=ASKED.id)
    filled.append(
        [
            prompt("Never?"),
            unread,
            candidate("never", 8, prompt_id=ASKED.id),
            judgement("silent", unread, None, outcome=Outcome.UNPARSED),
        ]
    )
    (row,) = filled.query("SELECT * FROM unjudged_prompts")
    assert (row["prompt"], row["has_candidates"]) == ("Never?", False)
    rows = filled.query("SELECT text, without_opinion FROM unjudged_candidates ORDER BY text")
    assert [tuple(row.values()) for row in rows] == [("never", 0), ("unread", 1)]


def test_prompts_of_the_same_words_and_of_nearly_the_same(store: Store):
    store.append(
        [
            prompt("What is the capital of France, and why?"),
            prompt("what is the capital of  France and why", split=Split.HOLDOUT),
            prompt("What is the capital of Spain, and why?"),
            prompt("What is the capital of France, and why not?"),
            prompt("Who wrote it?"),
        ]
    )
    (same,) = store.query("SELECT * FROM duplicate_prompts")
    assert (same["copies"], set(same["splits"])) == (2, {"train", "holdout"})
    near = store.query("SELECT DISTINCT jaccard FROM near_duplicate_prompts ORDER BY 1")
    # Of eight words seven are shared with "… not", and seven of nine with "Spain" are too few.
    assert [row["jaccard"] for row in near] == [pytest.approx(8 / 9), 1.0]


def test_answers_of_the_same_words(filled: Store):
    filled.append([candidate(" A  b c\nd", 4, prompt_id=ASKED.id), candidate("a b c d", 4)])
    (row,) = filled.query("SELECT * FROM duplicate_candidates")
    assert (row["prompt_id"], row["copies"]) == (ASKED.id, 2)
    assert row["candidate_ids"][0] == LONG.id


def test_judges_that_are_constant_and_flip(filled: Store):
    others = [candidate(f"{n}", n, prompt_id=ASKED.id) for n in range(2, 30)]
    filled.append([*others, *(judgement("flat", one, 0.5) for one in others)])
    assert filled.query("SELECT judge, reasons FROM suspicious_judges ORDER BY judge") == [
        {"judge": "flat", "reasons": ["constant"]},
        {"judge": "pairwise", "reasons": ["flips between orders"]},
        {"judge": "silent", "reasons": ["often unparsed"]},
    ]


def test_outages_of_a_judge_until_they_are_made_up_for(store: Store):
    """Three answers of five were missing, for two reasons; a later run got one of them."""
    answers = [candidate(f"{n}", n, prompt_id=ASKED.id) for n in range(5)]
    gone = {"outcome": Outcome.UNAVAILABLE, "attempt": "first"}
    store.append(
        [
            ASKED,
            *answers,
            judgement("remote", answers[0], 0.5),
            judgement("remote", answers[1], None, outcome=Outcome.UNPARSED, reason="no label"),
            *(judgement("remote", one, None, reason="HTTP 404", **gone) for one in answers[2:4]),
            judgement("remote", answers[4], None, reason="time-out", **gone),
            judgement("other", answers[0], 0.5),
        ]
    )
    later(store, "second").append([judgement("remote", answers[2], 0.25)])
    (row,) = store.query("SELECT * FROM judge_outages")
    assert (row["judge"], row["judgements"]) == ("remote", 5)
    assert (row["unavailable"], row["unparsed"], row["still_missing"]) == (3, 1, 2)
    assert row["commonest_reason"] == "HTTP 404"
    (health,) = store.query("SELECT * FROM judge_health WHERE judge = 'remote'")
    assert health["unavailable_share"] == 0.5
    (suspect,) = store.query("SELECT reasons FROM suspicious_judges")
    assert suspect["reasons"] == ["often unavailable"]


def test_costs_by_judge_and_by_stage(store: Store):
    held = prompt("Held?", split=Split.HOLDOUT)
    tested = candidate("tested", 0, prompt_id=held.id, cost_usd=0.5)
    spent = {"cost_usd": 0.25, "prompt_tokens": 10, "completion_tokens": 2, "latency_seconds": 3}
    store.append([ASKED, held, LONG, tested])
    store.append([judgement("one", LONG, 1, **spent)])
    store.append([judgement("one", tested, 1, **spent, prompt_id=held.id)])
    store.append(
        [Revision(prompt_id=ASKED.id, reviser="r", model="m", round=0, text="", cost_usd=1)]
    )
    store.append(
        [StageRun(line="h", config_hash="h", cycle=1, stage="judge", seconds=9, detail="{}")]
    )
    (judge,) = store.query("SELECT * FROM judge_costs")
    assert (judge["judgements"], judge["cost_usd"], judge["seconds"]) == (2, 0.5, 6)
    found = store.query("SELECT stage, calls, cost_usd, seconds FROM stage_costs ORDER BY stage")
    assert [tuple(row.values()) for row in found] == [
        ("evaluate", 2, 0.75, None),
        ("judge", 1, 0.25, 9),
        ("revise", 1, 1.0, None),
        ("sample", 1, 0.0, None),
    ]


def begun(store: Store, run: str, line: str, cycle: int, deciding: dict[str, object]) -> Store:
    """A run of a cycle with that config; its own store."""
    told = json.dumps(deciding)
    config = ConfigVersion(config_hash=told, config=told, deciding=told)
    one = CycleRun(line=line, cycle=cycle, config_hash=told, source="", attempt=run)
    ours = later(store, run)
    ours.append([config, one])
    return ours


def test_what_changed_between_two_cycles(store: Store):
    """A spot-check session between them, or another line's cycle, is no cycle of this line's."""
    ids = {name: "x" for name in ("pair_id", "prompt_id", "left_id", "right_id", "shown_left")}
    checked = SpotCheck(**ids, person="me", verdict="left", strategy="random", seconds=1, round=1)
    begun(store, "first", "a", 1, {"training": {"steps": 1}})
    later(store, "session").append([checked])
    begun(store, "other", "b", 1, {"training": {"steps": 9}})
    begun(store, "second", "a", 2, {"training": {"steps": 2}})
    # Resumed: both runs are the same cycle.
    begun(store, "third", "a", 2, {"training": {"steps": 2}}).append([judgement("one", LONG, 0.5)])
    found = store.query("SELECT * FROM run_changes ORDER BY what")
    assert [tuple(row.values()) for row in found] == [
        ("a", 2, 1, "judge one one-1", None, "1"),
        ("a", 2, 1, "rows of cycle_runs", "1", "2"),
        ("a", 2, 1, "rows of judgements", None, "1"),
        ("a", 2, 1, "setting $.training.steps", "1", "2"),
    ]


def test_edits_of_a_config_are_told(store: Store):
    """Each edit by line and cycle, back and forth too; what stays the same is not."""
    few, many = {"training": {"steps": 1}, "seed": 1}, {"training": {"steps": 2, "ema": 0.9}}
    begun(store, "r1", "a", 1, few)
    begun(store, "r2", "b", 1, many)
    begun(store, "r3", "a", 2, few)
    begun(store, "r4", "a", 3, many)
    begun(store, "r5", "a", 4, few)
    found = store.query(
        "SELECT line, cycle, setting, former, value FROM config_changes ORDER BY cycle, setting"
    )
    assert [tuple(row.values()) for row in found] == [
        ("a", 3, "seed", "1", None),
        ("a", 3, "training.ema", None, "0.9"),
        ("a", 3, "training.steps", "1", "2"),
        ("a", 4, "seed", None, "1"),
        ("a", 4, "training.ema", "0.9", None),
        ("a", 4, "training.steps", "2", "1"),
    ]


def test_models_are_told_by_line_and_cycle(store: Store):
    made = ModelVersion(kind=ModelKind.SFT, base="b", recipe="{}", config_hash="c")
    imported = ModelVersion(kind=ModelKind.EXTERNAL, base="b", recipe="{}", config_hash="c")
    begun(store, "r1", "a", 3, {}).append([made])
    later(store, "r2").append([imported])
    found = store.query("SELECT model_id, line, cycle FROM model_runs ORDER BY line NULLS LAST")
    assert [tuple(row.values()) for row in found] == [
        (made.id, "a", 3),
        (imported.id, None, None),
    ]


def test_over_abstaining_judges_are_told(filled: Store):
    filled.append(
        [judgement("shy", LONG, None, outcome=Outcome.ABSTAINS), judgement("shy", SHORT, 1)]
    )
    (row,) = filled.query("SELECT * FROM over_abstaining")
    assert (row["who"], row["name"], row["asked"], row["share"]) == ("judge", "shy", 2, 0.5)


def test_every_named_query_runs_on_an_empty_store(store: Store):
    ask_all(store)


def test_every_named_query_runs_on_facts(filled: Store):
    ask_all(filled)


def ask_all(store: Store) -> None:
    """A file's first line says what it answers, the next ones what to filter by."""
    with reading(store.files.database) as snapshot:
        for path in QUERIES:
            sql = path.read_text()
            assert sql.startswith("-- "), path
            defaults = re.findall(r"^-- \$(\w+)(?: = ([^:]*\S))?: ", sql, re.MULTILINE)
            parameters = {
                name: int(value) if value.isdigit() else value or "none" for name, value in defaults
            }
            assert snapshot.query(sql, parameters).columns, path
