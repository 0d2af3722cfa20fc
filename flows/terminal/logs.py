"""Log lines on stderr: their format, and the line, cycle, stage and run that they belong to.

A process runs one stage at a time, so the origin of its lines is one value for all its threads.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from flows.terminal import progress
from rlhf_core.errors import ConfigError

LOGGERS = ("flows", "judges", "rlhf_core")
FORMAT = "SOLON_LOG_FORMAT"
"""Environment variable with the format of log lines, which child processes inherit."""


class LogFormat(StrEnum):
    """Format of log lines."""

    PLAIN = "plain"
    JSON = "json"


@dataclass(frozen=True)
class Origin:
    """The line, cycle, stage and run that log lines of this process belong to."""

    line: str = ""
    cycle: int | None = None
    stage: str = ""
    run: str = ""
    """The run id that the store's rows carry."""

    def __str__(self) -> str:
        cycle = "" if self.cycle is None else f"cycle {self.cycle}"
        return " ".join(part for part in (self.line, cycle, self.stage, self.run) if part)


_origin = Origin()


@contextmanager
def log_origin(origin: Origin) -> Iterator[None]:
    """Let the lines inside the block carry an origin."""
    global _origin
    former, _origin = _origin, origin
    try:
        yield
    finally:
        _origin = former


def current_origin() -> Origin:
    """Return what lines of this process belong to now."""
    return _origin


def log_format() -> LogFormat:
    """Return the format that the environment names; plain by default.

    Raises:
        ConfigError: If there is no such format.
    """
    named = os.environ.get(FORMAT, LogFormat.PLAIN)
    if named not in tuple(LogFormat):
        raise ConfigError(f"{FORMAT} is {named!r}; use {' or '.join(LogFormat)}")
    return LogFormat(named)


def use_format(chosen: LogFormat | None) -> None:
    """Choose the format for this process and its children; None keeps the environment's."""
    if chosen is not None:
        os.environ[FORMAT] = chosen


def formatter(*, with_origin: bool) -> logging.Formatter:
    """Return the formatter of log lines.

    Args:
        with_origin: True begins each plain line with its origin; JSON always has it.
    """
    return _Json() if log_format() is LogFormat.JSON else _Plain(with_origin)


def log_to_console(*, with_origin: bool = False) -> None:
    """Write the lines of Solon's loggers to stderr, from INFO on.

    Args:
        with_origin: True begins each plain line with its origin.
    """
    handler = _ConsoleLog()
    handler.setFormatter(formatter(with_origin=with_origin))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        for former in [each for each in logger.handlers if isinstance(each, _ConsoleLog)]:
            logger.removeHandler(former)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


class _ConsoleLog(logging.Handler):
    """Prints log lines through the console of the progress bars, which keeps both whole."""

    def emit(self, record: logging.LogRecord) -> None:
        progress.print_line(self.format(record))


class _Plain(logging.Formatter):
    def __init__(self, with_origin: bool) -> None:
        super().__init__("%(asctime)s %(message)s", datefmt="%H:%M:%S")
        self._with_origin = with_origin

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        origin = str(_origin) if self._with_origin else ""
        if not origin:
            return line
        time, _, message = line.partition(" ")
        return f"{time} {origin} | {message}"


class _Json(JsonFormatter):
    """One JSON object a line; cycle is null and the rest is empty outside of a cycle."""

    def __init__(self) -> None:
        super().__init__(
            "{levelname}{name}{message}",
            style="{",
            timestamp="time",
            rename_fields={"levelname": "level", "name": "logger"},
            json_ensure_ascii=False,
        )

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        super().add_fields(log_data, record, message_dict)
        log_data.update(asdict(_origin))
