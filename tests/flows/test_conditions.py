"""The conditions that start a training, counted in stores made by hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.service import events
from flows.service.events import Event
from flows.triggers import due
from flows.triggers.conditions import Condition, not_due, training_conditions
from flows.triggers.due import announce_due, announce_new_prompts
from rlhf_core.config import Config
from rlhf_core.records import PairOutcome, Retraction, TriggerFiring
from tests.flows.conftest import smoke
from tests.flows.line_facts import Line

PAIRS = "service.triggers.new_pairs=2"


def one(config: Config, line: Line, hours: float = 0.0) -> Condition:
    now = datetime.now(UTC) + timedelta(hours=hours)
    (condition,) = training_conditions(config, line.store.query, now)
    return condition


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Event, str, dict[str, object]]]:
    seen: list[tuple[Event, str, dict[str, object]]] = []
    monkeypatch.setattr(
        due, "announce", lambda event, line, **told: seen.append((event, line, told))
    )
    return seen


def test_without_conditions_nothing_is_counted_and_nothing_is_refused(tmp_path: Path):
    config = smoke(tmp_path)
    assert training_conditions(config, Line(config).store.query) == []
    assert not_due([]) is None


def test_pairs_are_new_until_a_reward_model_learnt_from_their_ranking(tmp_path: Path):
    config = smoke(tmp_path, PAIRS)
    line = Line(config)
    first = line.feedback("a", "b", "c")
    assert one(config, line).text == "3 of 2 new pairs"
    assert one(config, line).multiple == 1
    line.reward_model(first)
    line.feedback("d")
    condition = one(config, line)
    assert (condition.value, condition.holds) == (1, False)
    assert not_due([condition]) == "not due: 1 of 2 new pairs"


def test_pairs_that_the_next_training_would_not_read_are_not_new(tmp_path: Path):
    """Ties, retracted pairs, rankings by other judges, and prompts that left the source."""
    config = smoke(tmp_path, PAIRS)
    line = Line(config)
    line.feedback("tied", outcome=PairOutcome.TIE)
    line.feedback("unscored", outcome=PairOutcome.UNSCORED)
    line.feedback("by other judges", recipe="other")
    line.feedback("left", "retracted", "kept")
    line.paired(line.asked[-2:])
    (pair,) = line.store.query("SELECT id FROM pairs WHERE prompt_id = ?", [line.asked[-2]])
    line.store.append(
        [
            Retraction(
                subject_table="pairs",
                subject_id=pair["id"],
                number=1,
                reason="wrong",
                retracted_by="me",
            )
        ]
    )
    assert one(config, line).value == 1


def test_ties_are_trainable_if_the_config_learns_from_them(tmp_path: Path):
    config = smoke(tmp_path, PAIRS, "reward_model.ties=half")
    line = Line(config)
    line.feedback("tied", outcome=PairOutcome.TIE)
    assert one(config, line).value == 1


def test_agreement_is_that_of_the_last_reward_model_on_held_out_answers(tmp_path: Path):
    config = smoke(tmp_path, "service.triggers.agreement_below=0.75")
    line = Line(config)
    model = line.reward_model(line.feedback("a"))
    assert one(config, line).text == "agreement unknown: 0 of 20 comparisons, due below 75%"
    line.evaluated(model, agreeing=14, opposed=6)
    told = "agreement 70% on 20 comparisons, due below 75%"
    assert one(config, line).text == f"{told}, no new pairs"
    assert not one(config, line).holds
    line.feedback("b")
    assert one(config, line).text == told
    assert one(config, line).holds


def test_a_training_is_due_after_some_time_if_there_are_new_pairs(tmp_path: Path):
    config = smoke(tmp_path, "service.triggers.at_latest_hours=4")
    line = Line(config)
    learnt = line.feedback("a")
    assert [one(config, line, hours).multiple for hours in (3.9, 4.1, 8.1)] == [0, 1, 2]
    line.reward_model(learnt)
    assert one(config, line, 9).text == "9.0 of 4 hours since the last training, no new pairs"
    assert not one(config, line, 9).holds


def test_a_training_is_announced_once_for_the_same_pairs(tmp_path: Path, announced: list[object]):
    """A further multiple of the threshold is announced again, and so is the next reward model."""
    config = smoke(tmp_path, PAIRS)
    line = Line(config)
    assert announce_due(config, line.store) is None
    learnt = line.feedback("a", "b")
    assert announce_due(config, line.store) == "2 of 2 new pairs"
    assert announce_due(config, line.store) is None
    learnt += line.feedback("c")
    assert announce_due(config, line.store) is None
    learnt += line.feedback("d")
    assert announce_due(config, line.store) == "4 of 2 new pairs"
    line.reward_model(learnt)
    assert announce_due(config, line.store) is None
    line.feedback("e", "f")
    assert announce_due(config, line.store) == "2 of 2 new pairs"
    assert len(announced) == 3
    assert announced[0] == (
        Event.TRAINING_DUE,
        config.name,
        {"condition": "new_pairs", "since": "", "because": "2 of 2 new pairs"},
    )
    firings = line.store.rows(TriggerFiring)
    assert [(each.multiple, each.value) for each in firings] == [(1, 2.0), (2, 4.0), (1, 2.0)]


def test_new_prompts_of_the_source_are_announced_once(tmp_path: Path, announced: list[object]):
    source = tmp_path / "prompts.jsonl"
    source.write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    config = smoke(tmp_path, f"prompts.path={source}", "service.triggers.new_prompts=3")
    line = Line(config)
    assert announce_new_prompts(config, line.store) is None
    source.write_text(source.read_text() + '{"prompt": "c"}\n')
    assert announce_new_prompts(config, line.store) == "3 of 3 new prompts"
    assert announce_new_prompts(config, line.store) is None
    assert [event for event, *_ in announced] == [Event.PROMPTS_FOUND]


def test_no_event_leaves_a_run_whose_server_ends_with_it(monkeypatch: pytest.MonkeyPatch):
    sent: list[object] = []
    monkeypatch.setattr(events, "emit_event", lambda **event: sent.append(event))
    events.announce(Event.PAIRS_ADDED, "line", new=1)
    monkeypatch.setenv(events.WITHOUT_EVENTS, "1")
    events.announce(Event.PAIRS_ADDED, "line", new=1)
    assert len(sent) == 1


def test_a_failure_is_told_in_own_words_or_not_at_all(monkeypatch: pytest.MonkeyPatch):
    """An error that may quote a model, a server or a user is named by its class alone."""
    from rlhf_core.errors import EndpointError, TrainingError

    told: list[dict[str, object]] = []
    monkeypatch.setattr(events, "emit_event", lambda payload, **_: told.append(payload))
    for error in (TrainingError("loss is nan"), EndpointError("said: secret"), ValueError("text")):
        events.announce_failure("line", 1, "judge", error)
    assert [each["because"] for each in told] == ["loss is nan", *["see the log of the run"] * 2]
    assert [each["error"] for each in told] == ["TrainingError", "EndpointError", "ValueError"]
