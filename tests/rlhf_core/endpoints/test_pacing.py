"""Rates and congestion with a manual clock; slots with a real event loop."""

import asyncio
import time

import pytest

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.endpoints.pacing import Congestion, Pace, Rate, Slots


def test_a_second_of_the_rate_may_go_at_once_and_the_rest_waits():
    """120 a minute is one in 0.5 s: the bucket of one second holds two; one more is on credit."""
    rate = Rate(120)
    assert [rate.take(1, now=100.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 1.0]


def test_no_minute_sees_more_than_the_limit_and_one_burst():
    """The first minute, at 60 a minute, sees 60 + 1 + 1 of 200 concurrent requests."""
    rate = Rate(60)
    waits = [rate.take(1, now=0.0) for _ in range(200)]
    assert sum(wait <= 60.0 for wait in waits) == 62
    assert waits == sorted(waits)


def test_time_that_passes_flows_in_but_no_more_than_a_second_is_saved():
    rate = Rate(60)
    for _ in range(3):
        rate.take(1, now=0.0)  # paid for at 2.0
    assert rate.take(1, now=1.0) == pytest.approx(1.0)
    assert [rate.take(1, now=1000.0) for _ in range(3)] == [0.0, 0.0, 1.0]


def test_a_request_larger_than_the_bucket_goes_and_those_after_it_wait():
    """600 tokens at 60 a minute take 600 s, of which the bucket holds one."""
    rate = Rate(60)
    assert rate.take(600, now=0.0) == 0.0
    assert rate.take(1, now=0.0) == pytest.approx(599.0)


def test_what_was_taken_too_much_can_be_given_back():
    rate = Rate(60)
    rate.take(600, now=0.0)
    rate.take(-590, now=0.0)
    assert rate.take(1, now=0.0) == pytest.approx(9.0)


def test_no_limit_never_waits():
    rate = Rate(None)
    assert [rate.take(1e9, now=0.0) for _ in range(3)] == [0.0] * 3


def test_the_concurrency_is_halved_once_in_a_round_trip():
    """Requests sent at 1, 2 and 3 and refused at 4 are one event; a later request is a new one."""
    congestion = Congestion(32)
    for sent_at in (1.0, 2.0, 3.0):
        congestion.on_throttle(sent_at, now=4.0)
    assert congestion.limit == 16
    congestion.on_throttle(sent_at=5.0, now=6.0)
    assert congestion.limit == 8


def test_the_concurrency_never_falls_below_one():
    congestion = Congestion(3)
    for now in range(10):
        congestion.on_throttle(sent_at=now, now=now)
    assert congestion.limit == 1


def test_the_concurrency_is_regained_by_a_fixed_step_for_each_round_trip():
    """An eighth of 64 is 8, so 32 answers at a limit of 32 raise it to nearly 40."""
    congestion = Congestion(64)
    congestion.on_throttle(sent_at=1.0, now=2.0)
    for _ in range(32):
        congestion.on_answer()
    assert 39 < congestion.limit < 40  # slightly less, as the limit grows meanwhile
    for _ in range(1000):
        congestion.on_answer()
    assert congestion.limit == 64


def test_a_pause_is_not_cut_short_by_a_shorter_one():
    pace, now = Pace(EndpointSettings(model="m")), time.monotonic()
    pace.pause(now + 0.3)
    pace.pause(now + 0.1)
    asyncio.run(pace.wait_turn(tokens=5))
    assert time.monotonic() >= now + 0.3


def test_turns_that_are_cancelled_are_given_back():
    """60 a minute: after two at once, ten wait for up to 10 s; without them, the next waits 1 s."""
    pace = Pace(EndpointSettings(model="m", requests_per_minute=60, tokens_per_minute=60))

    async def main() -> None:
        turns = [asyncio.create_task(pace.wait_turn(tokens=1)) for _ in range(12)]
        await asyncio.sleep(0.01)
        assert sum(turn.done() for turn in turns) == 2
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)

    asyncio.run(main())
    now = time.monotonic()
    assert pace.requests.take(1, now) == pytest.approx(1.0, abs=0.5)
    assert pace.tokens.take(1, now) == pytest.approx(1.0, abs=0.5)


async def _busiest(congestion: Congestion, works: int) -> list[int]:
    """Return the number of slots in use as each work entered; the third is refused while inside."""
    slots, inside, seen = Slots(congestion), 0, []

    async def work(number: int) -> None:
        nonlocal inside
        async with slots:
            inside += 1
            seen.append(inside)
            if number == 3:
                congestion.on_throttle(sent_at=1.0, now=2.0)
            await asyncio.sleep(0.001)
            inside -= 1

    await asyncio.gather(*(work(number) for number in range(works)))
    return seen


def test_slots_that_are_given_up_are_not_passed_on():
    """The fourth work halves the eight slots, so four are left after those inside have left."""
    seen = asyncio.run(_busiest(Congestion(8), 40))
    assert max(seen) == 8
    assert max(seen[12:]) == 4


def test_slots_come_back_as_the_limit_grows():
    async def main() -> int:
        congestion = Congestion(8)
        congestion.limit = 2.0
        slots = Slots(congestion)
        congestion.limit = 5.0
        async with slots:  # leaving it grants the regained slots
            pass
        entered = [asyncio.create_task(slots.__aenter__()) for _ in range(8)]
        _, waiting = await asyncio.wait(entered, timeout=0.01)
        for task in waiting:
            task.cancel()
        return len(entered) - len(waiting)

    assert asyncio.run(main()) == 5


def test_an_endpoint_remembers_its_rate_from_one_call_to_the_next():
    """600 a minute is one in 0.1 s: eleven go at once, two more in a new event loop take 0.2 s."""
    pace = Pace(EndpointSettings(model="m", requests_per_minute=600))

    async def turns(count: int) -> float:
        started = asyncio.get_running_loop().time()
        for _ in range(count):
            await pace.wait_turn(tokens=5)
        return asyncio.get_running_loop().time() - started

    assert asyncio.run(turns(11)) < 0.05
    assert asyncio.run(turns(2)) > 0.1
