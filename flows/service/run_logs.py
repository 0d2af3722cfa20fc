"""Log lines and progress of runs that a Prefect server started: on stderr, and on the server."""

import logging

from prefect.logging.handlers import APILogHandler, PrefectConsoleHandler

from flows.service.artifacts import show_progress
from flows.terminal.logs import LOGGERS, LogFormat, formatter, log_format, log_to_console
from flows.terminal.progress import watch_progress


def log_run() -> None:
    """Write Solon's lines to stderr with their origin, and to the log of the run on the server.

    The server also shows the progress of long work.

    Prefect's own lines on stderr follow the format, too.
    """
    log_to_console(with_origin=True)
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(handler, APILogHandler) for handler in logger.handlers):
            logger.addHandler(APILogHandler())
    watch_progress(show_progress)
    if log_format() is LogFormat.JSON:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, PrefectConsoleHandler):
                handler.setFormatter(formatter(with_origin=True))
