"""Each check is silent on sound facts and finds the unsound one that is planted."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from rlhf_core.records import (
    GuardAlarm,
    GuardComparison,
    GuardTest,
    JudgeDrift,
    ModelInput,
    ModelKind,
    ModelVersion,
    Outcome,
    Pair,
    Presented,
    Promotion,
    Ranking,
    Record,
    Split,
    StageRun,
)
from rlhf_core.store import Store, reading
from rlhf_core.store.audit.checks import COMMENT, Severity, run_checks
from tests import facts
from tests.facts import candidate, prompt, response
from tests.rlhf_core.store.judged import ASKED, LONG, contest, judged, judgement

PAIR = next(fact for fact in judged() if isinstance(fact, Pair))
RANKING = next(fact for fact in judged() if isinstance(fact, Ranking))
SFT = next(f for f in judged() if isinstance(f, ModelVersion) and f.kind == ModelKind.SFT)
HELD = prompt("Held?", split=Split.HOLDOUT)
EVALUATION = facts.evaluation(
    SFT.id,
    SFT.id,
    judge="one",
    judge_version="one-1",
    win_rate=1.0,
    win_rate_low=1.0,
    win_rate_high=1.0,
)
PROMOTION = Promotion(
    line="hash",
    config_hash="hash",
    cycle=1,
    policy_id=SFT.id,
    baseline_id=SFT.id,
    evaluation_id="nowhere",
    promoted=True,
    reasons=(),
)


def pair(**changes: object) -> Pair:
    """The sound pair with changes, under an id of its own."""
    return Pair.model_validate({**PAIR.model_dump(exclude={"id"}), "ranking_id": "r", **changes})


def many(judge: str, count: int, score: object, **fields: object) -> list[Record]:
    answers = [candidate(f"{n}", 100 + n, prompt_id=ASKED.id) for n in range(count)]
    return [*answers, *(judgement(judge, answer, score, **fields) for answer in answers)]


def contests(count: int) -> list[Record]:
    answers = [candidate(f"{n}", 100 + n, prompt_id=ASKED.id) for n in range(count)]
    heard = [contest(LONG, answer, 0.9, Presented.FORWARD) for answer in answers]
    return [*answers, *heard]


def longer(count: int) -> list[Record]:
    """Pairs of answers of two and three tokens whose longer one is always chosen."""
    facts: list[Record] = []
    for n in range(count):
        two, three = (
            candidate(words, 100 + 2 * n + more, prompt_id=ASKED.id)
            for more, words in enumerate((f"x{n}", f"x{n} y"))
        )
        sides = {"left_id": two.id, "right_id": three.id}
        facts += [two, three, pair(**sides, chosen_id=three.id, rejected_id=two.id)]
    return facts


ALARM = GuardAlarm(
    model_id=SFT.id,
    step=3,
    detector="length",
    value=40.0,
    threshold=30.0,
    kl=2.0,
    action="report",
    reason="length: longer answers",
)
COPY = candidate(LONG.text, 9, prompt_id=ASKED.id)
PLANTED: dict[str, Sequence[Record]] = {
    "constant_judges": many("flat", 20, 0.5),
    "empty_candidates": [candidate(" \n", 9, prompt_id=ASKED.id)],
    "guard_judges": [
        GuardComparison(
            line="l",
            cycle=2,
            policy_id=SFT.id,
            prompt_id=ASKED.id,
            ranking_id=RANKING.id,
            candidate_id=RANKING.candidate_ids[0],
            opponent_id=RANKING.candidate_ids[1],
            outcome="better",
            kept_aside=False,
        )
    ],
    "guard_tests": [
        GuardTest(
            line="l",
            cycle=2,
            model_id=SFT.id,
            policy_id=SFT.id,
            data_hash="h",
            copies=1,
            prompts=8,
            pairs=8,
            preferred=0.5,
            p=0.64,
            passed=False,
        )
    ],
    "guard_alarms": [ALARM, EVALUATION, PROMOTION],
    "holdout_training": [
        HELD,
        ModelInput(model_id=SFT.id, input_table="prompts", input_id=HELD.id),
    ],
    "identical_texts": [COPY, pair(right_id=COPY.id, chosen_id=LONG.id, rejected_id=COPY.id)],
    "judge_drift": [
        JudgeDrift(
            line="l",
            cycle=2,
            judge="one",
            judge_version="one-1",
            probes=8,
            unavailable=0,
            noise=0.0,
            deviation=0.0,
            distance=1.0,
            p=0.0002,
            drifted=True,
            reason="moved",
        )
    ],
    "judgement_ranges": [judgement("loud", LONG, 7.0)],
    "judges_of_both": [EVALUATION],
    "length_bias": longer(50),
    "margins": [pair(margin=2.5)],
    "models_without_inputs": [
        ModelVersion(kind=ModelKind.REWARD, base="b", recipe="{}", config_hash="hash")
    ],
    "negative_amounts": [response("cheap", cost_usd=-1.0)],
    "opinions": [judgement("mute", LONG, None)],
    "opponents": [judgement("alone", LONG, None, outcome=Outcome.FIRST, probability=0.9)],
    "orphans": [candidate("lost", 9, prompt_id="nowhere")],
    "pair_sides": [pair(chosen_id="third")],
    "position_bias": contests(50),
    "promotions": [PROMOTION],
    "split_leaks": [prompt("why", split=Split.HOLDOUT)],
    "stages_without_rows": [
        StageRun(line="hash", config_hash="hash", cycle=1, stage="promote", seconds=1, detail="{}")
    ],
    "token_lengths": [candidate("x", 9, prompt_id=ASKED.id, token_ids=(1, 2), logprobs=(-1.0,))],
    "unfounded_preferences": [pair(judgement_ids=())],
    "unavailable_judges": many("gone", 20, None, outcome=Outcome.UNAVAILABLE, reason="HTTP 404"),
    "unparsed_judges": many("garbled", 20, None, outcome=Outcome.UNPARSED),
    "utilities": [
        Ranking.model_validate(
            {**RANKING.model_dump(exclude={"id"}), "recipe": "r", "utilities": (0.1, 0.9)}
        )
    ],
}


def found(store: Store) -> dict[str, int]:
    with reading(store.files.database) as snapshot:
        return {check.name: check.found for check in run_checks(snapshot) if check.found}


def test_nothing_is_found_in_an_empty_store(store: Store):
    assert found(store) == {}


def test_nothing_is_found_in_sound_facts(filled: Store):
    """A judge that was read not once was asked only once: of so few no share is told."""
    assert found(filled) == {}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(filled: Store, name: str):
    filled.append(PLANTED[name])
    assert filled.query(f"SELECT count(*) AS n FROM check_{name}")[0]["n"] >= 1
    for row in filled.query(f"SELECT what, id, detail FROM check_{name}"):
        assert all(row.values()), row


def test_rows_that_solon_would_not_write_are_found(filled: Store):
    """Stored twice, from the future, outside a closed set: other programs' work."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with duckdb.connect(str(filled.files.database)) as connection:
        connection.execute("INSERT INTO pairs FROM pairs")
        connection.execute(
            "INSERT INTO prompts SELECT * REPLACE ('new' AS id, 'odd' AS mode, $1 AS created_at) "
            "FROM prompts",
            [tomorrow],
        )
    assert filled.query("SELECT * FROM check_duplicate_ids") == [
        {"what": "pairs", "id": PAIR.id, "detail": "2 copies"}
    ]
    assert [row["what"] for row in filled.query("SELECT * FROM check_future_rows")] == ["prompts"]
    assert filled.query("SELECT * FROM check_closed_sets") == [
        {"what": "prompts.mode", "id": "new", "detail": "odd"}
    ]


