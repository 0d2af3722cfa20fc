"""A remote judge that its provider changes is reported; one that is merely noisy is not."""

import logging
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.cycle import judgements, probes
from flows.cycle.cycle import Cycle, cycle_of
from flows.cycle.judgements import judge_missing
from flows.cycle.ledger import StoreLedger
from flows.cycle.probes import probe_judges
from flows.service.events import Event
from judges.language_model import fence
from judges.panel.panel import JudgementTask, Panelist, ranking_tasks
from rlhf_core.config import JudgeSettings
from rlhf_core.identity import unit_interval
from rlhf_core.records import (
    CycleRun,
    JudgeDrift,
    Judgement,
    JudgeProbe,
    Outcome,
    Response,
    Retraction,
    Split,
)
from rlhf_core.store import Store, line_queries
from tests.facts import candidate, prompt, query_store
from tests.flows.conftest import smoke
from tests.servers import Answer, Server, completion, started

PROMPTS = [prompt(f"Question {number}?") for number in range(40)]
ANSWERS = {
    asked.id: [candidate(f"Because {n} of {asked.text}", n, prompt_id=asked.id) for n in range(2)]
    for asked in PROMPTS
}
PROBES = 32


@pytest.fixture(autouse=True)
def announced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Event, dict[str, Any]]]:
    """Run the work of the stages outside of a flow; the events that they emit."""
    events: list[tuple[Event, dict[str, Any]]] = []
    monkeypatch.setattr(judgements, "judge_batch", judgements.judge_batch.fn)
    monkeypatch.setattr(
        probes, "announce", lambda event, line, **facts: events.append((event, facts))
    )
    return events


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with started(Server) as start:
        yield start


class Provider:
    """Answers like a model that grades from 1 to 5 by a hash of the answer.

    Args:
        noise: Share of replies that are a grade at random.
    """

    def __init__(self, noise: float = 0.0) -> None:
        self.model, self.noise, self.random = "first", noise, random.Random(3)

    def __call__(self, body: dict[str, Any], number: int) -> Answer:
        answered = re.search(r"Because \d of Question \d+\?", body["messages"][-1]["content"])
        if answered is None:
            return completion("yes")  # to the preflight request
        grade = 1 + int(5 * unit_interval(self.model, answered[0]))
        if self.random.random() < self.noise:
            grade = self.random.randint(1, 5)
        return completion(str(grade))


def graded_by(server: Server, **options: Any) -> JudgeSettings:
    asked = {"model": "openai:m", "base_url": server.url, "max_attempts": 1, "top_logprobs": None}
    return JudgeSettings.model_validate({"kind": "direct", "highest": 5, **asked, **options})


def begin(folder: Path, number: int, probes_a_judge: int = PROBES) -> tuple[Cycle, Store]:
    """Begin a cycle of one line, as its first stage does."""
    config = smoke(folder, "name=line", f"judging.probes={probes_a_judge}")
    cycle = cycle_of(config, number)
    store = cycle.open_store()
    begun = CycleRun(
        line=cycle.line, cycle=number, config_hash="c", source="", attempt=cycle.run_id
    )
    store.append([begun, *PROMPTS, *(one for row in ANSWERS.values() for one in row)])
    return cycle, store


def judge_first(cycle: Cycle, store: Store, settings: JudgeSettings) -> None:
    """Judge every answer in the first cycle."""

    def tasks_for(panelist: Panelist) -> list[JudgementTask]:
        tasks = [ranking_tasks(panelist, p, ANSWERS[p.id]) for p in PROMPTS]
        return [task for group in tasks for task in group]

    panelists = [Panelist(settings, StoreLedger(store, cycle.budget))]
    judge_missing(store, StoreLedger(store), panelists, tasks_for, "judging", cycle.config.judging)


def probe(folder: Path, number: int, settings: JudgeSettings) -> JudgeDrift:
    """Probe a judge in a cycle, and return what was found."""
    cycle, store = begin(folder, number)
    if number == 1:
        judge_first(cycle, store, settings)
    probe_judges(cycle, store, [settings], Split.TRAIN)
    return next(drift for drift in store.rows(JudgeDrift) if drift.cycle == number)


def test_a_judge_whose_model_was_exchanged_is_reported(
    tmp_path: Path, serve, announced, caplog: pytest.LogCaptureFixture
):
    provider = Provider()
    judge = graded_by(serve(provider))
    first, second = probe(tmp_path, 1, judge), probe(tmp_path, 2, judge)
    assert (first.probes, first.noise, first.deviation, first.p) == (PROBES, 0.0, 0.0, None)
    assert (second.probes, second.distance, second.p, second.drifted) == (PROBES, 0.0, 1.0, False)
    assert announced == []

    provider.model = "second"
    with caplog.at_level(logging.WARNING, logger="flows.cycle.probes"):
        third = probe(tmp_path, 3, judge)
    assert third.drifted
    # Two independent uniform grades of 1 to 5 differ by 1.6 on average, which is 0.4 of 0 to 1.
    assert third.distance == pytest.approx(0.4, abs=0.15)
    assert third.p == pytest.approx(2 / 10_000)
    assert "judge 'direct' has changed" in caplog.text
    assert [event for event, _ in announced] == [Event.JUDGE_DRIFTED]
    assert announced[0][1]["judge_version"] == third.judge_version

    store = Store(begin(tmp_path, 3)[0].config.store)
    store.publish()
    found = query_store(store.files.database, "SELECT what, id, detail FROM check_judge_drift").rows
    assert found == [("direct", third.id, f"line line, cycle 3: {third.reason}")]
    store.append(
        [
            Retraction(
                subject_table="judge_versions",
                subject_id=third.judge_version,
                number=1,
                withdrawn=False,
                reason="The provider changed the model.",
                retracted_by="Ann",
            )
        ]
    )
    store.publish()
    assert not query_store(store.files.database, "SELECT * FROM check_judge_drift").rows


