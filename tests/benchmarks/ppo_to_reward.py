"""Seconds of PPO until answers reach a mean reward on a fixed reward model, against TRL.

The reward model has learnt to prefer some common words to others, and is the same on both sides.
Ours rolls out two answers to each of eight prompts and passes over them twice; the peer takes the
step of the benchmark ppo_step, with the same learning rate, KL coefficient and length.
"""

import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf_core.models.device import Compute
from rlhf_core.models.loading import locate
from tests.benchmarks.ppo_step import EPOCHS, PER_STEP, TOKENS
from tests.benchmarks.result import Result, compare
from tests.benchmarks.versus import (
    COMMON_WORDS,
    MODEL,
    PEERS_FOLDER,
    RANK,
    output_of,
    peer_python,
    random_rankings,
)

MOST_STEPS, RANKINGS, GOAL, SEEDS = 40, 120, 8.0, 5
SMOOTHED_OVER = 2
"""Steps whose mean score is to reach the target."""


def run(compute: Compute) -> list[Result]:
    with tempfile.TemporaryDirectory() as folder:
        prompts, words = Path(folder) / "prompts.json", Path(folder) / "words.json"
        _write_prompts(prompts, seed=1)
        words.write_text(json.dumps(word_rankings(RANKINGS)))
        own = [sys.executable, "-m", "tests.benchmarks.workloads"]
        made = output_of(
            [*own, "fixed_reward", locate(MODEL), str(words), str(RANK), str(prompts), folder]
        )
        found = []
        for seed in range(1, SEEDS + 1):
            _write_prompts(prompts, seed)
            found.append(_turn(prompts, Path(folder), made, seed))
    ours, theirs = zip(*found, strict=True)
    return [
        compare(
            "ppo_to_reward",
            [(_seconds(own), _seconds(peer)) for own, peer in found],
            "seconds",
            "trl-1.12",
            GOAL,
            detail=f"to {made['target'] - made['start']:+.2f} reward, {SEEDS} seeds; "
            f"steps {_steps(ours)}, the peer {_steps(theirs)}",
            peaks_gb=(_peak(ours), _peak(theirs)),
        )
    ]


def _turn(
    prompts: Path, folder: Path, made: dict[str, float], seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what ours and the peer say of a run to the target."""
    raw_target = made["target"] - made["bias"]  # the peer's head has no bias
    arguments = [locate(MODEL), str(prompts), str(RANK), str(PER_STEP), str(TOKENS), str(EPOCHS)]
    own = [sys.executable, "-m", "tests.benchmarks.workloads", "ppo_to_reward"]
    peer = [str(peer_python("trl-1.12")), str(PEERS_FOLDER / "trl_ppo.py")]
    ours = output_of([*own, *arguments, str(folder), str(made["target"]), str(seed)])
    theirs = output_of([*peer, *arguments, str(folder), str(raw_target), str(seed)])
    _require(ours, made["target"])
    _require(theirs, raw_target)
    seconds = f"{_seconds(ours):.1f} s, the peer {_seconds(theirs):.1f} s"
    print(f"seed {seed}: {seconds}, steps {_steps([ours])} and {_steps([theirs])}", file=sys.stderr)
    return ours, theirs


def _write_prompts(path: Path, seed: int) -> None:
    path.write_text(json.dumps(random_rankings(MOST_STEPS * PER_STEP, answers=1, seed=seed)))


def word_rankings(count: int) -> list[dict[str, object]]:
    """Of four answers, the more words come from the first half of the common ones the better."""
    generator, words = random.Random(3), COMMON_WORDS.split()
    halves = words[: len(words) // 2], words[len(words) // 2 :]

    def answer(share: float) -> str:
        length = generator.randint(16, 40)
        return " ".join(generator.choice(halves[generator.random() > share]) for _ in range(length))

    prompts = random_rankings(count, answers=1, seed=4)
    return [
        {"prompt": p["prompt"], "answers": [answer(share) for share in (0.9, 0.65, 0.35, 0.1)]}
        for p in prompts
    ]


def _require(found: dict[str, Any], target: float) -> None:
    """Refuse a run that ended before its last steps reached the target."""
    last = found["scores"][-SMOOTHED_OVER:]
    if sum(last) / len(last) < target:
        raise RuntimeError(f"the target {target:.2f} was not reached: {found['scores']}")


def _seconds(found: dict[str, Any]) -> float:
    return float(sum(found["seconds"]))


def _steps(runs: Sequence[dict[str, Any]]) -> str:
    return ", ".join(str(len(found["seconds"])) for found in runs)


def _peak(runs: Sequence[dict[str, Any]]) -> float:
    return float(max(found["peak_gb"] for found in runs))