def test_every_check_has_a_planted_fact_a_severity_and_advice(store: Store):
    """The comment is the only place where they stand."""
    views = store.query(
        "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal "
        "AND view_name LIKE 'check\\_%' ESCAPE '\\'"
    )
    names = {row["view_name"].removeprefix("check_") for row in views}
    assert set(PLANTED) <= names
    assert {"duplicate_ids", "future_rows", "closed_sets"} <= names
    for row in views:
        said = COMMENT.fullmatch(row["comment"])
        assert said is not None, row
        assert said["advice"].endswith("."), row
        columns = store.query(f"DESCRIBE {row['view_name']}")
        assert [column["column_name"] for column in columns] == ["what", "id", "detail"], row


def test_orphans_are_looked_for_in_every_reference(filled: Store):
    filled.append(
        [
            judgement("lost", LONG, 1, prompt_id="p", response_ids=("gone",)),
            pair(judgement_ids=("none",), config_hash="unknown"),
            ModelInput(model_id="no", input_table="rankings", input_id="nil"),
        ]
    )
    details = {row["detail"] for row in filled.query("SELECT detail FROM check_orphans")}
    assert details == {
        "prompt_id p",
        "response_ids gone",
        "judgement_ids none",
        "config_hash unknown",
        "ranking_id r",
        "model_id no",
        "input_id nil",
    }


def test_a_check_counts_all_and_shows_a_few(filled: Store):
    filled.append(many("loud", 5, 7.0))
    filled.publish()
    with reading(filled.files.database) as snapshot:
        checks = {check.name: check for check in run_checks(snapshot)}
    loud = checks["judgement_ranges"]
    assert (loud.found, len(loud.examples), loud.severity) == (5, 3, Severity.ERROR)
    assert loud.examples[0].detail == "loud-1: 7.0"


def test_a_margin_is_no_wider_than_certainty(store: Store):
    """1; before labels were the judges' own word, 4/3 of three; what is imported says up to 2."""
    kinds = {
        ("own", 2, 0.5): (1.0, 1.01),
        ("own", 3, 0.5): (1.0, 1.01),
        ("old", 2, None): (1.0, 1.01),
        ("old", 3, None): (4 / 3, 1.34),
        ("external-1", 2, None): (2.0, 2.01),
    }
    wide = []
    for (recipe, count, model_margin), (widest, too_wide) in kinds.items():
        ids = tuple(f"{recipe}{place}" for place in range(count))
        ranking = RANKING.model_copy(update={"recipe": recipe, "candidate_ids": ids})
        kept, found = (
            pair(ranking_id=ranking.id, left_id=left, margin=margin, model_margin=model_margin)
            for left, margin in (("a", widest), ("b", too_wide))
        )
        store.append([ranking, kept, found])
        wide.append(found.id)
    store.append([pair(ranking_id="other", model_margin=-1.5)])
    found = {row["id"]: row["what"] for row in store.query("SELECT id, what FROM check_margins")}
    assert {id for id, what in found.items() if what == "margin"} == set(wide)
    assert list(found.values()).count("model_margin") == 1
