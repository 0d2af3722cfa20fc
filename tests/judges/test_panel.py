from collections.abc import Sequence

import pytest

from judges.panel.judge import Answer, Contest, Opinion, scored, verdict
from judges.panel.panel import JudgementTask, Panelist, combination, ranking_tasks
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.records import Mode, Outcome, Presented
from tests.facts import candidate, prompt

ASKED = prompt("Why?")
CANDIDATES = [candidate(text, index) for index, text in enumerate(("one", "two", "three"))]


def panelist(kind: str = "brevity", **settings: object) -> Panelist:
    return Panelist(JudgeSettings.model_validate({"kind": kind, **settings}))


def test_a_pointwise_judge_sees_each_candidate_once():
    tasks = ranking_tasks(panelist(), ASKED, CANDIDATES)
    assert [task.candidate.id for task in tasks] == [c.id for c in CANDIDATES]
    assert {task.presented for task in tasks} == {Presented.ALONE}


def test_a_pairwise_judge_sees_every_two_in_both_orders():
    judge = panelist("pairwise", model="tiny-random")
    tasks = ranking_tasks(judge, ASKED, CANDIDATES)
    assert len(tasks) == judge.calls(3) == 6
    shown = {(t.candidate.sample_index, t.opponent.sample_index): t.presented for t in tasks}
    assert shown[0, 1] is Presented.FORWARD
    assert shown[1, 0] is Presented.REVERSED


def test_what_is_known_is_not_asked_again():
    judge = panelist()
    tasks = ranking_tasks(judge, ASKED, CANDIDATES)
    first = judge.judge(tasks[:2], attempt="run")
    assert judge.missing(tasks, {judgement.id for judgement in first}) == tasks[2:]


def test_one_question_that_several_comparisons_need_is_asked_once():
    judge = panelist()
    tasks = ranking_tasks(judge, ASKED, CANDIDATES)
    assert judge.missing([tasks[0], tasks[1], tasks[0], tasks[2], tasks[1]], set()) == tasks


def test_a_judge_sees_only_prompts_of_its_modes():
    judge = panelist(modes=["creative"])
    creative = prompt("Write.", mode=Mode.CREATIVE)
    tasks = [JudgementTask(ASKED, CANDIDATES[0]), JudgementTask(creative, CANDIDATES[1])]
    assert judge.missing(tasks, set()) == tasks[1:]


def test_a_judgement_says_who_judged_what_and_how():
    judge = panelist(name="short")
    (judgement,) = judge.judge([JudgementTask(ASKED, CANDIDATES[0])], attempt="run")
    assert (judgement.judge, judgement.judge_version) == ("short", judge.version)
    assert (judgement.prompt_id, judgement.candidate_id) == (ASKED.id, CANDIDATES[0].id)
    assert judgement.outcome is Outcome.SCORED
    assert judgement.attempt == ""


def test_a_judge_is_told_which_answers_were_cut_off(monkeypatch: pytest.MonkeyPatch):
    """A reward model must not read an end where there was none."""
    cut = candidate("one", 3, finish_reason="length")
    judge = panelist()
    seen: list[bool] = []

    def score(answers: Sequence[Answer]) -> list[Opinion]:
        seen.extend(answer.is_finished for answer in answers)
        return [scored(0.5) for _ in answers]

    monkeypatch.setattr(judge._judge, "score", score)
    judge.judge([JudgementTask(ASKED, one) for one in (CANDIDATES[0], cut)], attempt="")
    assert seen == [True, False]
    judge = panelist("jury", judges=[{"kind": "brevity"}, {"kind": "verifier"}])

    def compare(contests: Sequence[Contest]) -> list[Opinion]:
        seen.extend(a.is_finished for contest in contests for a in contest.answers)
        return [verdict(0.5) for _ in contests]

    monkeypatch.setattr(judge._judge, "compare", compare)
    judge.judge(
        [JudgementTask(ASKED, CANDIDATES[0], cut), JudgementTask(ASKED, cut, CANDIDATES[0])],
        attempt="",
    )
    assert seen[2:] == [True, False, False, True]


def test_only_what_was_unavailable_is_asked_again(monkeypatch: pytest.MonkeyPatch):
    """The row of an unavailable verdict names the attempt, so the next run's is another row."""
    judge = panelist("verifier", metric="regex", pattern="(a|aa)+$")
    monkeypatch.setattr("judges.verifier.PATTERN_TIMEOUT_SECONDS", 0.02)
    task = JudgementTask(ASKED, candidate("a" * 40 + "b"))
    first, second = (judge.judge([task], attempt=run)[0] for run in ("one", "two"))
    assert first.outcome is Outcome.UNAVAILABLE
    assert first.id != second.id
    assert judge.missing([task], {first.id}) == [task]


def test_a_weight_of_zero_decides_nothing():
    panel = [panelist(name="a", weight=2), panelist("verifier", weight=0)]
    combined = combination(panel, 0.1)
    assert combined.weights == {panel[0].version: 2.0}
    assert combined.tie_margin == 0.1


def test_a_judge_that_scores_has_a_scale_and_one_that_compares_has_none():
    panel = [panelist(name="a", scale=0.3), panelist("verifier", scale=0.2, weight=0)]
    assert combination(panel, 0.1).scales == {panel[0].version: 0.3}
    with pytest.raises(ConfigError, match=r"'pairwise' compares answers .* leave it out"):
        panelist("pairwise", model="tiny-random", scale=0.3)


def test_two_names_of_one_judge_share_their_judgements():
    """A judgement belongs to the judge's version, so renaming a judge repeats no query."""
    one, other = panelist(name="one"), panelist(name="other")
    task = JudgementTask(ASKED, CANDIDATES[0])
    assert one.judge([task], "")[0].id == other.judge([task], "")[0].id


@pytest.mark.parametrize("kind", ["brevity", "pairwise"])
def test_an_answer_that_never_began_is_not_judged(kind: str):
    """Its model spent its tokens on thoughts, say. An empty answer is an answer."""
    judge = panelist(kind, **({} if kind == "brevity" else {"model": "tiny-random"}))
    lost = candidate("", 3, finish_reason="length")
    empty = candidate("", 4, finish_reason="eos")
    tasks = ranking_tasks(judge, ASKED, [CANDIDATES[0], lost, empty])
    for judgement in judge.judge(tasks, attempt="run"):
        is_lost = lost.id in (judgement.candidate_id, judgement.opponent_id)
        assert (judgement.reason == "the answer was cut off before it began") == is_lost
        assert judgement.outcome is Outcome.ABSTAINS or not is_lost
