"""The forecast of the time left in a run."""

import re
from collections.abc import Callable

import pytest

from flows.cycle.forecast import Forecast, forecasting, stage_begins, time_range
from flows.terminal.progress import _line

SECONDS = {"s": 1, "min": 60, "h": 3600}


def bounds(said: str) -> tuple[float, float]:
    """Return the two numbers of "about 2.1 min to 5.0 min left", in seconds."""
    least, most = re.findall(r"([\d.]+) (s|min|h)\b", said)
    return float(least[0]) * SECONDS[least[1]], float(most[0]) * SECONDS[most[1]]


def left(said: str) -> float:
    return sum(bounds(said)) / 2


def test_a_machine_three_times_slower_than_planned_makes_the_rest_longer():
    slow, planned = Forecast({"a": 100, "b": 300}), Forecast({"a": 100, "b": 300})
    assert left(slow.record("a", 300)) > 1.7 * left(planned.record("a", 100))


def test_a_stage_that_took_its_planned_time_leaves_the_rest_of_the_plan():
    """100 of 400 s are done: 300 are left, which the middle of the range is near."""
    said = Forecast({"a": 100, "b": 300}).record("a", 100)
    assert left(said) == pytest.approx(300, rel=0.2)


def test_each_stage_makes_the_range_narrower():
    forecast = Forecast({"a": 100, "b": 100, "c": 100, "d": 100})
    widths = []
    for stage in "abc":
        least, most = bounds(forecast.record(stage, 100))
        widths.append(most / least)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1]


def test_there_is_no_forecast_at_the_end_or_after_an_unplanned_stage():
    forecast = Forecast({"a": 100})
    assert forecast.record("report", 1) == ""
    assert forecast.record("a", 100) == ""


def test_a_range_holds_the_plan_and_grows_with_the_load_of_other_programs():
    least, most = time_range(100)
    assert least < 100 < most
    assert time_range(100, slowdown=3) == (least, pytest.approx(3 * most))


def at(*seconds: float) -> Callable[[], float]:
    """Return a clock that shows these times, one after the other."""
    return iter(seconds).__next__


def test_work_that_takes_longer_than_planned_corrects_the_run_before_its_stage_ends():
    """After 150 s half is done, so the stage takes 300 s instead of 100.

    A weight of 60 s on the plan makes the pace (150 + 60) / (50 + 60): 150 + 300 · 1.909 = 723 s
    are left. An eighth of the run is done: the range is 723 · (1 - .55 / 2) to 723 · 1.55.
    """
    forecast = Forecast({"a": 100, "b": 300}, clock=at(0, 150))
    forecast.begin("a")
    assert forecast.during(150, share=0.5) == "about 8.7 min to 18.7 min left"


def test_work_that_looks_faster_may_be_the_first_part_of_its_stage():
    """After 10 s half of something is done, and 90 s of the stage and 300 of the run are left."""
    forecast = Forecast({"a": 100, "b": 300}, clock=at(0, 10))
    forecast.begin("a")
    assert left(forecast.during(10, share=0.5)) == pytest.approx(390 * 1.14, rel=0.02)


def test_a_machine_that_others_keep_busy_is_slow_until_the_run_shows_otherwise():
    """Planned work takes 3 times as long at first, and (100 + 3 · 60) / (100 + 60) after a stage.

    The middle of the range lies above its estimate, by 15 % at first and by 12.5 % later.
    """
    busy = Forecast({"a": 100, "b": 300}, slowdown=3, clock=at(0, 0))
    busy.begin("a")
    assert left(busy.during(300, share=0)) == pytest.approx(3 * 400 * 1.15, rel=0.02)
    assert left(busy.record("a", 100)) == pytest.approx(1.75 * 300 * 1.125, rel=0.02)


def test_a_stage_without_a_plan_says_nothing_of_the_run():
    forecast = Forecast({"a": 100}, clock=at(0))
    forecast.begin("report")
    assert forecast.during(5, share=0.5) == ""


def test_lines_of_progress_say_how_long_the_run_still_takes():
    with forecasting({"sample": 100, "judge": 300}, slowdown=1):
        stage_begins("sample")
        line = _line("sampling", 1, 4, 25.0, "loss 1")
    assert re.search(r"about 75 s left; loss 1; the run: about .* to .* left$", line)
    assert "the run" not in _line("sampling", 1, 4, 25.0, "")
