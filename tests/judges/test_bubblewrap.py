"""The start, refusal and end of the sandbox."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.stages import ingest
from judges import load
from judges.panel.judge import Answer
from judges.verifiers import bubblewrap, cgroup, container
from judges.verifiers import sandbox as sandbox_module
from judges.verifiers.cgroup import control_group
from judges.verifiers.sandbox import Limits, check, run_tests
from rlhf_core.config import Config, JudgeSettings
from rlhf_core.errors import ConfigError
from tests.conftest import ROOT
from tests.facts import prompt

LIMITS = Limits(timeout_seconds=5, memory_megabytes=256)
SQUARE = "def f(x): return x * x"
TESTS = "assert f(2) == 4"


@pytest.fixture
def sandbox() -> None:
    try:
        check()
    except ConfigError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that every user may read; pytest's own folders are private."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a script of that name first on the PATH, and clears the cached check."""
    check.cache_clear()

    def put(name: str, text: str) -> None:
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    yield put
    check.cache_clear()


def code_judge(**options: object) -> Any:
    settings = {"kind": "verifier", "metric": "code", **options}
    return load(JudgeSettings.model_validate(settings))


CONFIG = {
    "prompts": {"path": "prompts.jsonl"},
    "judges": [{"kind": "similarity"}],
    "evaluation": {"judges": [{"kind": "verifier", "metric": "code"}]},
}
JURY = {"kind": "jury", "judges": [{"kind": "brevity"}, {"kind": "verifier", "metric": "code"}]}


@pytest.mark.parametrize("judges", [CONFIG["evaluation"]["judges"], [JURY]])  # type: ignore[index]
def test_a_run_without_bubblewrap_is_refused_before_it_spends(
    judges: Any, monkeypatch: pytest.MonkeyPatch
):
    check.cache_clear()
    monkeypatch.setattr("judges.verifiers.bubblewrap.shutil.which", lambda *_, **__: None)
    config = Config.model_validate({**CONFIG, "evaluation": {"judges": judges}})
    with pytest.raises(ConfigError, match="apt-get install bubblewrap"):
        ingest._check_machine(config)
    with pytest.raises(ConfigError, match="apt-get install bubblewrap"):
        load(config.evaluation.judges[0]).check()
    check.cache_clear()


def test_a_machine_that_forbids_user_namespaces_is_told_the_setting(program: Any):
    program("bwrap", "echo 'bwrap: No permissions to create new namespace' >&2; exit 1")
    with pytest.raises(ConfigError, match=r"kernel.unprivileged_userns_clone=1.*sandbox: docker"):
        check()


def test_a_sandbox_that_never_begins_is_unavailable(program: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("judges.verifiers.bubblewrap.START_SECONDS", 0.3)
    program("bwrap", "exec 3>&-; exec sleep 9 >/dev/null")
    began = time.monotonic()
    ran = run_tests(SQUARE, TESTS, LIMITS)
    assert ran.passed is None
    assert time.monotonic() - began < 8


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b'{"passed": 1, "total": 1, "reason": "", "nonce": "wrong"}',
        b'{"passed": 2, "total": 1, "reason": "", "nonce": "right"}',
        b'{"passed": 0, "total": 0, "reason": "", "nonce": "right"}',
        b'{"passed": -1, "total": 1, "reason": "", "nonce": "right"}',
        b'{"passed": NaN, "total": 1, "reason": "", "nonce": "right"}',
        b'{"passed": 1e0, "total": 1, "reason": "", "nonce": "right"}',
        b'{"passed": true, "total": 1, "reason": "", "nonce": "right"}',
        b'{"passed": "1", "total": 1, "reason": "", "nonce": "right"}',
        b'{"passed": 1, "total": 1, "reason": 3, "nonce": "right"}',
        b'{"passed": 1, "total": 1, "nonce": "right"}',
        b'{"passed": 1, "total": 1, "reason": "", "nonce": "right", "more": 1}',
        b'{"passed": 1, "total": ' + b"9" * 5000 + b', "reason": "", "nonce": "right"}',
        b"[" * 16000,
    ],
)
def test_what_is_no_verdict_passes_nothing(said: bytes):
    found = sandbox_module._read_verdict(said, "right")
    assert (found.passed, found.total) == (0, 1)


def test_a_verdict_is_read():
    said = b'{"passed": 1, "total": 2, "reason": "why", "nonce": "right"}'
    assert sandbox_module._read_verdict(said, "right") == sandbox_module.TestRun(1, 2, "why")


