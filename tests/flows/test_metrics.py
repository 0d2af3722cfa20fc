"""Figures for Prometheus: a real scrape of a finished cycle, parsed as Prometheus parses it."""

import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from flows.monitoring.metrics import FAMILIES, LineCollector, registry_of
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError
from rlhf_core.store import Store
from tests.conftest import ROOT
from tests.flows.conftest import SMOKE, smoke
from tests.flows.processes import start_solon
from tests.flows.test_cli import call

Series = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def series(text: str) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Series, name: str, /, **labels: str) -> float:
    return found[f"solon_{name}", frozenset(labels.items())]


def check(found: Series, config: Config) -> None:
    """Compare a scrape with what the store itself says."""
    store, line = Store(config.store), config.name
    (pairs,) = store.query("SELECT count(*) AS n FROM pairs WHERE outcome = 'preferred'")
    assert value(found, "pairs_total", line=line, outcome="preferred") == pairs["n"]
    (scored,) = store.query(
        "SELECT count(*) AS n FROM judgements WHERE judge = 'similarity' AND outcome = 'scored'"
    )
    judged = {"judge": "similarity", "outcome": "scored"}
    assert value(found, "judgements_total", line=line, **judged) == scored["n"]
    (candidates,) = store.query("SELECT count(*) AS n FROM candidates")
    assert value(found, "candidates_total", line=line) == candidates["n"]
    (promotion,) = store.query("SELECT * FROM promotions")
    promoted = bool(promotion["promoted"])
    assert value(found, "decisions_total", line=line, promoted=str(promoted).lower()) == 1
    assert value(found, "champion_cycle", line=line) == promoted
    assert value(found, "cycle", line=line) == 1
    (deciding,) = store.query("SELECT * FROM evaluations WHERE role = 'decides'")
    by = {"judge": deciding["judge"], "role": "decides"}
    assert value(found, "win_rate", line=line, **by) == pytest.approx(deciding["win_rate"])
    assert value(found, "policy_kl_nats", line=line) == pytest.approx(deciding["kl"])
    (ended,) = store.query("SELECT epoch(created_at) AS at FROM stage_runs WHERE stage = 'sample'")
    assert value(found, "stage_end_timestamp_seconds", line=line, stage="sample") == pytest.approx(
        ended["at"]
    )
    assert value(found, "misled_judges", line=line) >= 0
    (last,) = store.query(
        "SELECT value FROM metrics WHERE name = 'kl' AND model_id = ? ORDER BY step DESC LIMIT 1",
        [promotion["policy_id"]],
    )
    assert value(found, "policy_metric", line=line, name="kl") == pytest.approx(last["value"])


def test_a_scrape_tells_of_a_line_what_its_store_does(
    finished: Config, environment: dict[str, str]
):
    """By the command itself, over HTTP; SIGTERM ends it as it does any other."""
    port = _free_port()
    chosen = [f"store={finished.store}", f"name={finished.name}"]
    command = ["metrics", SMOKE, "--port", str(port)]
    command += [word for setting in chosen for word in ("--set", setting)]
    exporter = start_solon(command, environment)
    try:
        text = scrape(port, exporter)
    finally:
        exporter.send_signal(signal.SIGTERM)
        exporter.communicate(timeout=60)
    assert exporter.returncode == 143
    check(series(text), finished)
    assert "# TYPE solon_pairs_total counter" in text
    assert "# TYPE solon_win_rate gauge" in text


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scrape(port: int, exporter: "subprocess.Popen[str]") -> str:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
                return str(reply.read().decode())
        except OSError:
            assert exporter.poll() is None, exporter.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_the_figures_of_a_cron_line_are_a_file(
    finished: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(finished.store.parent, tmp_path / "runs")
    path = tmp_path / "solon.prom"
    chosen = [f"store={tmp_path / 'runs' / finished.store.name}", f"name={finished.name}"]
    options = [word for setting in chosen for word in ("--set", setting)]
    assert call(monkeypatch, "metrics", SMOKE, *options, "--textfile", str(path)) == 0
    check(series(path.read_text()), finished)


def test_a_line_without_a_store_has_its_budget_alone(tmp_path: Path):
    config = smoke(tmp_path, "budget.max_usd=5")
    metrics = [metric for metric in registry_of([config]).collect() if metric.samples]
    assert [(metric.name, metric.samples[0].value) for metric in metrics] == [
        ("solon_budget_usd", 5)
    ]


def test_two_lines_of_one_name_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="two configs are named"):
        LineCollector([smoke(tmp_path), smoke(tmp_path / "other")])


def test_names_follow_the_conventions_of_prometheus():
    """Base units, no unit twice, and `_total` is added to counters alone."""
    for family in FAMILIES:
        assert not family.name.endswith(("_total", "_ms", "_minutes", "_hours")), family.name
        assert family.help.endswith(".")


def test_the_example_alerts_name_metrics_that_there_are():
    rules = (ROOT / "deploy" / "monitoring" / "alerts.yaml").read_text()
    known = {f"solon_{each.name}{'_total' * each.is_counter}" for each in FAMILIES}
    assert set(re.findall(r"solon_\w+", rules)) <= known
    assert all("expr" in rule for rule in yaml.safe_load(rules)["groups"][0]["rules"])
