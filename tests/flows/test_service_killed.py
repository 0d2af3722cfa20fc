"""Server, worker and flow process are ended at random moments, and the cycles come out the same.

The moments are drawn from SOLON_SEED. SOLON_MOMENTS says how many there are: 3 if nothing does, 30
in a full run.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from flows.cycle.cycle import ended_cycles
from rlhf_core.config import Config, load_config
from rlhf_core.store import Store
from tests.flows.processes import solon
from tests.flows.serving import ask
from tests.flows.test_killed import COLUMNS
from tests.flows.test_pipeline import ids
from tests.flows.workplace import CPU, GPU, Workplace, has_setting

SEED = os.environ.get("SOLON_SEED", "1")
MOMENTS = int(os.environ.get("SOLON_MOMENTS", "3"))
LONGEST_SECONDS = float(os.environ.get("SOLON_LONGEST", "60"))
SERVER, FLOW = "server", "flow process"
VICTIMS = [(who, how) for who in (GPU, SERVER, FLOW) for how in (signal.SIGKILL, signal.SIGTERM)]
RESTART_SECONDS = {SERVER: 5, GPU: 10}
"""RestartSec of the units in deploy/systemd."""
FREE_SECONDS = 300
"""A dead run is closed after 90 seconds without heartbeat, and a slot after 60 without renewal."""
UNDER_WAY = ("SCHEDULED", "PENDING", "RUNNING", "CANCELLING")


class Killed(Workplace):
    """A workplace whose policies train for some seconds, with a checkpoint after each step."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(folder, environment, "killed", {"gpu_limit": "the-gpu"})
        settings = yaml.safe_load(self.config.read_text())
        settings["training"] |= {"steps": 20}
        settings["compute"] = {"checkpoint_every": 1}
        self.config.write_text(yaml.safe_dump(settings))
        self.write_prompts(40)

    def everybody(self) -> list[psutil.Process]:
        """Return all processes of the place, whoever started them."""
        home = f"PREFECT_HOME={self.folder / 'prefect'}"
        return [process for process in psutil.process_iter() if has_setting(process, home)]

    def restart_ended(self) -> None:
        """Start the workers again that ended by themselves, as systemd does."""
        for pool in (CPU, GPU):
            if self.processes[pool].poll() is not None:
                print(f"the worker of {pool} ended by itself", flush=True)
                self.start_worker(pool)

    def cycles(self, *states: str) -> list[dict[str, Any]]:
        return self.runs(*states, flow="cycle")

    def ensure_run(self) -> None:
        """Start the cycle, unless it runs or is about to."""
        if not self.cycles(*UNDER_WAY):
            self.start("cycle")

    def flow_process(self) -> psutil.Process:
        """Return the process of a run; start one if there is none."""

        def found() -> list[psutil.Process]:
            self.restart_ended()
            self.ensure_run()
            return [each for each in self.flow_processes() if "prefect.engine" in each.cmdline()]

        process: psutil.Process = self.wait_for(found, what=FLOW)[0]
        return process

    def end_one(self, victim: str, number: signal.Signals) -> None:
        """Send it a signal; start it again as systemd does."""
        if victim == FLOW:
            process = self.flow_process()
            process.send_signal(number)
            psutil.wait_procs([process], timeout=60)
            return
        self.kill(victim, number)
        time.sleep(RESTART_SECONDS[victim])
        if victim == SERVER:
            self.start_server()
        else:
            self.start_worker(victim)

    def open_runs(self) -> list[str]:
        """Return the names of all runs that have begun and not ended, with those of stages."""
        states = {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}
        runs = ask(self.address, "flow_runs/filter", {"flow_runs": {"state": states}})
        return [f"{run['name']} {run['state_type']}" for run in runs]

    def taken_slots(self) -> list[str]:
        limits = ask(self.address, "v2/concurrency_limits/filter", {})
        return [limit["name"] for limit in limits if limit["active_slots"] > 0]


@pytest.fixture
def place(environment: dict[str, str], tmp_path: Path) -> Iterator[Killed]:
    place = Killed(tmp_path, environment)
    place.start_server()
    try:
        place.solon("deploy", str(place.config))
        pause_schedules(place)
        place.start_workers()
        yield place
    finally:
        place.end()


