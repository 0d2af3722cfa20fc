"""When a schedule fires: in whose time, and what a wrong line is told."""

from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
import tzlocal.unix

from flows.service.cron import firings, time_zone
from rlhf_core.errors import ConfigError


def test_a_cron_line_means_the_clock_of_its_zone():
    """Three at night in Berlin is three at night there, in summer and in winter."""
    for moment in firings("0 3 * * *", "Europe/Berlin", 3):
        assert (moment.hour, moment.minute) == (3, 0)
        assert moment.tzinfo == ZoneInfo("Europe/Berlin")
    winter, summer = firings("0 12 1 1,7 *", "Europe/Berlin", 2)
    offsets = {moment.month: moment.utcoffset() for moment in (winter, summer)}
    assert offsets == {1: timedelta(hours=1), 7: timedelta(hours=2)}


def test_the_next_firings_follow_one_another_from_now():
    found = firings("*/15 * * * *", "UTC", 3)
    assert {after - before for before, after in pairwise(found)} == {timedelta(minutes=15)}
    assert timedelta(0) <= found[0] - datetime.now(ZoneInfo("UTC")) <= timedelta(minutes=15)


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        ("61 0 * * *", r"'61' is no minute \(0-59\)"),
        ("0 25 * * *", r"'25' is no hour \(0-23\)"),
        ("0 3 0 * *", r"'0' is no day of the month \(1-31\)"),
        ("0 3 * 13 *", r"'13' is no month \(1-12 or jan-dec\)"),
        ("0 3 * * 8", r"'8' is no day of the week"),
        ("* * * * * 60", r"'60' is no second"),
        ("every day", "2 fields instead of 5"),
        ("", "it is empty"),
        ("@often", "there is no such name; there are @hourly, @daily"),
        ("30 2 31 2 *", "no such time ever comes"),
    ],
)
def test_a_wrong_cron_line_is_one_sentence_with_an_example(cron: str, problem: str):
    with pytest.raises(ConfigError, match=rf"^--cron '.*': {problem}") as raised:
        firings(cron, "UTC", 3)
    assert '"0 3 * * *" for three at night' in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_time_zone_is_an_iana_name(monkeypatch: pytest.MonkeyPatch):
    assert time_zone("America/New_York") == "America/New_York"
    for wrong in ("Berlin", "CEST", "UTC+2", "../etc/passwd"):
        with pytest.raises(ConfigError, match="give an IANA name such as Europe/Berlin"):
            time_zone(wrong)
    monkeypatch.setattr(tzlocal.unix, "_cache_tz_name", None)  # as in a process of its own
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert time_zone(None) == "Asia/Tokyo"
    monkeypatch.setattr(tzlocal.unix, "_cache_tz_name", None)
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    with pytest.raises(ConfigError, match="no IANA name; give one with --timezone"):
        time_zone(None)
