"""Prompts on which a stage fails in run after run are left out, until somebody lifts it."""

from pathlib import Path

import pytest

from rlhf_core.errors import IdError
from rlhf_core.records import Failure, Judgement, Outcome, Prompt
from rlhf_core.store import Store
from rlhf_core.store.quarantine import lift, quarantine, quarantined
from tests.facts import candidate, prompt

PROMPTS = [prompt(f"Question {number}?") for number in range(30)]
IDS = [each.id for each in PROMPTS]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Store(tmp_path / "solon.duckdb").append(PROMPTS)
    return tmp_path / "solon.duckdb"


def fail(path: Path, run: str, prompts: list[Prompt], reason: str = "HTTP 400: too long") -> Store:
    store = Store(path, run)
    store.append(
        Failure(stage="sample", subject_id=each.id, reason=reason, attempt=run) for each in prompts
    )
    return store


def answer(path: Path, run: str, prompts: list[Prompt]) -> None:
    store = Store(path, run)
    store.append(candidate("yes", prompt_id=each.id, sampling=run) for each in prompts)


def test_a_prompt_is_left_out_after_so_many_runs(path: Path):
    for run in ("a", "b"):
        fail(path, run, PROMPTS[:1])
    store = Store(path)
    assert quarantine(store, "sample", IDS, 3) == []
    fail(path, "c", PROMPTS[:2])
    (decision,) = quarantine(store, "sample", IDS, 3)
    assert (decision.prompt_id, decision.failures, decision.number) == (IDS[0], 3, 1)
    assert decision.reason == "HTTP 400: too long"
    assert quarantined(store, "sample") == {IDS[0]}
    assert quarantined(store, "revise") == set()
    assert quarantine(store, "sample", IDS, 3) == []


def test_only_the_prompts_of_the_stage_are_left_out(path: Path):
    for run in ("a", "b", "c"):
        store = fail(path, run, PROMPTS[:1])
    assert quarantine(store, "sample", IDS[1:], 3) == []


def test_a_success_in_between_starts_the_count_anew(path: Path):
    for run in ("a", "b"):
        fail(path, run, PROMPTS[:1])
    answer(path, "b2", PROMPTS[:1])
    assert quarantine(fail(path, "c", PROMPTS[:1]), "sample", IDS, 3) == []


def test_answers_of_a_run_that_failed_as_well_are_no_success(path: Path):
    """Three of four candidates are there, and the fourth never comes."""
    for run in ("a", "b", "c"):
        store = fail(path, run, PROMPTS[:1])
        answer(path, run, PROMPTS[:1])
    assert len(quarantine(store, "sample", IDS, 3)) == 1


@pytest.mark.parametrize(
    "reason", ["not sent: 20 requests in a row had failed", "the budget of $1.00 is spent"]
)
def test_what_was_not_sent_is_no_failure_of_the_prompt(path: Path, reason: str):
    for run in ("a", "b", "c"):
        store = fail(path, run, PROMPTS[:1], reason)
    assert quarantine(store, "sample", IDS, 3) == []


def test_an_outage_of_the_server_is_no_failure_of_its_prompts(path: Path):
    """Of 30 prompts, 25 fail and 5 succeed; then 25 fail though 5 more than that had succeeded."""
    for run in ("a", "b", "c"):
        store = fail(path, run, PROMPTS[:25])
    assert quarantine(store, "sample", IDS, 3) == []
    more = [prompt(f"More {number}?") for number in range(30)]
    store.append(more)
    for run in ("d", "e", "f"):
        store = fail(path, run, PROMPTS[:25])
        answer(path, run, more)
    assert len(quarantine(store, "sample", IDS, 3)) == 25


def test_a_judge_fails_on_a_prompt_by_itself(path: Path):
    one = candidate("yes", prompt_id=IDS[0])
    for run in ("a", "b", "c"):
        store = Store(path, run)
        store.append([one])
        for judge, outcome in (("bad", Outcome.UNAVAILABLE), ("good", Outcome.SCORED)):
            store.append(
                [
                    Judgement(
                        prompt_id=IDS[0],
                        judge=judge,
                        judge_version=judge,
                        candidate_id=one.id,
                        outcome=outcome,
                        score=0.5 if outcome is Outcome.SCORED else None,
                        reason="HTTP 400: refused",
                        attempt=run if outcome is Outcome.UNAVAILABLE else "",
                    )
                ]
            )
    assert quarantine(store, "judge", IDS, 3, "good") == []
    (decision,) = quarantine(store, "judge", IDS, 3, "bad")
    assert decision.judge_version == "bad"
    assert quarantined(store, "judge", "bad") == {IDS[0]}


def test_a_prompt_that_is_lifted_is_tried_again_and_counted_from_zero(path: Path):
    for run in ("a", "b", "c"):
        store = fail(path, run, PROMPTS[:1])
    quarantine(store, "sample", IDS, 3)
    decision = lift(store, "sample", IDS[0], "the server takes longer prompts now")
    assert (decision.number, decision.is_lifted) == (2, True)
    assert quarantined(store, "sample") == set()
    assert quarantine(fail(path, "d", PROMPTS[:1]), "sample", IDS, 3) == []
    for run in ("e", "f"):
        store = fail(path, run, PROMPTS[:1])
    (again,) = quarantine(store, "sample", IDS, 3)
    assert again.number == 3
    with pytest.raises(IdError, match="does not leave out the prompt"):
        lift(store, "sample", IDS[1], "why not")
