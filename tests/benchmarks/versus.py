"""Ours against a peer in another environment: processes in turn, the same data, whole steps.

The peer's environment is made when it is first asked for, below .bench/, from a pinned version.
"""

import json
import random
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_core.models.loading import locate
from tests.benchmarks.result import Result, compare

ROOT = Path(__file__).parents[2]
PEERS_FOLDER = ROOT / "tests" / "benchmarks" / "peers"
MODEL, RANK = "smollm2-135m-instruct", 16
TURNS = 2
PEERS = {
    # 1.12 is the last that has PPO.
    version: ("torch==2.13.0", f"trl=={version.removeprefix('trl-')}.0", "peft==0.21.2")
    for version in ("trl-1.12", "trl-1.16")
}
COMMON_WORDS = (
    "the of and to in is you that it he was for on are as with his they at be this have from or "
    "one had by word but not what all were we when your can said there use an each which she do "
    "how their if will up other about out many then them these so some her would make like him "
    "into time has look two more write go see number no way could people my than first water"
)


@dataclass(frozen=True)
class Side:
    seconds: float
    peak_gb: float


def versus(
    name: str,
    goal: float,
    unit: str,
    work: str,
    peer: str,
    script: str,
    rankings: list[dict[str, object]],
    arguments: tuple[int, ...],
    warm_up: int = 2,
    detail: str = "",
) -> Result:
    """Run both sides in turn on the same rankings.

    Args:
        name: Of the benchmark.
        goal: The ratio wanted.
        unit: Of the figures.
        work: Ours, of workloads.py.
        peer: A key of PEERS.
        script: The peer's, below peers/.
        rankings: What both read.
        arguments: What both are told beside model, rankings and rank.
        warm_up: Steps at the start that are not counted.
        detail: What exactly was measured.
    """
    python = peer_python(peer)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "rankings.json")
        Path(path).write_text(json.dumps(rankings))
        shared = [locate(MODEL), path, str(RANK), *map(str, arguments)]
        ours_command = [sys.executable, "-m", "tests.benchmarks.workloads", work, *shared]
        peer_script = str(PEERS_FOLDER / script)
        peer_command = [str(python), peer_script, *shared]
        turns = [(_run(ours_command, warm_up), _run(peer_command, warm_up)) for _ in range(TURNS)]
    return compare(
        name,
        [(ours.seconds, theirs.seconds) for ours, theirs in turns],
        unit,
        peer,
        goal,
        detail=detail,
        peaks_gb=(max(ours.peak_gb for ours, _ in turns), max(peer.peak_gb for _, peer in turns)),
    )


def peer_python(peer: str) -> Path:
    """The interpreter of the peer's environment, which is made if it is missing."""
    folder = ROOT / ".bench" / peer
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"installing {peer} into {folder}; this takes minutes once", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *PEERS[peer]]
        subprocess.run(install, check=True, stdout=sys.stderr)
        (folder / "complete").touch()
    return python


def random_rankings(count: int, answers: int, seed: int = 1) -> list[dict[str, object]]:
    """Prompts of 64 words, each with answers of 16 to 64."""
    generator, vocabulary = random.Random(seed), COMMON_WORDS.split()

    def words(length: int) -> str:
        return " ".join(generator.choice(vocabulary) for _ in range(length))

    return [
        {
            "prompt": words(64) + "\n",
            "answers": [words(generator.randint(16, 64)) for _ in range(answers)],
        }
        for _ in range(count)
    ]


def output_of(command: list[str]) -> dict[str, Any]:
    """The JSON object that a process prints last.

    Raises:
        RuntimeError: With the end of its errors, if it fails.
    """
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{ended.stderr[-2000:]}")
    return dict(json.loads(ended.stdout.strip().splitlines()[-1]))


def _run(command: list[str], warm_up: int) -> Side:
    found = output_of(command)
    return Side(statistics.median(found["seconds"][warm_up:]), found["peak_gb"])