HANGING = """
import os, sys
from pathlib import Path
from judges.verifiers import bubblewrap
from judges.verifiers.sandbox import Interpreter, Limits, run_tests
interpreter = Interpreter.running()
if sys.argv[1] != "own":
    bubblewrap.CONTAINED = Path(sys.argv[1])
    os.setgroups([])
    os.setresgid(*[65534] * 3)
    os.setresuid(*[65534] * 3)
    interpreter = Interpreter("/usr/bin/python3", ("/usr", "/usr"))
run_tests("while True: pass", "assert f(2) == 4", Limits(60, 256), interpreter=interpreter)
"""


@pytest.mark.parametrize("signal", [2, 9, 15], ids=["SIGINT", "SIGKILL", "SIGTERM"])
@pytest.mark.parametrize("user", ["own", "nobody"])
def test_nothing_outlives_who_started_it(signal: int, user: str, sandbox: None, open_folder: Path):
    """Ctrl-C and a kill leave no hostile process; the sandbox dies with its parent."""
    as_whom = "own"
    if user == "nobody":
        if os.geteuid() != 0 or not os.path.exists("/usr/bin/python3"):
            pytest.skip("only root can become another user")
        as_whom = str(shutil.copytree(bubblewrap.CONTAINED, open_folder / "contained"))
    running = subprocess.Popen(
        [sys.executable, "-c", HANGING, as_whom],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    inside: list[psutil.Process] = []
    deadline = time.monotonic() + 30
    while len(inside) < 3 and time.monotonic() < deadline:  # bubblewrap, checker, answer
        time.sleep(0.05)
        inside = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal)
    running.wait()
    assert len(inside) >= 3
    _, alive = psutil.wait_procs(inside, timeout=5)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


def test_many_at_once_leave_no_process_and_no_descriptor(sandbox: None):
    from concurrent.futures import ThreadPoolExecutor

    run_tests(SQUARE, TESTS, LIMITS)
    descriptors = len(os.listdir("/proc/self/fd"))
    before = psutil.Process().children(recursive=True)  # servers of other tests, say
    with ThreadPoolExecutor(4) as pool:
        ran = list(pool.map(lambda _: run_tests(SQUARE, TESTS, LIMITS), range(8)))
    assert [each.passed for each in ran] == [1] * 8
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert [p for p in psutil.Process().children(recursive=True) if p not in before] == []


def test_code_longer_than_a_pipe_arrives(sandbox: None):
    assert run_tests(f"{SQUARE}\n# {'x' * 500_000}", TESTS, LIMITS).passed == 1
    assert run_tests(SQUARE, f"{TESTS}\n# {'x' * 500_000}", LIMITS).passed == 1


def test_classes_and_output_are_tested_in_one_process(sandbox: None):
    stack = "class Stack(list):\n    def push(self, x): self.append(x)"
    tests = "s = Stack()\ns.push(1)\nassert s.pop() == 1\nassert isinstance(s, Stack)"
    assert run_tests(stack, tests, LIMITS).passed == 2
    printed = """
        import contextlib, io
        with contextlib.redirect_stdout(io.StringIO()) as said: f()
        assert said.getvalue() == 'hello\\n'
    """
    assert run_tests("def f(): print('hello')", textwrap.dedent(printed), LIMITS).passed == 1


def test_a_control_group_bounds_what_several_processes_take_together(sandbox: None):
    with control_group(1 << 26, 8) as group:
        if group is None:
            pytest.skip("no control group can be made here")
        folders = group.folders
        assert all(folder.is_dir() for folder in folders)
    assert not any(folder.exists() for folder in folders)
    code = """
        import os, time
        def f():
            ready, telling = os.pipe()
            for _ in range(5):
                if os.fork() == 0:
                    taken = b"1" * (90 << 20)
                    os.write(telling, b".")
                    time.sleep(60)
            alive = ended = 0
            os.set_blocking(ready, False)
            while alive + ended < 5:
                ended += os.waitpid(-1, os.WNOHANG)[0] != 0
                try:
                    alive += len(os.read(ready, 5))
                except BlockingIOError:
                    time.sleep(0.01)
            return ended
    """
    small = Limits(timeout_seconds=30, memory_megabytes=128)
    ran = run_tests(textwrap.dedent(code), "assert f() == 0", small)
    assert ran.passed == 0  # 450 MB in all: one of them, or the answer itself, was ended
    assert "stopped" not in ran.reason


