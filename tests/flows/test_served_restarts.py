"""`solon serve` is restarted around its firing times: no firing is doubled, and none is lost.

The moments are drawn from SOLON_SEED; SOLON_RESTARTS says how many there are, 10 if nothing does.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flows.service.deployments import LATE
from rlhf_core.store import Store
from tests.flows.conftest import smoke
from tests.flows.serving import Serving, still_there

SEED = os.environ.get("SOLON_SEED", "1")
RESTARTS = int(os.environ.get("SOLON_RESTARTS", "10"))
EVERY_20_SECONDS = "* * * * * */20"
PERIOD = timedelta(seconds=20)
AROUND_SECONDS = 2.0
"""A signal comes at most so long before or after a firing."""
DOWN_SECONDS = (0.0, 5.0, 75.0)
"""The last is longer than the grace of a firing."""
FEEDBACK = "feedback"
DONE = "COMPLETED"
ENDED = (DONE, "CRASHED", "CANCELLED")


def serve(folder: Path, environment: Mapping[str, str]) -> Serving:
    """Serve the groups of stages: feedback that is all there takes seconds."""
    return Serving(folder, environment, "--stages", cron=EVERY_20_SECONDS)


def wait_until_near_a_firing(drawn: random.Random) -> float:
    """Sleep until a time close to a firing; return its distance from the firing in seconds."""
    distance = drawn.uniform(-AROUND_SECONDS, AROUND_SECONDS)
    period = PERIOD.total_seconds()
    time.sleep((distance - time.time()) % period)
    return distance


def firing_of(run: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(run["expected_start_time"])


def started_late_by(run: Mapping[str, Any]) -> timedelta:
    return datetime.fromisoformat(run["start_time"]) - firing_of(run)


def is_skipped(run: Mapping[str, Any]) -> bool:
    return str(run["state"]["message"]).startswith("skipped")


@pytest.mark.slow
def test_ten_restarts_double_no_firing_and_lose_none(environment: dict[str, str], tmp_path: Path):
    """Each firing has one run, which runs once, or is skipped since nobody served it in time."""
    environment = {**environment, "PREFECT_HOME": str(tmp_path / "prefect")}
    drawn = random.Random(f"{SEED} restarts")
    print(f"\nseed {SEED}")
    serving = serve(tmp_path, environment)
    began = datetime.now(UTC)
    up: list[tuple[datetime, datetime]] = []
    for place in range(RESTARTS):
        since = datetime.now(UTC)
        serving.wait_for(partial(serving.runs, FEEDBACK))
        distance = wait_until_near_a_firing(drawn)
        number = drawn.choice((signal.SIGTERM, signal.SIGKILL))
        family = serving.family()
        serving.end(number)
        up.append((since, datetime.now(UTC)))
        assert still_there(family) == []
        down = DOWN_SECONDS[-1] if place == RESTARTS // 2 else drawn.choice(DOWN_SECONDS[:-1])
        print(f"{number.name} {distance:+.2f} s from a firing, down for {down:.0f} s", flush=True)
        time.sleep(down)
        serving = serve(tmp_path, environment)
    try:
        # One that nobody interrupts completes.
        serving.wait_for(lambda: [r for r in serving.runs(FEEDBACK) if r["state_type"] == DONE])
        until = datetime.now(UTC)
        past = serving.wait_for(lambda: all_ended(serving.runs(FEEDBACK), until))
    finally:
        serving.end(signal.SIGTERM)

    counted = Counter(firing_of(run) for run in past if run["auto_scheduled"])
    first = min(counted)
    assert first < began + 2 * PERIOD
    firings = [first + number * PERIOD for number in range((until - first) // PERIOD + 1)]
    assert counted == Counter(firings)
    assert max(run["run_count"] for run in past) <= 1
    skipped = [run for run in past if is_skipped(run)]
    states = Counter(run["state_type"] for run in past if run not in skipped)
    print(f"{len(firings)} firings: {len(skipped)} skipped, {dict(states)}")
    for run in skipped:
        assert not any(since <= firing_of(run) < ended - LATE for since, ended in up), run
    started = [run for run in past if run["start_time"] is not None]
    print(f"started at most {max(started_late_by(run) for run in started)} after their times")
    store = Store(smoke(tmp_path).store)
    assert store.query("SELECT * FROM check_orphans") == []
    assert store.query("SELECT * FROM check_duplicate_ids") == []


def all_ended(runs: list[dict[str, Any]], until: datetime) -> list[dict[str, Any]]:
    """Return the runs of all firings so far if each of them has ended, else none."""
    past = [run for run in runs if firing_of(run) <= until]
    return past if all(run["state_type"] in ENDED for run in past) else []
