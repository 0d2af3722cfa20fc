"""Killed with SIGKILL while a run is pending or running, a schedule goes on at its next start."""

import signal
from pathlib import Path

import pytest

from rlhf_core.store import Store
from tests.flows.conftest import smoke
from tests.flows.serving import Serving, still_there


@pytest.mark.slow
@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_schedule_goes_on_after_a_kill(state: str, environment: dict[str, str], tmp_path: Path):
    """The dead run holds the one slot; its server was killed too, and forgot who held it."""
    environment = {**environment, "PREFECT_HOME": str(tmp_path / "prefect")}
    killed = Serving(tmp_path, environment)
    (dead,) = killed.wait_for(lambda: killed.in_state(state))[:1]
    family = killed.family()
    killed.end(signal.SIGKILL)
    assert still_there(family) == []
    again = Serving(tmp_path, environment)
    try:
        crashed = again.wait_for(
            lambda: [run for run in again.in_state("CRASHED") if run["id"] == dead["id"]]
        )
        assert "is gone" in crashed[0]["state"]["message"]
        again.wait_for(lambda: again.in_state("COMPLETED"))
    finally:
        said = again.end(signal.SIGTERM)
    assert again.process.returncode == 143
    assert "Traceback" not in said
    cycles = Store(smoke(tmp_path).store).query("SELECT cycle FROM promotions ORDER BY cycle")
    assert cycles[0]["cycle"] == 1