def test_a_container_gets_no_network_rights_or_files(program: Any, monkeypatch: pytest.MonkeyPatch):
    program("docker", "exit 1")
    found = container.command("name", 256 << 20, 16 << 20, 8)
    line = " ".join(found)
    for option in (
        "run --rm --interactive --name name --pull never",
        "--network none",
        "--read-only",
        "--cap-drop ALL",
        "--security-opt no-new-privileges",
        "--pids-limit 12",
        "--user 65534:65534",
        f"--memory {336 << 20} --memory-swap {336 << 20}",
        f"--tmpfs /box:rw,nosuid,nodev,size={16 << 20},mode=1777",
        f"--volume {bubblewrap.CONTAINED}:/inside/contained:ro",
        f"python:{sys.version_info.major}.{sys.version_info.minor}-slim python3 -I -B -c",
    ):
        assert option in line
    monkeypatch.setenv("SOLON_SANDBOX_IMAGE", "mine:1")
    assert "mine:1" in container.command("name", 1, 1, 1)


def test_a_container_speaks_as_bubblewrap_does_and_is_removed(program: Any, tmp_path: Path):
    """A fake docker: it runs the command after the image, and records its arguments."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "contained").symlink_to(bubblewrap.CONTAINED)
    start = bubblewrap.START.replace("/inside", str(tmp_path / "inside"))
    (tmp_path / "start.py").write_text(start)
    program(
        "docker",
        f'echo "$1 $2 $3" >> {tmp_path}/told\n'
        f'[ "$1" = run ] && exec {sys.executable} -I -B {tmp_path}/start.py || true',
    )
    ran = run_tests(SQUARE, TESTS, LIMITS, "docker")
    assert (ran.passed, ran.total) == (1, 1), ran.reason
    told = (tmp_path / "told").read_text().splitlines()
    assert told[0].startswith("run --rm")
    assert told[1].startswith("rm --force solon-")


def test_a_missing_container_runtime_or_image_is_said(
    program: Any, monkeypatch: pytest.MonkeyPatch
):
    program("docker", "echo 'Unable to find image' >&2; exit 125")
    with pytest.raises(ConfigError, match=r"Unable to find image.*docker pull"):
        check("docker")
    monkeypatch.setattr("judges.verifiers.container.shutil.which", lambda _: None)
    with pytest.raises(ConfigError, match="docker or podman"):
        check("docker")


def test_off_is_said_at_the_start_and_with_every_judgement(caplog: pytest.LogCaptureFixture):
    check.cache_clear()
    judge = code_judge(sandbox="off")
    judge.check()
    assert "answers' code can read files and use the network" in caplog.text
    (opinion,) = judge.score([Answer(prompt(reference_answers=(TESTS,)), SQUARE)])
    assert opinion.score == 1.0
    assert json.loads(opinion.raw_output)["sandbox"] == "off"
    assert judge.version != code_judge().version
    check.cache_clear()


def test_off_still_keeps_the_time():
    began = time.monotonic()
    ran = run_tests("while True: pass", TESTS, Limits(1, 256), "off")
    assert ran.reason == "stopped after 1 s"
    assert time.monotonic() - began < 8


def test_a_group_of_version_2_is_made_where_its_controllers_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The service's own group delegates no controllers, so the root's is used."""
    own = tmp_path / "system.slice" / "solon.service"
    own.mkdir(parents=True)
    (own / "cgroup.subtree_control").write_text("\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    monkeypatch.setattr("judges.verifiers.cgroup._mounts", lambda: {tmp_path: "cgroup2"})
    monkeypatch.setattr(
        "judges.verifiers.cgroup._own_groups", lambda: {"": "/system.slice/solon.service"}
    )
    monkeypatch.setattr("judges.verifiers.cgroup.REMOVAL_SECONDS", 0.0)  # these are no real groups
    cgroup._parents.cache_clear()
    with control_group(1 << 26, 8) as group:
        assert group is not None
        (folder,) = group.folders
        assert folder.parent == tmp_path
        assert (folder / "memory.max").read_text() == str(1 << 26)
        assert (folder / "pids.max").read_text() == "8"
        group.add(42)
        assert (folder / "cgroup.procs").read_text() == "42"
    cgroup._parents.cache_clear()


def test_groups_that_a_killed_process_left_are_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    nobody, ours = tmp_path / "solon-999999999-1", tmp_path / f"solon-{os.getpid()}-1"
    others = tmp_path / "system.slice"
    for folder in (nobody, ours, others):
        folder.mkdir()
    monkeypatch.setattr(cgroup, "_parents", lambda: ((tmp_path, ("memory.max",)),))
    cgroup._sweep.__wrapped__()
    assert {folder.name for folder in tmp_path.iterdir()} == {ours.name, others.name}
