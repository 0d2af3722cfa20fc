"""Cron lines and time zones, checked before anything starts."""

import asyncio
import os
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import tzlocal

from rlhf_core.errors import ConfigError

EXAMPLE = '"0 3 * * *" for three at night'
FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day of the month": "1-31",
    "month": "1-12 or jan-dec",
    "day of the week": "0-6 from Sunday, or sun-sat",
    "second": "0-59",
}
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
