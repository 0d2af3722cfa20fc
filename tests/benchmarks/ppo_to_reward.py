"""Seconds of PPO until answers reach a mean reward on a fixed reward model, against TRL.

The reward model has learnt to prefer some common words to others, and is the same on both sides.
Ours rolls out two answers to each of eight prompts and passes over them twice; the peer takes the
step of the benchmark ppo_step, with the same learning rate, KL coefficient and length.
"""

import json
import random
import sys
import tempfile
from pathlib import Path

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

MOST_STEPS, RANKINGS, GOAL = 40, 120, 8.0
SMOOTHED_OVER = 2
"""Steps whose mean score is to reach the target."""


def run(compute: Compute) -> list[Result]:
    with tempfile.TemporaryDirectory() as folder:
        prompts, words = Path(folder) / "prompts.json", Path(folder) / "words.json"
        prompts.write_text(json.dumps(random_rankings(MOST_STEPS * PER_STEP, answers=1)))
        words.write_text(json.dumps(word_rankings(RANKINGS)))
        own = [sys.executable, "-m", "tests.benchmarks.workloads"]
        made = output_of(
            [*own, "fixed_reward", locate(MODEL), str(words), str(RANK), str(prompts), folder]
        )
        arguments = [locate(MODEL), str(prompts), str(RANK), str(PER_STEP), str(TOKENS)]
        goal = [str(EPOCHS), folder, str(made["target"])]
        peer = [str(peer_python("trl-1.12")), str(PEERS_FOLDER / "trl_ppo.py")]
        ours = output_of([*own, "ppo_to_reward", *arguments, *goal])
        raw_target = str(made["target"] - made["bias"])  # the peer's head has no bias
        theirs = output_of([*peer, *arguments, *goal[:-1], raw_target])
    found = (_seconds(ours, made["target"]), _seconds(theirs, float(raw_target)))
    return [
        compare(
            "ppo_to_reward",
            [found],
            "seconds",
            "trl-1.12",
            GOAL,
            detail=f"to {made['target'] - made['start']:+.2f} reward; "
            f"{len(ours['seconds'])} steps, the peer {len(theirs['seconds'])}",
            peaks_gb=(ours["peak_gb"], theirs["peak_gb"]),
        )
    ]


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


def _seconds(found: dict[str, list[float]], target: float) -> float:
    """Of all steps, the last of which reached the target."""
    last = found["scores"][-SMOOTHED_OVER:]
    if sum(last) / len(last) < target:
        raise RuntimeError(f"the target {target:.2f} was not reached: {found['scores']}")
    return sum(found["seconds"])