def pause_schedules(place: Killed) -> None:
    """Leave the cycle as the only flow that runs: the others' times would be the test's luck."""
    command = [str(Path(sys.executable).with_name("prefect")), "--no-prompt"]
    command += ["deployment", "schedule", "pause", "--all"]
    subprocess.run(command, env=place.environment, check=True, capture_output=True)


def ended_run(place: Killed) -> dict[str, Any]:
    """Wait until no run of the cycle is under way; return the last one."""

    def has_ended() -> bool:
        place.restart_ended()
        return not place.cycles(*UNDER_WAY)

    place.wait_for(has_ended, FREE_SECONDS, "the end of the run")
    return place.cycles()[-1]


def kill_while_ppo_trains(place: Killed) -> None:
    """Kill the process of a run in PPO; the next run may save no step that was saved before."""
    folders = place.folder / "artifacts" / "models"

    def saved() -> list[str]:
        return sorted(path.name for path in folders.glob(".policy-*.training/step-*"))

    def in_the_middle() -> list[str]:
        place.ensure_run()
        return [name for name in saved() if "step-00000003" <= name <= "step-00000015"]

    place.wait_for(in_the_middle, what="a checkpoint of PPO")
    place.flow_process().kill()
    ended_run(place)
    (last,) = saved()
    place.start("cycle")
    seen: set[str] = set()
    deadline = time.monotonic() + FREE_SECONDS
    while (now := saved()) and time.monotonic() < deadline:
        seen.update(now)
        time.sleep(0.01)
    print(f"PPO was killed after {last}, and then saved {len(seen - {last})} checkpoints")
    assert len(seen) > 1
    assert min(seen) == last


def ids_of(config: Config) -> dict[str, list[str]]:
    return {table: rows for table, rows in ids(config).items() if table != "failures"}


def contents(config: Config) -> dict[str, list[dict[str, Any]]]:
    store = Store(config.store)
    return {
        table: store.query(f"SELECT {columns} FROM {table} ORDER BY ALL")
        for table, columns in COLUMNS.items()
    }


def weights(config: Config) -> dict[str, bytes]:
    models = config.artifacts / "models"
    return {
        str(path.relative_to(models)): path.read_bytes() for path in models.rglob("*.safetensors")
    }


@pytest.mark.slow
def test_cycles_that_are_killed_at_random_moments_end_as_undisturbed_ones(
    place: Killed, environment: dict[str, str], tmp_path: Path
):
    drawn = random.Random(f"{SEED} service")
    victims: list[tuple[str, signal.Signals]] = []
    while len(victims) < MOMENTS:
        victims += drawn.sample(VICTIMS, len(VICTIMS))
    print(f"\nseed {SEED}")
    for victim, number in victims[:MOMENTS]:
        place.ensure_run()
        moment = drawn.uniform(0.2, LONGEST_SECONDS)
        time.sleep(moment)
        place.end_one(victim, number)
        began = time.monotonic()
        state = ended_run(place)["state"]
        print(
            f"{number.name} to {victim} after {moment:.1f} s: {state['name']} "
            f"{time.monotonic() - began:.1f} s later, {state['message']}",
            flush=True,
        )
    kill_while_ppo_trains(place)
    last = ended_run(place)
    assert last["state_type"] == "COMPLETED", (last["state"], place.logs())
    place.wait_for(lambda: not place.taken_slots(), FREE_SECONDS, "the slots")
    place.wait_for(lambda: not place.open_runs(), FREE_SECONDS, "runs that were left open")
    assert place.end() == []
    assert psutil.wait_procs(place.everybody(), timeout=20)[1] == []
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", place.port))

    killed = load_config(place.config)
    count = ended_cycles(killed)
    apart = [f"store={tmp_path / 'apart.duckdb'}", f"artifacts={tmp_path / 'apart'}"]
    undisturbed = load_config(place.config, apart)
    options = [word for each in apart for word in ("--set", each)]
    arguments = ["run", str(place.config), "--cycles", str(count), *options]
    ended = solon(arguments, {**environment, "PREFECT_HOME": str(tmp_path / "apart")}, timeout=3600)
    assert ended.returncode == 0, ended.stderr
    print(f"{count} cycles")
    assert ids_of(killed) == ids_of(undisturbed)
    assert contents(killed) == contents(undisturbed)
    assert weights(killed) == weights(undisturbed)
    store = Store(killed.store)
    assert store.query("SELECT * FROM check_orphans") == []
    assert store.query("SELECT * FROM check_duplicate_ids") == []
