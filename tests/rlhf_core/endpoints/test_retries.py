"""Pauses, Retry-After, and which errors are retried."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest

from rlhf_core.endpoints import retries
from rlhf_core.errors import EndpointError, TransientError


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("3600", 60.0),
        ("inf", 60.0),
        ("-3", 0.0),
        ("nan", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_up_to_the_longest_pause(said: str, seconds: float | None):
    assert retries.retry_after_seconds(httpx2.Headers({"retry-after": said})) == seconds


def test_retry_after_may_be_a_date():
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    found = retries.retry_after_seconds(httpx2.Headers({"retry-after": at}))
    assert found == pytest.approx(19.5, abs=1.5)


def test_a_date_without_a_zone_is_no_crash():
    at = "Wed, 21 Oct 2026 07:28:00 -0000"
    assert retries.retry_after_seconds(httpx2.Headers({"retry-after": at})) is None


def test_jitter_is_full_and_bounded():
    """The first pause is 0 to 0.5 s, the fourth 0 to 4 s, the hundredth 0 to 60 s."""
    for attempt, ceiling in ((1, 0.5), (4, 4.0), (100, 60.0)):
        drawn = [retries.jitter(attempt) for _ in range(200)]
        assert 0 <= min(drawn) < 0.2 * ceiling
        assert 0.8 * ceiling < max(drawn) <= ceiling


@pytest.mark.parametrize("may_be_billed", [True, False])
def test_the_last_failure_says_whether_it_may_be_billed(monkeypatch, may_be_billed: bool):
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.0)

    async def fail() -> None:
        raise TransientError("no", may_be_billed=may_be_billed)

    with pytest.raises(EndpointError, match=r"no \(3 attempts\)") as failure:
        asyncio.run(retries.with_retries(fail, 3))
    assert failure.value.may_be_billed is may_be_billed
