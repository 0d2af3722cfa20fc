"""Retries of remote calls, with backoff. This is the only place that retries.

It also translates errors of the openai client into Solon's. They never contain the key, whatever
the server says.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx2
import openai

from rlhf_core.errors import ContentFilteredError, EndpointError, TransientError

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
OUT_OF_CREDIT = "insufficient_quota"
"""Code of a 429 that waiting does not resolve."""
FILTER_CODES = ("content_filter", "ResponsibleAIPolicyViolation", "content_policy_violation")
"""Codes of an error that concerns what a request says."""
LONGEST_REASON = 300

T = TypeVar("T")


async def with_retries(once: Callable[[], Awaitable[T]], max_attempts: int) -> T:
    """Return the result of a call, retried after each TransientError.

    Args:
        once: Makes one attempt.
        max_attempts: Number of attempts, the first included.

    Raises:
        EndpointError: If all attempts fail, or one fails for good.
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
    """Return the seconds to wait after an attempt, counted from 1: exponential with full jitter."""
    ceiling = min(FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1), LONGEST_PAUSE_SECONDS)
    return random.uniform(0.0, ceiling)


@contextmanager
def client_errors(secrets: Collection[str]) -> Iterator[None]:
    """Raise client errors and timeouts inside the context as Solon's errors.

    Args:
        secrets: The key and other secrets of the requests, which are removed from the messages.

    Raises:
        TransientError: If a retry may succeed.
        EndpointError: If the failure is final.
    """
    try:
        yield
    except TimeoutError:
        raise TransientError("APITimeoutError: Request timed out.") from None
    except openai.APIConnectionError as error:
        was_sent = not isinstance(error.__cause__, NEVER_SENT)
        raise TransientError(_describe(error, secrets), may_be_billed=was_sent) from None
    except openai.APIStatusError as error:
        raise _refusal(error, secrets) from None
    except openai.OpenAIError as error:
        raise EndpointError(_describe(error, secrets)) from None


def _refusal(error: openai.APIStatusError, secrets: Collection[str]) -> EndpointError:
    reason, retry_after = _describe(error, secrets), retry_after_seconds(error.response.headers)
    if is_filtered(error.body):
        return ContentFilteredError(reason)
    if error.status_code == 429 and error.code != OUT_OF_CREDIT:
        return TransientError(reason, retry_after, is_throttled=True, may_be_billed=False)
    if error.status_code >= 500:
        return TransientError(reason, retry_after)
    return EndpointError(reason)


def is_filtered(body: object) -> bool:
    """Return True if an error says that a content filter kept the request from the model.

    Azure says so in `code`; a gateway before it repeats only the inner error.
    """
    if not isinstance(body, Mapping):
        return False
    codes = [str(body.get("code")), str(body.get("type"))]
    return any(code in FILTER_CODES for code in codes) or any(map(is_filtered, body.values()))


def retry_after_seconds(headers: httpx2.Headers) -> float | None:
    """Return the server's Retry-After in seconds, capped at the longest pause; None without one."""
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


def _describe(error: openai.OpenAIError, secrets: Collection[str]) -> str:
    status = getattr(error, "status_code", None)
    kind = f"HTTP {status}" if status else type(error).__name__
    message = str(error).removeprefix(f"Error code: {status}").removeprefix(" - ")
    body = getattr(error, "body", None)
    if not message and body:  # not in the format of OpenAI's errors
        message = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return f"{kind}: {one_line(without_secrets(message, secrets))}"


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """Return a server's text with the secrets of the request removed."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "[key]")
    return text


def one_line(text: str) -> str:
    """Return a server's text fit for display: short, on one line, without control characters."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:LONGEST_REASON]