def test_every_cycle_asks_the_same_questions_anew_and_pays_for_them(tmp_path: Path, serve):
    server = serve(Provider())
    judge = graded_by(server, price_per_million_input_tokens=1.0, price_per_million_output_tokens=2)
    counts = []
    for number in (1, 2, 2):
        probe(tmp_path, number, judge)
        counts.append(sum("Question" in str(body["messages"]) for body in server.requests))
    assert counts == [80 + PROBES, 80 + 2 * PROBES, 80 + 2 * PROBES]  # no cycle is probed twice
    cycle, store = begin(tmp_path, 2)
    rows = store.rows(JudgeProbe)
    chosen = [{row.judgement_id for row in rows if row.cycle == number} for number in (1, 2)]
    assert chosen[0] == chosen[1]
    judged = {judgement.id: judgement for judgement in store.rows(Judgement)}
    assert len({judged[name].prompt_id for name in chosen[0]}) == PROBES
    replies = {response.id: response for response in store.rows(Response)}
    assert len(replies) == counts[-1]
    assert all(replies[row.response_ids[0]].cost_usd == row.cost_usd == 0.002 for row in rows)
    since = min(row["created_at"] for row in store.query("SELECT created_at FROM cycle_runs"))
    usd, _, calls = line_queries.spent_since(store.query, cycle.line, since)
    assert (calls, usd) == (counts[-1], pytest.approx(0.002 * counts[-1]))


def test_a_noisy_judge_is_measured_and_not_reported(tmp_path: Path, serve, announced):
    """A fifth of the grades are drawn at random.

    Over 12 cycles, of which each may be reported with a chance of 1 %, none is with a chance of at
    least 88 %. The seed is fixed.
    """
    judge = graded_by(serve(Provider(noise=0.2)))
    found = [probe(tmp_path, number, judge) for number in range(1, 14)]
    assert found[0].noise > 0
    assert not any(drift.drifted for drift in found)
    assert announced == []


def test_a_noisy_judge_that_changes_is_reported(tmp_path: Path, serve):
    provider = Provider(noise=0.2)
    judge = graded_by(serve(provider))
    assert not any(probe(tmp_path, number, judge).drifted for number in (1, 2))
    provider.model = "second"
    assert probe(tmp_path, 3, judge).drifted


def test_marks_that_differ_from_process_to_process_are_no_drift(
    tmp_path: Path, serve, monkeypatch: pytest.MonkeyPatch
):
    """A model that reads the marks is as far from its first verdicts at once as it is later."""

    def answer(body: dict[str, Any], number: int) -> Answer:
        return completion(str(1 + int(5 * unit_interval(body["messages"][-1]["content"]))))

    judge = graded_by(serve(answer))
    found = []
    for number in range(1, 6):
        monkeypatch.setenv(fence.KEY_VARIABLE, f"key {number}")
        fence._key.cache_clear()  # as in a process of its own
        found.append(probe(tmp_path, number, judge))
    fence._key.cache_clear()
    assert found[0].noise == pytest.approx(0.4, abs=0.15)
    assert not any(drift.drifted for drift in found)


def test_an_interrupted_run_asks_only_what_is_missing(tmp_path: Path, serve):
    server = serve(Provider())
    judge = graded_by(server)
    probe(tmp_path, 1, judge)
    cycle, store = begin(tmp_path, 2, probes_a_judge=10)
    probe_judges(cycle, store, [judge], Split.TRAIN)
    with store._connection(1.0) as connection:
        connection.execute("DELETE FROM judge_drifts WHERE cycle = 2")
    before = len(server.requests)
    assert probe(tmp_path, 2, judge).probes == PROBES
    assert sum("Question" in str(b["messages"]) for b in server.requests[before:]) == PROBES - 10


def test_probes_without_an_answer_are_counted(
    tmp_path: Path, serve, caplog: pytest.LogCaptureFixture
):
    provider = Provider()
    is_down = False

    def answer(body: dict[str, Any], number: int) -> Answer:
        if is_down and "Question 1" in str(body["messages"]):
            return 503, {}, "{}"
        return provider(body, number)

    judge = graded_by(serve(answer))
    probe(tmp_path, 1, judge)
    is_down = True
    found = probe(tmp_path, 2, judge)
    assert 0 < found.unavailable < PROBES
    assert found.probes + found.unavailable == PROBES
    assert not found.drifted
    assert f"did not answer {found.unavailable} of its {PROBES} probes" in caplog.text
    rows = begin(tmp_path, 2)[1].rows(JudgeProbe, "cycle = 2 AND outcome = 'unavailable'")
    assert len(rows) == found.unavailable
    assert all(row.outcome is Outcome.UNAVAILABLE and row.reason for row in rows)


def test_local_judges_and_a_count_of_0_are_asked_nothing(tmp_path: Path, serve):
    server = serve(Provider())
    cycle, store = begin(tmp_path, 1)
    judge_first(cycle, store, JudgeSettings(kind="brevity"))
    probe_judges(cycle, store, [JudgeSettings(kind="brevity")], Split.TRAIN)
    cycle, store = begin(tmp_path, 1, probes_a_judge=0)
    judge_first(cycle, store, graded_by(server))
    probe_judges(cycle, store, [graded_by(server)], Split.TRAIN)
    assert store.rows(JudgeProbe) == []
    assert store.rows(JudgeDrift) == []
