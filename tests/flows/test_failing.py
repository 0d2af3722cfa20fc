"""Stages that do not complete: time limits, retries after passing failures, a spent budget."""

import asyncio
import json
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from flows.cycle import failing
from flows.cycle.cycle import Cycle, cycle_of
from flows.cycle.failing import ending, retried
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.stage import stage
from flows.service.events import Event
from flows.service.prefect_server import WITHOUT_EVENTS
from flows.service.states import BUDGET_SPENT
from flows.terminal import stopping
from flows.terminal.stopping import time_limit, untimed
from rlhf_core.endpoints.budget import Spend
from rlhf_core.errors import (
    BudgetError,
    ConfigError,
    EndpointError,
    SilentJudgeError,
    TimeLimitError,
)
from rlhf_core.records import CycleRun, Failure, Response, StageRun
from rlhf_core.store import Store, line_queries
from tests.flows.conftest import smoke


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, object]]]:
    told: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(
        failing, "announce", lambda event, line, **facts: told.append((event, facts))
    )
    monkeypatch.setattr(
        failing,
        "announce_failure",
        lambda line, cycle, name, error: told.append((Event.STAGE_FAILED, {"error": error})),
    )
    return told


def new_cycle(folder: Path, *overrides: str) -> Cycle:
    return cycle_of(smoke(folder, *overrides), 1)


def refuse(cycle: Cycle) -> None:
    """Have the budget refuse a call."""

    async def call() -> None:
        async with cycle.budget.hold(Spend(calls=1)) as hold:
            hold.cost = Spend(calls=1)

    asyncio.run(call())


def test_a_time_limit_stops_what_takes_too_long():
    said = r"^stage x took too long; what was done is kept"
    with pytest.raises(TimeLimitError, match=said), time_limit(0.1, "stage x took too long"):
        time.sleep(5)


def test_a_time_limit_stops_requests_that_are_under_way():
    """Raised in the loop's own code, as it was in one of some runs, it left the loop waiting."""

    async def forever() -> None:
        while True:
            await asyncio.sleep(0)

    for _ in range(20):
        with pytest.raises(TimeLimitError), time_limit(0.02, "x"):
            asyncio.run(forever())


def test_a_time_limit_that_an_event_loop_ended_without_raising_comes_again(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(stopping, "AGAIN_SECONDS", 0.05)

    def stop_and_overstay() -> None:
        loop.stop()  # after this round, in which what rings is only noted for the next
        time.sleep(0.2)

    def run() -> None:
        loop.run_forever()
        time.sleep(5)

    loop = asyncio.new_event_loop()
    loop.call_soon(stop_and_overstay)
    with pytest.raises(TimeLimitError), time_limit(0.1, "x"):
        run()
    loop.close()


def test_a_time_limit_does_not_disturb_what_unwinds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stopping, "AGAIN_SECONDS", 0.01)
    tidied = []

    async def tidy() -> None:
        try:
            await asyncio.sleep(5)
        finally:
            await asyncio.sleep(0.1)
            tidied.append(True)

    with pytest.raises(TimeLimitError), time_limit(0.05, "x"):
        asyncio.run(tidy())
    assert tidied


def test_a_time_limit_that_holds_changes_nothing():
    with time_limit(0.2, "x"), untimed():
        time.sleep(0.3)
    with time_limit(None, "x"):
        pass
    time.sleep(0.1)


def test_a_stage_that_takes_too_long_keeps_its_rows_and_is_not_recorded_as_ended(
    tmp_path: Path, announced: list[tuple[str, dict[str, object]]]
):
    cycle = new_cycle(tmp_path, f"service.stage_timeout_hours={1 / 3600}")
    with pytest.raises(TimeLimitError, match="stage_timeout_hours"), stage(cycle, "judge"):
        time.sleep(20)
    store = cycle.open_store()
    (failure,) = store.rows(Failure)
    assert (failure.stage, failure.subject_id) == ("judge", cycle.line)
    assert failure.attempt == cycle.run_id
    assert store.rows(StageRun) == []
    assert [event for event, _ in announced] == [Event.STAGE_FAILED]


