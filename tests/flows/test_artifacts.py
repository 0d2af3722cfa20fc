"""Artifacts and assets of stages on a real Prefect server, and trouble with it."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact

from flows.service import artifacts
from flows.service.artifacts import key_of, show_progress, show_stage
from flows.service.prefect_server import WITHOUT_EVENTS
from flows.terminal.logs import Origin, log_origin
from rlhf_core.records import Metric
from rlhf_core.store import Store

STAGE = Origin("Support.v2", 3, "train_policy", "0123456789ab")
DETAIL = {"model": "policy-1", "judges": ["a", "b"], "because": "1 | <img src=x>\n# two"}


def shown(key: str) -> list[Artifact]:
    named = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    with get_client(sync_client=True) as client:
        return client.read_artifacts(artifact_filter=named)


def show(store: Store, report: Path, detail: dict[str, Any]) -> None:
    flow(name="stage")(lambda: show_stage(STAGE, store, detail, 12.3, report))()


def test_a_stage_shows_its_counts_its_curves_and_its_page(
    server: str, store: Store, tmp_path: Path
):
    """A new cycle shows under the same key; no text opens a cell or an element of the page."""
    store.append(Metric(model_id="policy-1", step=n, name="kl", value=n) for n in (1, 2))
    page = tmp_path / "cycle-3.html"
    page.touch()
    show(store, page, DETAIL)
    show(store, tmp_path / "not there", {})
    first, second = sorted(shown("support-v2-train-policy"), key=lambda each: str(each.created))
    assert first.description == "Support.v2, cycle 3: train_policy"
    text = str(first.data)
    assert text.startswith("**Support.v2, cycle 3: train_policy** (12 s)\n")
    assert "| judges | a, b |" in text
    assert "| because | 1 \\| &lt;img src=x> # two |" in text
    assert "![kl](data:image/svg+xml;base64," in text
    assert f"[report]({page.as_uri()})" in text
    assert "report" not in str(second.data)
    assert first.flow_run_id is not None


def test_assets_have_the_lineage_of_the_stages(server: str, store: Store, tmp_path: Path):
    emitted: list[tuple[str, str, list[str]]] = []

    def keep(event: str, resource: dict[str, str], related: Any, **rest: Any) -> None:
        names = [dict(each).get("prefect.resource.id", "") for each in related]
        emitted.append((event, resource["prefect.resource.id"], names))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prefect.events.emit_event", keep)
        show(store, tmp_path, {"model": "policy-1"})
    made = [each for each in emitted if each[0] == "prefect.asset.materialization.succeeded"]
    ((_, asset, origins),) = made
    assert asset == "solon://Support.v2/policy"
    assert {"solon://Support.v2/reward-model", "solon://Support.v2/prompts"} <= set(origins)


def test_a_refused_policy_is_no_champion(monkeypatch: pytest.MonkeyPatch, store: Store):
    made: list[str] = []
    monkeypatch.delenv(WITHOUT_EVENTS, raising=False)
    monkeypatch.setattr(artifacts, "create_markdown_artifact", lambda *_, **__: None)
    monkeypatch.setattr(artifacts, "_materialize", lambda stage, detail: made.append(stage.stage))
    for is_promoted in (False, True):
        promote = Origin("line", 1, "promote", "run")
        show_stage(promote, store, {"promoted": is_promoted}, 1.0, Path("page"))
    assert made == ["promote"]


def _fail(*_: object, **__: object) -> None:
    raise ConnectionError("all attempts failed")


def test_trouble_with_the_server_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, store: Store, caplog: pytest.LogCaptureFixture
):
    monkeypatch.delenv(WITHOUT_EVENTS, raising=False)
    monkeypatch.setattr(artifacts, "create_markdown_artifact", _fail)
    with caplog.at_level(logging.WARNING, "flows"):
        show_stage(STAGE, store, {}, 1.0, Path("page"))
    assert "does not show the artifact of train_policy: all attempts failed" in caplog.text


def test_a_server_of_one_run_alone_is_told_nothing(monkeypatch: pytest.MonkeyPatch, store: Store):
    monkeypatch.setenv(WITHOUT_EVENTS, "1")
    monkeypatch.setattr(artifacts, "create_markdown_artifact", _fail)
    monkeypatch.setattr(artifacts, "logger", None)  # a warning would fail
    show_stage(STAGE, store, {}, 1.0, Path("page"))


def test_long_work_shows_its_progress_and_short_work_none(
    server: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(artifacts, "UPDATE_SECONDS", 0.2)

    @flow(name="progress")
    def work(line: str, seconds: float) -> None:
        with log_origin(Origin(line, 1)), show_progress("judging: far away", 4) as advance:
            advance(2, "")
            time.sleep(seconds)
            advance(2, "")

    work("quick", 0.0)
    work("slow", 1.5)
    assert shown("quick-judging-far-away-progress") == []
    (progress,) = shown("slow-judging-far-away-progress")
    assert progress.data == 100.0
    assert progress.type == "progress"


def test_keys_are_what_prefect_takes():
    assert key_of("Support.v2", "train_policy") == "support-v2-train-policy"
