"""What a log without a terminal is told while work goes on."""

import logging
import time

import pytest

from flows.terminal import progress as progress_module
from flows.terminal.progress import duration, progress


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute of a twentieth of a second."""
    monkeypatch.setattr(progress_module, "SECONDS_BETWEEN_LINES", 0.05)


def test_a_log_gets_a_line_a_minute_with_what_is_left(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "flows.progress")
    with progress("sampling", 8) as advance:
        advance(2, "loss 1.5")
        time.sleep(0.3)
    lines = [record.message for record in caplog.records]
    assert 2 <= len(lines) <= 6
    assert lines[0].startswith("sampling: 2 of 8 after 0 s, about 0 s left; loss 1.5")


def test_work_that_hangs_is_seen_to_hang(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "flows.progress")
    with progress("judging: far away", 100):
        time.sleep(0.2)
    assert "judging: far away: 0 of 100 after 0 s" in caplog.text


def test_a_command_without_a_log_writes_to_stderr(capfd: pytest.CaptureFixture[str]):
    with progress("importing", 3) as advance:
        advance(1, "")
        time.sleep(0.12)
    assert "importing: 1 of 3" in capfd.readouterr().err


def test_work_that_ended_or_has_no_units_writes_nothing_more(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "flows.progress")
    with progress("nothing", 0) as advance:
        advance(0, "")
        time.sleep(0.12)
    with progress("quick", 5) as advance:
        advance(5, "")
    time.sleep(0.12)
    assert not caplog.records


def test_what_is_left_follows_from_what_was_done():
    """A quarter done in 100 s: three quarters take 300 s more."""
    assert (
        progress_module._line("x", 5, 20, 100.0, "")
        == "x: 5 of 20 after 1.7 min, about 5.0 min left"
    )


@pytest.mark.parametrize(("seconds", "said"), [(45.4, "45 s"), (192, "3.2 min"), (18_360, "5.1 h")])
def test_durations_are_said_as_people_say_them(seconds: float, said: str):
    assert duration(seconds) == said
