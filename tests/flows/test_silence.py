"""A judge that does not answer stops the run, in its server's words; a rerun asks what is missing.

Against servers on loopback: what is refused, what is unreadable, and what recovers.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.cycle import judgements
from flows.cycle.judgements import batches, judge_missing
from flows.cycle.ledger import StoreLedger
from flows.cycle.silence import MissingAnswers, SilenceCounter
from flows.run import plan_run
from judges.panel.panel import JudgementTask, Panelist, ranking_tasks
from rlhf_core.config import JudgeSettings
from rlhf_core.config.tree import BudgetSettings, JudgingSettings
from rlhf_core.endpoints.batch_files import LINES_AT_MOST
from rlhf_core.endpoints.budget import Budget
from rlhf_core.errors import EndpointError, SilentJudgeError
from rlhf_core.records import Judgement, Outcome
from rlhf_core.store import Store
from tests.facts import candidate, prompt
from tests.flows.conftest import smoke
from tests.servers import Answer, Server, completion, started

LIMITS = JudgingSettings()
PROMPTS = [prompt(f"Question {number}?") for number in range(30)]
SAID = "The model `typo` does not exist."


@pytest.fixture(autouse=True)
def _without_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the work of the judge stage outside of a flow."""
    monkeypatch.setattr(judgements, "judge_batch", judgements.judge_batch.fn)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with started(Server) as start:
        yield start


def refused(status: int = 404) -> Answer:
    return status, {}, json.dumps({"error": {"message": SAID}})


def is_preflight(body: dict[str, Any]) -> bool:
    return "one word: yes" in body["messages"][-1]["content"]


def judge_settings(server: Server, **options: Any) -> JudgeSettings:
    asked = {"model": "openai:m", "base_url": server.url, "max_attempts": 1, "top_logprobs": None}
    return JudgeSettings.model_validate({"kind": "direct", "highest": 5, **asked, **options})


def judge_all(
    store: Store, settings: JudgeSettings, count: int = 30, limits: JudgingSettings = LIMITS
) -> int:
    ledger = StoreLedger(store, Budget(BudgetSettings()))
    answers = {asked.id: [candidate("Because.", 0, prompt_id=asked.id)] for asked in PROMPTS}

    def tasks_for(panelist: Panelist) -> Sequence[JudgementTask]:
        tasks = [ranking_tasks(panelist, p, answers[p.id]) for p in PROMPTS[:count]]
        return [task for found in tasks for task in found]

    panelists = [Panelist(settings, ledger)]
    return judge_missing(store, ledger, panelists, tasks_for, "judging", limits)


def outcomes(store: Store) -> list[Outcome]:
    return [judgement.outcome for judgement in store.rows(Judgement)]


def test_a_judge_that_refuses_the_first_question_stops_the_stage(store: Store, serve):
    remote = serve(lambda body, number: refused())
    with pytest.raises(EndpointError, match=rf"judge 'direct': .*HTTP 404: .*{SAID}"):
        judge_all(store, judge_settings(remote))
    assert len(remote.requests) == 1
    assert outcomes(store) == []


def test_a_judge_that_falls_silent_stops_the_stage_and_a_rerun_asks_what_is_missing(
    store: Store, serve
):
    """Four of the first 20 fail, 20 %; after the repair, these 4 and the other 10 are requested."""
    is_mended = False

    def answer(body: dict[str, Any], number: int) -> Answer:
        return completion("4") if is_mended or number % 5 else refused(400)

    remote = serve(answer)
    with pytest.raises(SilentJudgeError) as error:
        judge_all(store, judge_settings(remote, concurrency=1))
    assert "judge 'direct' has no verdict on 4 of 20 (20%;" in str(error.value)
    assert SAID in str(error.value)
    assert len(remote.requests) == 21  # with the tiny question
    assert outcomes(store).count(Outcome.SCORED) == 16
    is_mended = True
    assert judge_all(store, judge_settings(remote, concurrency=1)) == 14
    assert outcomes(store).count(Outcome.SCORED) == 30
    assert len([body for body in remote.requests if not is_preflight(body)]) == 20 + 14
    assert judge_all(store, judge_settings(remote)) == 0
    assert len(remote.requests) == 21 + 15  # nothing was missing, so nothing was asked


