"""Images, compose file, units and manifests: linted, and true to the code that they run.

Nothing is built here. hadolint and kubernetes-validate come with the extra dev-slow, and
systemd-analyze is used where the system has it.
"""

import importlib.util
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from flows.cli import main
from tests.conftest import ROOT
from tests.flows.test_docs import parse

DEPLOY = ROOT / "deploy"
IMAGES = sorted((DEPLOY / "docker").glob("Dockerfile*"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service")) + sorted(
    (DEPLOY / "systemd").glob("*.timer")
)
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
TREE = {
    str(document["kind"]) + "/" + str(document["metadata"]["name"]): document
    for path in MANIFESTS
    if path.name != "kustomization.yaml"
    for document in yaml.safe_load_all(path.read_text())
}
SYSTEMD_SECONDS = 20.0
SECRET = re.compile(r"(?i)(api_?key|password|token|secret)\w*\s*[=:]\s*[\"']?[A-Za-z0-9+/_-]{12,}")
costs = runpy.run_path(str(DEPLOY / "cycle_costs.py"))


def pods() -> Iterator[dict[str, Any]]:
    """The pod of each workload."""
    for document in TREE.values():
        spec = document.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield spec["template"]["spec"]


def containers() -> list[dict[str, Any]]:
    return [container for pod in pods() for container in pod["containers"]]


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_an_image_passes_hadolint(path: Path):
    hadolint = shutil.which("hadolint") or Path(sys.executable).with_name("hadolint")
    if not Path(hadolint).exists():
        pytest.skip("needs hadolint: pip install -e '.[dev-slow]'")
    ended = subprocess.run([hadolint, path], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_an_image_installs_what_is_tested_as_another_user_than_root(path: Path):
    text = path.read_text()
    constraints = (DEPLOY / "constraints.txt").read_text()
    (torch,) = re.findall(r"^torch==(\S+)$", constraints, re.MULTILINE)
    assert re.findall(r'"torch==([\d.]+)', text) == [torch]
    assert re.search(r"^USER 10001$", text, re.MULTILINE)
    assert 'ENTRYPOINT ["tini", "--"]' in text
    (extras,) = re.findall(r"^ARG EXTRAS=(\S+)$", text, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    copied = re.findall(r"^COPY ((?!--from)[^\n]+) \S+$", text, re.MULTILINE)
    wanted = {name for line in copied for name in line.split()}
    assert all((ROOT / name).exists() for name in wanted)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == wanted


def test_no_secret_stands_in_a_file():
    for path in [*IMAGES, *MANIFESTS, DEPLOY / "compose.yaml", DEPLOY / "systemd" / "solon.env"]:
        assert not SECRET.search(path.read_text()), path.name


def test_the_compose_file_waits_for_what_is_healthy():
    services = COMPOSE["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for {other}"
        assert service.get("image"), name
        assert ":" in service["image"]
        assert not service["image"].endswith(":latest")
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert source.startswith("$") or source in COMPOSE["volumes"], f"{name}: {mount}"
    assert services["prefect"]["ports"] == ["127.0.0.1:4200:4200"]


def test_manifests_are_kubernetes_own():
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("needs kubernetes-validate: pip install -e '.[dev-slow]'")
    import kubernetes_validate

    for document in TREE.values():
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_manifests_name_what_there_is():
    kustomization = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())
    assert set(kustomization["resources"]) == {
        path.name for path in MANIFESTS if path.name != "kustomization.yaml"
    }
    maps = {each["name"] for each in kustomization["configMapGenerator"]}
    images = {each["name"] for each in kustomization["images"]}
    for pod in pods():
        for volume in pod.get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            assert claim is None or f"PersistentVolumeClaim/{claim}" in TREE
            assert volume.get("configMap", {}).get("name", "line") in maps
        for container in pod["containers"]:
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounted <= {v["name"] for v in pod.get("volumes", [])} | {"data"}
            for source in container.get("envFrom", []):
                assert source.get("configMapRef", {}).get("name", "solon") in maps
                assert source.get("secretRef", {}).get("name", "solon-secrets") == "solon-secrets"
            assert container["image"] in images or ":" in container["image"]


def test_containers_are_limited_and_may_not_gain_privileges():
    for container in containers():
        assert "memory" in container["resources"]["limits"], container["name"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    for pod in pods():
        assert pod["terminationGracePeriodSeconds"] >= 30


def commands() -> Iterator[list[str]]:
    """Every command of ours in the compose file, the manifests and the units."""
    for service in COMPOSE["services"].values():
        yield service.get("command", [])
    for container in containers():
        yield container.get("args", [])
    for path in UNITS:
        yield from map(shlex.split, re.findall(r"^ExecStart=(.*)$", path.read_text(), re.MULTILINE))


def test_every_command_of_ours_exists_with_its_options():
    known = typer.main.get_command(main.app).commands  # type: ignore[attr-defined]
    parsed = set()
    for words in commands():
        words = shlex.split(words[-1]) if words[:1] in (["sh"], ["/bin/sh"]) else words
        words = words[1:] if words[:1] == ["exec"] else words
        if words and Path(words[0]).name == "solon" and words[1] in known:
            parse(words[1:])
            parsed.add(words[1])
    assert {"serve", "worker", "gc", "backup"} <= parsed


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_passes_systemd_and_stops_by_sigterm(path: Path, tmp_path: Path):
    text = path.read_text()
    if "Type=exec" in text:
        assert "SuccessExitStatus=143" in text
        (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
        assert int(seconds) >= 30
        assert "Restart=always" in text
    if path.suffix == ".service":
        assert "NoNewPrivileges=yes" in text
        assert "ProtectSystem=strict" in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    for name in ("solon", "prefect"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    for unit in UNITS:
        installed = unit.read_text().replace("/opt/solon/bin", str(tmp_path))
        (tmp_path / unit.name.replace("@", "@my")).write_text(installed)
    checked = tmp_path / path.name.replace("@", "@my")
    log = tmp_path / "log"  # no pipe, which would be waited for as long as any process holds it
    with log.open("w") as stream:
        try:
            ended = subprocess.run(
                ["systemd-analyze", "verify", "--man=no", checked],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                check=False,
                timeout=SYSTEMD_SECONDS,
            )
        except subprocess.TimeoutExpired:
            pytest.skip("systemd-analyze waits for a system that is not there")
    said = log.read_text()
    assert ended.returncode == 0, said
    assert str(tmp_path) not in said, said  # a warning about one of ours


def test_the_work_of_a_cycle_by_hand():
    """Figures small enough to be worked out on paper: one GPU of 100 FLOP/s at full use."""
    a = costs["Assumptions"](
        prompts=10, prompt_tokens=6, answer_tokens=4, episodes=8, batch=4, rows_per_gpu=2,
        holdout=1, judge_parameters=1.0, question_tokens=6, peak_flops=100.0, mfu=1.0,
    )  # fmt: skip
    model = costs["Model"]("tiny", 5.0, 2.0, 0.5, 3)
    hours = {stage.name: stage for stage in costs["stages"](a, model, 3)}
    # 10 prompts, 3 answers of 4 tokens, 2 tokens a second: 60 s.
    assert hours["sample"].gpu_hours == pytest.approx(60 / 3600)
    # 3 answers make 6 ordered pairs; 60 questions of 6 + 2 * 4 + 6 = 20 tokens, 2 FLOPs each: 24 s.
    assert costs["questions"](3) == 6
    assert hours["judge"].gpu_hours == pytest.approx(24 / 3600)
    # 30 rows of 10 tokens, 6 * 5 FLOPs each: 9,000 FLOPs, 90 s.
    assert hours["train_reward"].gpu_hours == pytest.approx(90 / 3600)
    # 8 episodes: 32 tokens generated, 16 s; 80 tokens, 20 * 5 FLOPs each: 80 s.
    assert hours["train_policy"].gpu_hours == pytest.approx(96 / 3600)
    # 4 / 2 replicas of 3 GPUs are useful; 2 steps of 4 tokens of 0.5 s must follow each other.
    assert hours["train_policy"].hours(2) == pytest.approx(48 / 3600)
    assert hours["train_policy"].hours(1_000) == pytest.approx(16 / 3600)
    assert hours["train_policy"].least_hours == pytest.approx(4 / 3600)
    assert hours["sample"].hours(1_000) == pytest.approx(0.06 / 3600)
    # 2 answers of 4 tokens: 4 s; 2 questions of 20 tokens, 2 FLOPs each: 0.8 s.
    assert hours["evaluate"].gpu_hours == pytest.approx(4.8 / 3600)


def test_the_page_shows_the_tables_of_the_script():
    page = (DEPLOY / "docs" / "scaling.md").read_text()
    for table in costs["tables"](costs["Assumptions"]()):
        assert table in page, "run `python deploy/cycle_costs.py` and copy its tables"
