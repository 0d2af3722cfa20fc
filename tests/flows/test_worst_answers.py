"""Answers of a hack that its repair takes: evidence, then liked by the reward alone."""

from pathlib import Path

from flows.guard.hacks import Hack, worst_answers
from rlhf_core.records import GuardAlarm, Outcome, RolloutRecord, RolloutVerdict
from rlhf_core.store import Store

POLICY = "policy-1"


def rollout(prompt: str, row: int, score: float | None, text: str = "") -> RolloutRecord:
    return RolloutRecord(
        model_id=POLICY,
        step=2,
        row=row,
        prompt_id=prompt,
        text=text or f"answer {row}",
        score=score,
        kl=1.0,
        completion_tokens=2,
        finish_reason="eos",
    )


def verdict(answer: RolloutRecord, score: float | None) -> RolloutVerdict:
    return RolloutVerdict(
        model_id=POLICY,
        rollout_id=answer.id,
        judge="guard",
        judge_version="guard-1",
        role="guard",
        outcome=Outcome.UNAVAILABLE if score is None else Outcome.SCORED,
        score=score,
    )


def taken(tmp_path: Path, answers: dict[RolloutRecord, float | None], count: int) -> list[int]:
    store = Store(tmp_path / "solon.duckdb")
    store.append([*answers, *(verdict(answer, score) for answer, score in answers.items())])
    alarm = GuardAlarm(
        model_id=POLICY,
        step=2,
        detector="length",
        value=9.0,
        threshold=5.0,
        kl=1.0,
        action="stop",
        reason="length: longer",
        evidence=(next(iter(answers)).id,),
    )
    hack = Hack(POLICY, (alarm,))
    found = worst_answers(store, hack, 3, {answer.prompt_id for answer in answers}, count)
    return [answer.row for answer in found]


def test_answers_that_the_reward_likes_and_the_judge_does_not_follow_the_evidence(tmp_path: Path):
    """By hand, ranks of reward less ranks of judge: row 1 has (0 − 2)/3, row 2 (2 − 0)/3, row 0 0.

    Row 3, whose verdict is missing, is not taken for the least liked one.
    """
    answers = {
        rollout("a", 0, 2.0): 0.5,
        rollout("b", 1, 1.0): 0.9,
        rollout("c", 2, 3.0): 0.1,
        rollout("d", 3, 9.0): None,
    }
    assert taken(tmp_path, answers, 10) == [0, 2, 1, 3]


def test_each_prompt_comes_before_any_comes_twice_and_equal_texts_once(tmp_path: Path):
    answers = {
        rollout("a", 0, 2.0, "same"): 0.5,
        rollout("a", 1, 3.0, "same"): 0.4,
        rollout("a", 2, 4.0): 0.1,
        rollout("b", 3, 1.0): 0.9,
    }
    assert taken(tmp_path, answers, 10) == [0, 3, 2]
    assert taken(tmp_path / "other", answers, 1) == [0]
