"""Cron lines, intervals and time zones, checked before anything starts."""

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

import tzlocal

from rlhf_core.errors import ConfigError

if TYPE_CHECKING:
    from prefect.schedules import Schedule
    from prefect.server.schemas.schedules import SCHEDULE_TYPES

EXAMPLE = '"0 3 * * *" for three at night'
FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day of the month": "1-31",
    "month": "1-12 or jan-dec",
    "day of the week": "0-6 from Sunday, or sun-sat",
    "second": "0-59",
}
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
NAMES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")


def time_zone(name: str | None) -> str:
    """Return the IANA name of a time zone, checked, or that of this machine's.

    Raises:
        ConfigError: If there is no zone of that name, or this machine's zone has no IANA name.
    """
    if name is not None:
        if name in available_timezones():
            return name
        raise ConfigError(
            f"--timezone {name!r}: no such time zone; give an IANA name such as Europe/Berlin, "
            "America/New_York or UTC"
        )
    given = os.environ.get("TZ", "").removeprefix(":")
    if given and not Path(given).is_absolute() and given not in available_timezones():
        raise ConfigError(
            f"this machine's time zone, TZ={given!r}, has no IANA name; give one with --timezone, "
            "as in --timezone Europe/Berlin"
        )
    return tzlocal.get_localzone_name() or "UTC"


def firings(cron: str, zone: str, count: int) -> list[datetime]:
    """Return the next firings of a cron line, by Prefect's own scheduler.

    Args:
        cron: Five fields, or six with seconds last, or a name such as @daily.
        zone: IANA name of a time zone.
        count: Number of firings.

    Raises:
        ConfigError: If the line is wrong, or no such time ever comes.
    """
    from prefect.server.schemas.schedules import CronSchedule

    problem = _problem(cron)
    if problem is not None:
        raise ConfigError(
            f"--cron {cron!r}: {problem}; write minute, hour, day of the month, month and day of "
            f"the week, as in {EXAMPLE}"
        )
    try:
        moments = asyncio.run(CronSchedule(cron=cron, timezone=zone).get_dates(count))
    except ValueError:
        moments = []
    if not moments:
        raise ConfigError(f"--cron {cron!r}: no such time ever comes; write one as in {EXAMPLE}")
    return _in_zone(moments, zone)


@dataclass(frozen=True)
class Timing:
    """Times at which something runs: by a cron line or at an interval.

    Raises:
        ConfigError: If there is neither or both, or one is wrong.
    """

    cron: str | None
    interval: str | None
    """A number and s, m, h or d, such as 6h."""
    zone: str
    """IANA name of a time zone, in which days begin."""

    def __post_init__(self) -> None:
        if (self.cron is None) == (self.interval is None):
            raise ConfigError(
                f"give --cron, as in {EXAMPLE}, or --interval, as in 6h, and not both"
            )

    @property
    def text(self) -> str:
        return repr(self.cron) if self.cron is not None else f"every {self.interval}"

    def firings(self, count: int) -> list[datetime]:
        """Return the next firings, by Prefect's own scheduler."""
        if self.cron is not None:
            return firings(self.cron, self.zone, count)
        from prefect.server.schemas.schedules import IntervalSchedule

        schedule = IntervalSchedule(
            interval=self._period(), anchor_date=self._anchor(), timezone=self.zone
        )
        return _in_zone(asyncio.run(schedule.get_dates(count)), self.zone)

    def schedule(self) -> "Schedule":
        """Return Prefect's schedule."""
        from prefect.schedules import Schedule

        if self.cron is not None:
            return Schedule(cron=self.cron, timezone=self.zone)
        return Schedule(interval=self._period(), anchor_date=self._anchor(), timezone=self.zone)

    def _period(self) -> timedelta:
        matched = re.fullmatch(r"(\d+)([smhd])", self.interval or "")
        if not matched or not int(matched[1]):
            raise ConfigError(
                f"--interval {self.interval!r}: write a number and s, m, h or d, such as 30m or 6h"
            )
        return timedelta(**{UNITS[matched[2]]: int(matched[1])})

    def _anchor(self) -> datetime:
        """Return a midnight that all starts share, so that a restart moves no firing."""
        return datetime(2024, 1, 1, tzinfo=ZoneInfo(self.zone))


def next_time(schedule: "SCHEDULE_TYPES") -> datetime:
    """Return the next firing of a schedule of Prefect's server, in UTC."""
    (moment,) = _in_zone(asyncio.run(schedule.get_dates(1)), "UTC")
    return moment


def _in_zone(moments: Sequence[datetime], zone: str) -> list[datetime]:
    return [datetime.fromtimestamp(moment.timestamp(), ZoneInfo(zone)) for moment in moments]


def _problem(cron: str) -> str | None:
    """Return the fault of a cron line in words, or None."""
    from prefect.server.schemas.schedules import CronSchedule

    def is_right(line: str) -> bool:
        try:
            CronSchedule(cron=line)
        except ValueError:
            return False
        return True

    if is_right(cron):
        return None
    if cron.startswith("@"):
        return f"there is no such name; there are {', '.join(NAMES)}"
    words = cron.split()
    if len(words) not in (5, 6):
        return f"{len(words)} fields instead of 5" if words else "it is empty"
    for place, (field, allowed) in enumerate(FIELDS.items()):
        if place < len(words):
            alone = ["*"] * len(words)
            alone[place] = words[place]
            if not is_right(" ".join(alone)):
                return f"{words[place]!r} is no {field} ({allowed})"
    return "the fields do not go together"
