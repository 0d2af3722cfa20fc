"""A policy that meets the conditions waits for a person, whose decision ends the cycle."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError

from flows.champion.approval import answer, open_request
from flows.cycle.cycle import Cycle, ended_cycles
from flows.deployed import approval
from flows.reports.summary import waiting_for_approval
from flows.run import finish_cycle, run_cycles
from rlhf_core.config import Config
from rlhf_core.errors import IdError
from rlhf_core.store import Store, champions
from tests.flows.conftest import smoke
from tests.flows.test_pipeline import WINS_ALWAYS

pytestmark = pytest.mark.usefixtures("server")

MANUAL = [*WINS_ALWAYS, "promotion.approval=manual"]


@pytest.fixture
def waiting(finished: Config, tmp_path: Path) -> Config:
    """A line whose first cycle waits for approval; all its models are those of the finished one."""
    shutil.copytree(finished.store.parent, tmp_path / "copy")
    config = smoke(tmp_path / "copy", *MANUAL)
    run_cycles(config, 2, is_quiet=True)
    return config


def decisions(config: Config) -> list[dict[str, Any]]:
    sql = "SELECT cycle, promoted, reasons FROM promotions WHERE line = ? ORDER BY cycle"
    return Store(config.store).query(sql, [config.name])


def test_an_approved_policy_is_promoted_and_ends_its_cycle(waiting: Config):
    """Cycle 2 does not begin before, and the page is there to decide by."""
    store = Store(waiting.store)
    request = open_request(store, waiting.name)
    assert request is not None
    assert (ended_cycles(waiting), decisions(waiting)) == (0, [])
    page = Cycle(config=waiting, number=1, run_id="").report_path
    assert "waits for approval" in page.read_text()
    told = waiting_for_approval(waiting, 2)
    assert told is not None
    assert (told["waits_for_approval"], told["report"]) == (request.policy_id, str(page))
    assert store.query("SELECT * FROM check_stages_without_rows") == []
    assert run_cycles(waiting, 1, is_quiet=True) == {"cycle_runs": 1}  # it still waits

    with pytest.raises(IdError, match="no id begins with 'policy-none'"):
        answer(waiting, "policy-none", True, "ada", "read 40 answers")
    answer(waiting, request.policy_id[:12], True, "ada", "read 40 answers")
    assert open_request(store, waiting.name) is None
    finish_cycle(waiting)
    (decided,) = decisions(waiting)
    assert decided["promoted"]
    assert decided["reasons"][0] == "approved by ada: read 40 answers"
    assert ended_cycles(waiting) == 1
    assert "promoted</span>" in page.read_text()
    assert champions.champion(store, waiting.name) == champions.Promoted(request.policy_id, 1)
    (change,) = store.query("SELECT * FROM champion_changes WHERE line = ?", [waiting.name])
    assert change["decided_by"] == "ada"
    with pytest.raises(IdError, match="no policy waits for approval"):
        answer(waiting, request.policy_id, True, "ada", "again")


@pytest.mark.slow
def test_a_rejected_policy_is_refused_at_the_next_run(waiting: Config):
    answer(waiting, "", False, "bob", "flatters the user")
    run_cycles(waiting, 1, is_quiet=True)
    (decided,) = decisions(waiting)
    assert not decided["promoted"]
    assert decided["reasons"][0] == "rejected by bob: flatters the user"
    assert ended_cycles(waiting) == 1
    assert champions.champion(Store(waiting.store), waiting.name) is None


@pytest.mark.slow
def test_a_person_approves_in_the_form_of_prefects_page(waiting: Config, tmp_path: Path):
    """The form asks for decision, name and reason, and refuses empty ones."""
    fields = approval.parameters.properties
    assert fields["decision"]["enum"] == ["approve", "reject"]
    assert set(approval.parameters.required) == {"config", "overrides", "decision", "by", "reason"}
    path = tmp_path / "line.yaml"
    path.write_text(waiting.model_dump_json(exclude_defaults=True))  # JSON is YAML
    with pytest.raises(ParameterTypeError):
        approval(str(path), [], decision="approve", by="", reason="read 40 answers")
    approval(str(path), [], decision="approve", by="ada", reason="read 40 answers")
    assert decisions(waiting)[0]["reasons"][0] == "approved by ada: read 40 answers"
