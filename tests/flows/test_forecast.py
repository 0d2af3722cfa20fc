"""The forecast of the time left in a run."""

import re

import pytest

from flows.cycle.forecast import Forecast, slowdown_by_others, time_range

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


def test_an_idle_machine_slows_nothing_down(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (0.2, 0, 0))
    assert slowdown_by_others() == 1
    monkeypatch.setattr("os.getloadavg", lambda: (4.5, 0, 0))
    assert slowdown_by_others() == 3
