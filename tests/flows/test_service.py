"""The service as a team runs it: a server, two workers, and a line that trains by itself."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.workplace import Workplace

TRIGGERS = {"triggers": {"new_pairs": 60}}
"""More trainable pairs than the prompts of two runs of feedback give, fewer than those of three."""


@pytest.fixture
def place(environment: dict[str, str], tmp_path: Path) -> Iterator[Workplace]:
    place = Workplace(tmp_path, environment, "service", TRIGGERS)
    place.write_prompts(16)
    place.start_server()
    try:
        yield place
    finally:
        place.end()


def sampled_from(place: Workplace, cycle: int) -> list[str]:
    """Models that the feedback of a cycle sampled from, oldest first."""
    rows = place.store.query(
        "SELECT detail FROM stage_runs WHERE stage = 'sample' AND cycle = ? ORDER BY number",
        [cycle],
    )
    return [json.loads(row["detail"])["from"] for row in rows]


def completed(place: Workplace, flow: str, count: int = 1) -> None:
    """Wait until a flow has completed so often, and did not wait for another."""

    def enough() -> bool:
        runs = place.runs("COMPLETED", flow=flow)
        return sum(run["state"]["name"] == "Completed" for run in runs) >= count

    place.wait_for(enough, what=f"{count} × {flow}")


@pytest.mark.slow
def test_a_line_trains_promotes_and_is_rolled_back_by_itself(place: Workplace):
    """Feedback comes on a schedule, and enough pairs start all that follows."""
    place.solon("deploy", str(place.config), "--interval", "20s")
    place.start_workers()
    completed(place, "feedback")
    place.write_prompts(28)
    completed(place, "feedback", 2)
    assert place.runs("COMPLETED", "RUNNING", "PENDING", flow="reward-model") == []
    place.write_prompts(50)
    for flow in ("reward-model", "policy", "evaluate", "promote"):
        completed(place, flow)
    (decision,) = place.store.query("SELECT policy_id, promoted FROM promotions")
    assert decision["promoted"]
    (before,) = set(sampled_from(place, 1))
    place.wait_for(lambda: sampled_from(place, 2), what="feedback of the second cycle")
    assert sampled_from(place, 2) == [decision["policy_id"]]
    place.solon("rollback", "--config", str(place.config), "--reason", "a test")
    place.wait_for(lambda: len(sampled_from(place, 2)) > 1, what="feedback after the rollback")
    assert sampled_from(place, 2)[-1] == before
    store = place.store
    assert store.query("SELECT * FROM check_orphans") == []
    assert store.query("SELECT * FROM check_duplicate_ids") == []
    assert place.end() == []
