"""Ours against a peer in another environment: processes in turn, the same data, whole steps.

The peer's environment is made when it is first asked for, below .bench/, from a pinned version.
"""

import json
import random
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from rlhf_core.models.loading import locate

ROOT = Path(__file__).parents[2]
MODEL, RANK = "smollm2-135m-instruct", 16
TURNS = 2
WARM_UP_STEPS = 2
PEERS = {"trl-1.16": ("torch==2.13.0", "trl==1.16.0", "peft==0.21.2")}
COMMON_WORDS = (
    "the of and to in is you that it he was for on are as with his they at be this have from or "
    "one had by word but not what all were we when your can said there use an each which she do "
    "how their if will up other about out many then them these so some her would make like him "
    "into time has look two more write go see number no way could people my than first water"
)


@dataclass(frozen=True)
class Versus:
    """Medians of a step in seconds; the ratio is the peer's over ours, so above 1 is faster."""

    name: str
    ours: float
    peer: float
    ratio: float
    low: float
    high: float
    goal: float
    unit: str
    ours_peak_gb: float
    peer_peak_gb: float
    peer_version: str
    command: str

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


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
    per_step: int,
    peer_arguments: tuple[str, ...] = (),
) -> Versus:
    """Run both sides in turn on the same rankings."""
    python = peer_python(peer)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "rankings.json")
        Path(path).write_text(json.dumps(rankings))
        shared = [locate(MODEL), path, str(RANK)]
        ours_command = [
            sys.executable, "-m", "tests.benchmarks.workloads", work, *shared, str(per_step)
        ]  # fmt: skip
        peer_script = str(ROOT / "tests" / "benchmarks" / "peers" / script)
        peer_command = [str(python), peer_script, *shared, *peer_arguments]
        turns = [(_run(ours_command), _run(peer_command)) for _ in range(TURNS)]
    ours, theirs = ([turn[side].seconds for turn in turns] for side in (0, 1))
    ratios = [other / own for own, other in zip(ours, theirs, strict=True)]
    return Versus(
        name=name,
        ours=statistics.median(ours),
        peer=statistics.median(theirs),
        ratio=statistics.median(theirs) / statistics.median(ours),
        low=min(ratios),
        high=max(ratios),
        goal=goal,
        unit=unit,
        ours_peak_gb=max(turn[0].peak_gb for turn in turns),
        peer_peak_gb=max(turn[1].peak_gb for turn in turns),
        peer_version=peer,
        command=f"python -m tests.benchmarks {name}",
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


def _run(command: list[str]) -> Side:
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{ended.stderr[-2000:]}")
    found = json.loads(ended.stdout.strip().splitlines()[-1])
    return Side(statistics.median(found["seconds"][WARM_UP_STEPS:]), found["peak_gb"])