def test_thoughts_without_an_answer_are_paid_for_twice(store: Store, serve):
    """The second tiny request has room for thoughts; nothing is asked after it."""
    remote = serve(lambda body, number: completion("", finish_reason="length"))
    with pytest.raises(EndpointError, match=r"cut off before an answer, with 4096 tokens for"):
        judge_all(store, judge_settings(remote))
    assert [body["max_tokens"] for body in remote.requests] == [8, 8 + 4096]


def test_a_judge_that_is_lost_in_thought_stops_after_five_replies(store: Store, serve):
    """The first question is paid for twice, and tells that the model thinks; up to 3 more wait."""

    def answer(body: dict[str, Any], number: int) -> Answer:
        return completion("4") if is_preflight(body) else completion("", finish_reason="length")

    remote = serve(answer)
    with pytest.raises(SilentJudgeError, match=r"5 replies in a row were cut off before an answer"):
        judge_all(store, judge_settings(remote, concurrency=1))
    assert [body["max_tokens"] for body in remote.requests[:3]] == [8, 8, 8 + 4096]
    assert len(remote.requests) <= 1 + 1 + 5 + 3
    assert 5 <= outcomes(store).count(Outcome.UNPARSED) <= 8


def test_replies_that_nobody_can_read_are_paid_for_twenty_times_at_most(store: Store, serve):
    remote = serve(lambda body, number: completion("Well,", finish_reason="length"))
    for asked in (21, 21):  # a rerun knows what is stored, and asks nothing
        with pytest.raises(SilentJudgeError, match=r"20 of 20 \(100%.*20 unparsed.*max_tokens"):
            judge_all(store, judge_settings(remote))
        assert len(remote.requests) == asked


def test_a_small_stage_is_looked_at_when_it_ends(store: Store, serve):
    remote = serve(lambda body, number: completion("Hm."))
    with pytest.raises(SilentJudgeError, match="no verdict on 3 of 3"):
        judge_all(store, judge_settings(remote), count=3)


def test_a_judge_that_decides_nothing_stops_nothing(
    store: Store, serve, caplog: pytest.LogCaptureFixture
):
    remote = serve(lambda body, number: completion("Hm."))
    assert judge_all(store, judge_settings(remote, weight=0.0)) == 30
    assert "no verdict on 30 of 30" in caplog.text


def test_a_jury_waits_for_a_member_that_cannot_be_reached(store: Store, serve):
    """The other members do not take over its weight, and are not called again."""
    is_mended = False

    def answer(body: dict[str, Any], number: int) -> Answer:
        return completion("4") if is_mended or is_preflight(body) else refused(400)

    member = judge_settings(serve(answer)).model_dump()
    members = [member, {"kind": "brevity"}]
    jury = JudgeSettings.model_validate({"kind": "jury", "judges": members})
    ledger = StoreLedger(store, Budget(BudgetSettings()))
    two = [candidate("One.", 0), candidate("Two, at length.", 1)]
    panelist = Panelist(jury, ledger)
    found = panelist.judge(ranking_tasks(panelist, prompt(), two), attempt="run")
    assert {judgement.outcome for judgement in found} == {Outcome.UNAVAILABLE}
    assert SAID in str(found[0].reason)
    is_mended = True
    found = panelist.judge(ranking_tasks(panelist, prompt(), two), attempt="run")
    assert all(judgement.probability is not None for judgement in found)


def test_a_jurys_member_that_is_never_readable_stops_the_stage(store: Store, serve):
    member = judge_settings(serve(lambda body, number: completion("Hm."))).model_dump()
    jury = JudgeSettings.model_validate({"kind": "jury", "judges": [member, {"kind": "brevity"}]})
    ledger = StoreLedger(store, Budget(BudgetSettings()))
    two = [candidate("One.", 0), candidate("Two, at length.", 1)]

    def tasks_for(panelist: Panelist) -> Sequence[JudgementTask]:
        return ranking_tasks(panelist, prompt(), two)

    with pytest.raises(SilentJudgeError, match="judge 'jury: direct' has no verdict on 2 of 2"):
        judge_missing(store, ledger, [Panelist(jury, ledger)], tasks_for, "judging", LIMITS)


