"""Held-out accuracy after one epoch on ranked answers, against TRL on as many tokens of pairs.

Each seed draws the prompts to learn from and those held out anew.

Needs AlpacaEval's verdicts of GPT-4 (tatsu-lab/alpaca_eval) as preferences/alpaca_eval_gpt4.parquet
below the folder that SOLON_BENCH_DATA names; without it there is nothing to run.
"""

import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from rlhf_core.identity import unit_interval
from rlhf_core.models.device import Compute
from rlhf_core.models.loading import load_tokenizer, locate
from tests.benchmarks.result import Result, compare
from tests.benchmarks.versus import MODEL, PEERS_FOLDER, RANK, ROOT, peer_python

FILE = "preferences/alpaca_eval_gpt4.parquet"
BASELINE, HARD = "text_davinci_003", {1.0, 2.0}
PROMPTS, HELD_OUT, ANSWERS, WORDS = 160, 60, 4, 64
GOAL, SEEDS = 1.0, 5


def run(compute: Compute) -> list[Result]:
    """Both learn from the same answers; the peer sees pairs until the tokens are used."""
    folder = os.environ.get("SOLON_BENCH_DATA")
    if not folder:
        print(
            f"reward_model_accuracy: set SOLON_BENCH_DATA to a folder with {FILE}", file=sys.stderr
        )
        return []
    turns = [_turn(Path(folder) / FILE, seed) for seed in range(1, SEEDS + 1)]
    return [
        compare(
            "reward_model_accuracy",
            turns,
            "held-out pairs in order",
            "trl-1.16",
            GOAL,
            detail=f"{PROMPTS} prompts and as many tokens of pairs, {SEEDS} seeds",
            higher_is_better=True,
        )
    ]


def _turn(path: Path, seed: int) -> tuple[float, float]:
    """Return the accuracies of ours and of the peer."""
    learnt, held = ranked_sets(path, seed)
    tokenizer = load_tokenizer(MODEL)

    def count(text: str) -> int:
        return len(tokenizer(text)["input_ids"])

    budget = sum(count(r["prompt"]) + sum(map(count, r["answers"])) for r in learnt)
    pairs = shuffled_pairs(learnt, seed)
    sizes = [2 * count(p["prompt"]) + count(p["chosen"]) + count(p["rejected"]) for p in pairs]
    used = sum(total <= budget for total in itertools.accumulate(sizes))
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data.json"
        data.write_text(json.dumps({"learnt": learnt, "pairs": pairs[:used], "held": held}))
        arguments = [locate(MODEL), str(data), str(RANK), str(seed)]
        ours = [sys.executable, "-m", "tests.benchmarks.accuracy", *arguments]
        theirs = [str(peer_python("trl-1.16")), str(PEERS_FOLDER / "trl_accuracy.py"), *arguments]
        found = _accuracy(ours, held), _accuracy(theirs, held)
    print(f"seed {seed}: {budget:,} tokens each, {found}", file=sys.stderr)
    return found


def ranked_sets(path: Path, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Of each instruction two answers that beat the baseline and two that lost, in that order."""
    won: dict[str, dict[bool, list[str]]] = defaultdict(lambda: {True: [], False: []})
    for row in parquet.read_table(path).to_pylist():
        if row["generator_1"] == BASELINE and row["preference"] in HARD:
            text = " ".join(row["output_2"].split()[:WORDS])
            won[row["instruction"]][row["preference"] == 2.0].append(text)
    half = ANSWERS // 2
    sets = []
    for instruction in sorted(won, key=lambda text: unit_interval("ranked", text)):
        found = {key: sorted(set(texts)) for key, texts in won[instruction].items()}
        if min(map(len, found.values())) >= half:
            generator = random.Random(instruction)
            answers = [a for key in (True, False) for a in generator.sample(found[key], half)]
            prompt = " ".join(instruction.split()[:WORDS]) + "\n"
            sets.append({"prompt": prompt, "answers": answers, "ranks": [0] * half + [1] * half})
    random.Random(seed).shuffle(sets)
    return sets[:PROMPTS], sets[PROMPTS : PROMPTS + HELD_OUT]


def shuffled_pairs(sets: list[dict[str, Any]], seed: int) -> list[dict[str, str]]:
    pairs = [
        {"prompt": s["prompt"], "chosen": s["answers"][i], "rejected": s["answers"][j]}
        for s in sets
        for i, j in in_order(s)
    ]
    random.Random(seed).shuffle(pairs)
    return pairs


def in_order(ranked: dict[str, Any]) -> list[tuple[int, int]]:
    """Places of the better and the worse of each pair."""
    ranks = ranked["ranks"]
    return [(i, j) for i, j in itertools.permutations(range(len(ranks)), 2) if ranks[i] < ranks[j]]


def _accuracy(command: list[str], held: list[dict[str, Any]]) -> float:
    """Of the scores that a process gives the held-out answers; each pair counts alike."""
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{ended.stderr[-2000:]}")
    scores = json.loads(ended.stdout.strip().splitlines()[-1])
    right = [
        own[i] > own[j]
        for ranked, own in zip(held, scores, strict=True)
        for i, j in in_order(ranked)
    ]
    return sum(right) / len(right)
