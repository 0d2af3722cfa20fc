"""Log lines say what they belong to, and silent work says that it goes on."""

import json
import logging
import time
from collections.abc import Iterator

import pytest
from prefect import flow

from flows.service.run_logs import log_run
from flows.terminal import logs, progress
from flows.terminal.heartbeat import heartbeat
from flows.terminal.logs import FORMAT, LOGGERS, Origin, log_origin, log_to_console
from rlhf_core.errors import ConfigError

SUPPORT = Origin("support", 3, "train_reward", "0123456789ab")
logger = logging.getLogger("rlhf_core.somewhere")


@pytest.fixture(autouse=True)
def _loggers_are_put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A minute of a twentieth of a second, and loggers as they were."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.05)
    kept = {name: (list(each.handlers), each.level, each.propagate) for name, each in _loggers()}
    yield
    for name, each in _loggers():
        each.handlers, each.level, each.propagate = kept[name]


def _loggers() -> list[tuple[str, logging.Logger]]:
    return [(name, logging.getLogger(name)) for name in LOGGERS]


def test_a_line_for_programs_is_an_object_with_its_origin(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(FORMAT, "json")
    log_to_console()
    with log_origin(SUPPORT):
        logger.warning("a model wrote %s", 'a "quote"\nand a line')
    logger.info("elsewhere")
    inside, outside = (json.loads(line) for line in capfd.readouterr().err.splitlines())
    assert inside["message"] == 'a model wrote a "quote"\nand a line'
    assert inside["level"] == "WARNING"
    assert inside["logger"] == "rlhf_core.somewhere"
    assert {key: inside[key] for key in ("line", "cycle", "stage", "run")} == vars(SUPPORT)
    assert (outside["line"], outside["cycle"]) == ("", None)


def test_plain_lines_of_a_command_stay_short_and_those_of_a_service_have_their_origin(
    capfd: pytest.CaptureFixture[str],
):
    with log_origin(SUPPORT):
        log_to_console()
        logger.info("one")
        log_to_console(with_origin=True)
        logger.info("two")
    one, two = capfd.readouterr().err.splitlines()
    assert one.split(" ", 1)[1] == "one"
    assert two.split(" ", 1)[1] == "support cycle 3 train_reward 0123456789ab | two"


def test_a_format_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(FORMAT, "xml")
    with pytest.raises(ConfigError, match="use plain or json"):
        logs.log_format()


def test_silent_work_says_once_a_minute_where_it_is(capfd: pytest.CaptureFixture[str]):
    log_to_console()
    with heartbeat("solon run"), heartbeat("train_reward"):
        time.sleep(0.28)
    lines = capfd.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 6
    assert all("still in train_reward after 0 s" in line for line in lines)


def test_silent_work_says_no_more_where_another_handler_writes_its_lines(
    caplog: pytest.LogCaptureFixture,
):
    """In a flow that a worker runs, Prefect's handlers do."""
    with caplog.at_level("INFO", "flows.progress"), heartbeat("train_reward"):
        time.sleep(0.28)
    assert 1 <= sum("still in train_reward" in line for line in caplog.messages) <= 6


def test_a_line_names_the_function_that_the_work_is_in(capfd: pytest.CaptureFixture[str]):
    log_to_console()
    scope = {"__name__": "rlhf_core.models.somewhere", "time": time}
    exec("def load():\n    time.sleep(0.2)", scope)
    with heartbeat("sample"):
        scope["load"]()  # type: ignore[operator]
    assert "after 0 s, in rlhf_core.models.somewhere.load" in capfd.readouterr().err


def test_work_that_speaks_is_not_spoken_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """By lines of its own, or by units of work that have a line a minute."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.5)
    log_to_console()
    with heartbeat("judge"):
        for _ in range(14):
            time.sleep(0.05)
            logger.info("busy")
        with progress.progress("judging", 5):
            time.sleep(0.7)
    assert "still in" not in capfd.readouterr().err


def test_lines_reach_the_log_of_the_run_on_the_server(server: str):
    """Also those of a thread that the run started before, as a heartbeat has one."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
    from prefect.logging.handlers import APILogWorker
    from prefect.runtime import flow_run

    @flow(name="logged")
    def logged() -> str:
        log_run()
        with log_origin(SUPPORT), heartbeat("train_reward"):
            time.sleep(0.2)
            logger.info("from the core")
        return str(flow_run.id)

    run = logged()
    APILogWorker.instance().drain()
    with get_client(sync_client=True) as client:
        of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
        messages = [line.message for line in client.read_logs(of_run)]
    assert "from the core" in messages
    assert any("still in train_reward" in message for message in messages)