def test_the_plan_asks_every_remote_model_once_and_tells_which_does_not_answer(
    tmp_path: Path, serve
):
    good = serve(lambda body, number: completion("4"))
    bad = serve(lambda body, number: refused())
    base = {"model": "openai:m", "max_attempts": 1}
    judge = {"kind": "direct", **base, "base_url": good.url}
    config = smoke(
        tmp_path,
        f"judges={json.dumps([judge])}",
        f"evaluation.judges={json.dumps([{**judge, 'name': 'other', 'highest': 5}])}",
        f"sampling.endpoint={json.dumps({**base, 'base_url': bad.url})}",
    )
    with pytest.raises(EndpointError, match=rf"sampling.endpoint: .*{SAID}"):
        plan_run(config, budget=Budget(BudgetSettings()))
    assert (len(good.requests), len(bad.requests)) == (1, 1)
    plan_run(config)  # without a budget nothing is asked
    assert (len(good.requests), len(bad.requests)) == (1, 1)


@pytest.mark.parametrize(
    ("asked", "silent", "is_over", "stops"),
    [
        (20, 1, False, False),  # 5 % is not more than 5 %
        (20, 2, False, True),
        (19, 19, False, False),  # too few to say
        (19, 1, True, False),
        (19, 2, True, True),  # of 20 one may be missing
        (1, 1, True, True),  # nothing at all was answered
        (200, 10, True, False),
        (200, 11, True, True),
        (0, 0, True, False),
    ],
)
def test_how_many_may_be_missing(asked: int, silent: int, is_over: bool, stops: bool):
    counter = SilenceCounter(JudgeSettings(kind="direct"), LIMITS)
    for number in range(asked):
        outcome = Outcome.UNPARSED if number < silent else Outcome.SCORED
        counter.add(outcome, "why")
    if stops:
        with pytest.raises(SilentJudgeError, match=f"{silent} of {asked}"):
            counter.check(is_over)
    else:
        counter.check(is_over)


def test_to_abstain_is_to_answer():
    counter = SilenceCounter(JudgeSettings(kind="direct"), LIMITS)
    for _ in range(30):
        counter.add(Outcome.ABSTAINS, "no reference")
    counter.check(is_over=True)


def test_batches_grow_but_where_answers_take_hours():
    tasks: Any = range(400)
    assert [len(batch) for batch in batches(tasks, 256, 20)] == [20, 80, 256, 44]
    assert [len(batch) for batch in batches(tasks, LINES_AT_MOST, 20)] == [400]
    assert [len(batch) for batch in batches(range(9), 4, 20)] == [4, 4, 1]


class TestMissingAnswers:
    """The remote sampler and the reviser, whose silence would leave prompts out of the training."""

    def test_a_quarter_missing_stops_the_stage_with_the_reason(self):
        missing = MissingAnswers("the remote sampler", LIMITS)
        missing.add(16, ["HTTP 500"] * 4)
        missing.check(is_over=False)  # too few to tell
        missing.add(16, ["HTTP 500"] * 4)
        with pytest.raises(EndpointError, match=r"no answer to 8 of 32 \(25%; .*5%\): HTTP 500"):
            missing.check(is_over=False)

    def test_one_in_twenty_may_be_missing(self):
        missing = MissingAnswers("the reviser", LIMITS)
        missing.add(20, ["cut off"])
        missing.check(is_over=True)
        missing.add(19, ["cut off"])
        with pytest.raises(EndpointError, match="2 of 39"):
            missing.check(is_over=True)

    def test_one_that_never_answers_stops_a_small_stage_too(self):
        missing = MissingAnswers("the reviser", LIMITS)
        missing.add(2, ["nothing"] * 2)
        missing.check(is_over=False)
        with pytest.raises(EndpointError, match="2 of 2"):
            missing.check(is_over=True)
