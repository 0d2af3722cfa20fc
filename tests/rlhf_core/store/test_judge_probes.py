"""Probes are the same questions in every cycle: drawn by hash from a line's first judged cycle."""

from rlhf_core.records import (
    Candidate,
    CycleRun,
    JudgeDrift,
    Judgement,
    JudgeProbe,
    Outcome,
    Split,
)
from rlhf_core.store import Store
from rlhf_core.store.judge_probes import (
    choose_probes,
    deviations_until,
    first_repeats,
    probes_until,
)
from tests.facts import candidate, prompt

PROMPTS = [prompt(f"Question {number}?") for number in range(12)]
ANSWERS = [candidate("Because.", n, prompt_id=asked.id) for asked in PROMPTS for n in range(2)]


def judged(answer: Candidate) -> Judgement:
    return Judgement(
        prompt_id=answer.prompt_id,
        judge="j",
        judge_version="j-1",
        candidate_id=answer.id,
        outcome=Outcome.SCORED,
        score=0.5,
        response_ids=("r",),
    )


def begun(cycle: int, run: str) -> CycleRun:
    return CycleRun(line="l", cycle=cycle, config_hash="c", source="", attempt=run)


def two_cycles(store: Store) -> Store:
    """Judge 10 prompts in the first cycle and 2 in the second."""
    first = Store(store.files.database, "run1")
    first.append([*PROMPTS, *ANSWERS, begun(1, "run1"), *map(judged, ANSWERS[:20])])
    second = Store(store.files.database, "run2")
    second.append([begun(2, "run2"), *map(judged, ANSWERS[20:])])
    return second


def chosen(store: Store, count: int, line: str = "l", split: Split = Split.TRAIN) -> list[str]:
    return [each.id for each in choose_probes(store, line, "j-1", split, count)]


def test_probes_are_of_different_prompts_of_the_first_cycle(store: Store):
    store = two_cycles(store)
    everything = choose_probes(store, "l", "j-1", Split.TRAIN, 32)
    assert {each.prompt_id for each in everything} == {asked.id for asked in PROMPTS[:10]}
    assert len(everything) == 10
    assert chosen(store, 6) == chosen(store, 32)[:6]
    assert chosen(store, 32, split=Split.HOLDOUT) == chosen(store, 32, line="other") == []


def drift(cycle: int, deviation: float | None, line: str = "l", version: str = "j-1"):
    return JudgeDrift(
        line=line,
        cycle=cycle,
        judge="j",
        judge_version=version,
        probes=4,
        unavailable=0,
        noise=deviation,
        deviation=deviation,
        drifted=False,
        reason="",
    )


def test_a_judge_s_deviation_is_the_last_one_measured_on_the_line_until_a_cycle(store: Store):
    """A later cycle does not change what an earlier evaluation counted."""
    store.append([drift(1, 0.1), drift(2, 0.2), drift(3, None), drift(4, 0.4)])
    store.append([drift(1, 0.9, line="other"), drift(2, 0.3, version="j-2")])
    assert deviations_until(store, "l", 1) == {"j-1": 0.1}
    assert deviations_until(store, "l", 3) == {"j-1": 0.2, "j-2": 0.3}
    assert deviations_until(store, "none", 3) == {}


def test_questions_that_were_asked_again_stay_probes(store: Store):
    store = two_cycles(store)
    last = chosen(store, 32)[-1]
    outcomes = {1: Outcome.UNAVAILABLE, 2: Outcome.SCORED, 3: Outcome.SCORED}
    store.append(
        JudgeProbe(
            line="l",
            cycle=cycle,
            judge="j",
            judge_version="j-1",
            judgement_id=last,
            outcome=outcome,
        )
        for cycle, outcome in outcomes.items()
    )
    assert chosen(store, 1) == [last]
    probes = probes_until(store, "l", "j-1", 3)
    assert [probe.cycle for probe in probes] == [1, 2, 3]
    assert [probe.cycle for probe in probes_until(store, "l", "j-1", 2)] == [1, 2]
    assert first_repeats(probes, 3)[last].cycle == 2
    assert first_repeats(probes, 2) == {}