@pytest.mark.parametrize("error", [EndpointError("down"), SilentJudgeError("silent")])
def test_a_stage_is_tried_again_after_a_passing_failure(error: Exception):
    attempts = []

    def run() -> str:
        attempts.append(1)
        if len(attempts) < 3:
            raise error
        return "done"

    assert retried(run, pauses=(0.01, 0.01)) == "done"
    assert len(attempts) == 3


@pytest.mark.parametrize("error", [ConfigError("wrong"), BudgetError("spent")])
def test_a_stage_is_not_tried_again_after_a_lasting_failure(error: Exception):
    attempts = []

    def run() -> None:
        attempts.append(1)
        raise error

    with pytest.raises(type(error)):
        retried(run, pauses=(0.01, 0.01))
    assert len(attempts) == 1


def test_only_the_last_attempt_is_announced(
    tmp_path: Path, announced: list[tuple[str, dict[str, object]]]
):
    cycle = new_cycle(tmp_path)

    def run() -> None:
        with ending(cycle, "judge", cycle.open_store()):
            raise EndpointError("down")

    with pytest.raises(EndpointError):
        retried(run, pauses=(0.01,))
    assert len(announced) == 1


def test_a_spent_budget_ends_a_stage_whatever_it_made_of_the_refusal(
    tmp_path: Path, announced: list[tuple[str, dict[str, object]]]
):
    """A stage that ended would never ask for what is missing."""
    cycle = new_cycle(tmp_path, "budget.max_calls=1")
    refuse(cycle)

    def judge() -> None:
        with stage(cycle, "judge"), suppress(BudgetError):
            refuse(cycle)

    with pytest.raises(BudgetError, match="what was done is kept"):
        judge()
    assert cycle.open_store().rows(StageRun) == []
    assert [event for event, _ in announced] == [Event.BUDGET_SPENT]


def test_a_flow_whose_budget_is_spent_has_completed_in_a_state_of_that_name(
    tmp_path: Path, server: str
):
    """So that it counts as no failure, and neither does the flow that ran it."""

    @cycle_flow("spends")
    def spends(cycle: Cycle) -> int:
        raise BudgetError("the budget is spent")

    @cycle_flow("whole", is_stage=False)
    def whole(cycle: Cycle) -> None:
        spends(cycle)

    cycle = new_cycle(tmp_path, "seed=17")
    with pytest.raises(BudgetError, match="the budget is spent"):
        whole(cycle)
    with get_client(sync_client=True) as client:
        runs = [run for run in client.read_flow_runs() if cycle.line in run.tags]
    assert len(runs) == 2
    for run in runs:
        assert run.state is not None
        assert (run.state.type.value, run.state.name) == ("COMPLETED", BUDGET_SPENT)
        assert run.state.message == "the budget is spent"


def test_the_budget_of_a_day_counts_what_earlier_runs_of_the_line_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Also what a policy that trained by itself spent on the judges in its reward."""
    monkeypatch.setenv(WITHOUT_EVENTS, "1")
    first = new_cycle(tmp_path, "budget.max_usd=1", "budget.period=day")
    other = new_cycle(tmp_path, "seed=2")
    for cycle, usd in ((first, 0.4), (other, 0.3)):
        with stage(cycle, "train_policy") as work:
            work.store.append([response(str(usd), usd)])
        (begun,) = work.store.rows(CycleRun, "line = ?", [cycle.line])
        assert (begun.cycle, begun.attempt) == (1, cycle.run_id)
    again = cycle_of(first.config, 1)
    assert again.budget.spent == Spend(0.4, 15, 1)
    store = Store(first.config.store)
    assert _spent(store, first.line, "2001-01-01") == (0.4, 15, 1)
    assert _spent(store, first.line, "2999-01-01") == (0.0, 0, 0)
    budget = first.config.budget.model_copy(update={"period": "run"})
    each = cycle_of(first.config.model_copy(update={"budget": budget}), 1)
    assert each.budget.spent == Spend()


def response(name: str, usd: float) -> Response:
    return Response(
        request_hash=name,
        model="m",
        text="yes",
        finish_reason="stop",
        prompt_tokens=10,
        completion_tokens=5,
        latency_seconds=0.1,
        cost_usd=usd,
        probabilities=json.dumps({}),
    )


def _spent(store: Store, line: str, since: str) -> tuple[float, int, int]:
    moment = datetime.fromisoformat(f"{since}T00:00:00+00:00")
    return line_queries.spent_since(store.query, line, moment)
