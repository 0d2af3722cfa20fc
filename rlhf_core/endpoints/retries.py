"""What may be tried again, and after what pause. The only place that retries.

Errors of the openai client become Solon's here. They never hold the key, whatever the server says.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx2
import openai

from rlhf_core.errors import EndpointError, TransientError

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
OUT_OF_CREDIT = "insufficient_quota"
"""Code of a 429 that no waiting mends."""
LONGEST_REASON = 300

T = TypeVar("T")


async def with_retries(once: Callable[[], Awaitable[T]], max_attempts: int) -> T:
    """The first outcome that is no failure of the moment.

    Raises:
        EndpointError: If there is none in so many attempts, or a failure that is final.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return await once()
        except TransientError as error:
            if attempt == max_attempts:
                final = EndpointError(f"{error} ({attempt} attempts)")
                final.may_be_billed = error.may_be_billed
                raise final from None
            await asyncio.sleep((error.retry_after_seconds or 0.0) + jitter(attempt))


def jitter(attempt: int) -> float:
    """Seconds before the next attempt: exponential with full jitter."""
    ceiling = min(FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1), LONGEST_PAUSE_SECONDS)
    return random.uniform(0.0, ceiling)


@contextmanager
def client_errors(key: str) -> Iterator[None]:
    """Inside, errors of the client and time-outs are raised as Solon's.

    Args:
        key: Struck out of what is said.
    """
    try:
        yield
    except TimeoutError:
        raise TransientError("APITimeoutError: Request timed out.") from None
    except openai.APIConnectionError as error:
        was_sent = not isinstance(error.__cause__, NEVER_SENT)
        raise TransientError(_describe(error, key), may_be_billed=was_sent) from None
    except openai.APIStatusError as error:
        raise _refusal(error, key) from None
    except openai.OpenAIError as error:
        raise EndpointError(_describe(error, key)) from None


def _refusal(error: openai.APIStatusError, key: str) -> EndpointError:
    reason, retry_after = _describe(error, key), retry_after_seconds(error.response.headers)
    if error.status_code == 429 and error.code != OUT_OF_CREDIT:
        return TransientError(reason, retry_after, is_throttled=True, may_be_billed=False)
    if error.status_code >= 500:
        return TransientError(reason, retry_after)
    return EndpointError(reason)


def retry_after_seconds(headers: httpx2.Headers) -> float | None:
    """What the server asks for, in seconds or as a date, up to the longest pause."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    if seconds != seconds:  # NaN
        return None
    return min(max(seconds, 0.0), LONGEST_PAUSE_SECONDS)


def _describe(error: openai.OpenAIError, key: str) -> str:
    status = getattr(error, "status_code", None)
    kind = f"HTTP {status}" if status else type(error).__name__
    said = str(error).removeprefix(f"Error code: {status}").removeprefix(" - ")
    body = getattr(error, "body", None)
    if not said and body:  # not in the form of OpenAI's errors
        said = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return f"{kind}: {one_line(said.replace(key, '[key]'))}"


def one_line(said: str) -> str:
    """What a server said, fit to be shown: short, on one line, without control characters."""
    printable = "".join(c if c.isprintable() else " " for c in said)
    return " ".join(printable.split())[:LONGEST_REASON]
