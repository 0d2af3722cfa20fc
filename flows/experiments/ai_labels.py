"""AI labels against people's: agreement, and reward models trained on either."""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from statistics import fmean

import torch

from flows.experiments.experiment import Arm, Claim, Experiment, Findings, Measure, Trial
from judges import Ledger
from judges.bench.runner import JudgeRun
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.algorithms.scoring import score_sequences
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import DataFileError, SilentJudgeError
from rlhf_core.evaluation.verdicts import PairVerdict
from rlhf_core.files.labelled import TIE, LabelledPair
from rlhf_core.files.labelled_reading import read_labelled
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.chat import policy_chat
from rlhf_core.models.device import choose_compute
from rlhf_core.models.lora_shape import trained_lora
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role

LEARNT, TESTED = 48, 48
LONGEST = 700
"""Characters of prompt and both answers; longer pairs are left out."""
PEOPLE, AI, LONGER = "people", "ai", "longer"


def measure(trial: Trial) -> Findings:
    """Label a seed's pairs in one way, train a reward model, and test it on people's labels."""
    assert trial.data is not None, "the runner refuses an experiment without its data"
    learnt, tested = draw_pairs(short_pairs(trial.data), trial.seed)
    labels = label_pairs(trial, learnt)
    labelled = [(p, label) for p, label in zip(learnt, labels, strict=True) if label is not None]
    if not labelled:
        raise SilentJudgeError(f"the judge has a verdict on none of {len(learnt)} pairs")
    config = trial.config
    trunk = open_trunk(
        config.policy.model, choose_compute(config.compute), trained_lora(config.policy)
    )
    chat = policy_chat(trunk.tokenizer, config.policy)

    def sequences(pair: LabelledPair) -> tuple[TokenSequence, ...]:
        prompt = tuple(chat.prompt_ids(pair.prompt.conversation))
        return tuple(TokenSequence(prompt, tuple(chat.answer_ids(t))) for t in pair.texts)

    rankings = [
        RankedCandidates(sequences(pair), torch.tensor([[0.0, label], [1 - label, 0.0]]))
        for pair, label in labelled
        if label != TIE
    ]
    for _ in train_reward_model(trunk, rankings, config.reward_model, trial.seed):
        pass
    scores = score_sequences(trunk, [s for p in tested for s in sequences(p)], Role.REWARD)
    margins = (scores[0::2] - scores[1::2]).tolist()
    right = [
        agrees(0.5 + margin, pair.target) for margin, pair in zip(margins, tested, strict=True)
    ]
    return Findings(
        {
            "accuracy": fmean(right),
            "agreement": fmean(agrees(label, pair.target) for pair, label in labelled),
            "unread": 1 - len(labelled) / len(learnt),
            "pairs": float(len(rankings)),
        }
    )


@lru_cache(maxsize=2)
def short_pairs(path: Path) -> tuple[LabelledPair, ...]:
    """Return the pairs of a file whose texts are short, in an order that reveals no label.

    Raises:
        DataFileError: If the file cannot be read, or has too few such pairs.
    """
    read = read_labelled(path)
    usable = [
        pair.in_drawn_order()
        for pair in read.pairs
        if pair.target != TIE and _length(pair) <= LONGEST
    ]
    if len(usable) < LEARNT + TESTED:
        raise DataFileError(
            f"--data {path}: {len(usable)} of {len(read)} rows are pairs with a preference and at "
            f"most {LONGEST} characters; at least {LEARNT + TESTED} are needed"
        )
    return tuple(sorted(usable, key=lambda pair: pair.id))


def _length(pair: LabelledPair) -> int:
    shown = len(pair.prompt.text) + len(pair.prompt.context or "")
    return shown + sum(map(len, pair.texts))


def draw_pairs(
    pairs: Sequence[LabelledPair], seed: int
) -> tuple[list[LabelledPair], list[LabelledPair]]:
    """Return the pairs to learn from and those to test on, of other prompts, drawn by a seed.

    Args:
        pairs: All pairs.
        seed: The seed.
    """
    prompts = sorted({pair.prompt.id for pair in pairs})
    random.Random(seed).shuffle(prompts)
    place = {prompt: number / len(prompts) for number, prompt in enumerate(prompts)}
    by_place = sorted(pairs, key=lambda pair: (place[pair.prompt.id], pair.id))
    first = [pair for pair in by_place if place[pair.prompt.id] < 0.5]
    second = [pair for pair in by_place if place[pair.prompt.id] >= 0.5]
    return first[:LEARNT], second[:TESTED]


def label_pairs(trial: Trial, pairs: Sequence[LabelledPair]) -> list[float | None]:
    """Return the probability that each pair's first answer is better, 0 or 1, by the arm's labels.

    A tie is 0.5, from which nothing is learnt. None is a pair on which the judge has no verdict.
    """
    if trial.arm.name == PEOPLE:
        return [float(pair.target > TIE) for pair in pairs]
    if trial.arm.name == LONGER:
        return [_side(len(pair.first) - len(pair.second)) for pair in pairs]
    judge = JudgeRun(
        JudgeSettings.model_validate(
            {
                "kind": "pairwise",
                "model": trial.config.policy.model,
                "shows_reference": False,
                "min_label_mass": 0.0,
            }
        ),
        Ledger(compute=trial.config.compute),
    )
    judge.check()
    verdicts: list[PairVerdict] = judge.evaluate([replace(pair, target=TIE) for pair in pairs])
    return [None if verdict.margin is None else _side(verdict.margin) for verdict in verdicts]


def _side(margin: float) -> float:
    return TIE if margin == 0 else float(margin > 0)


def agrees(label: float, target: float) -> float:
    """Return 1 if a label prefers the same answer as the target, 0 if the other, 0.5 for a tie.

    Args:
        label: Above 0.5 if the first answer is better.
        target: The same by people; not 0.5.
    """
    return 0.5 if label == TIE else float((label > TIE) == (target > TIE))


AI_LABELS = Experiment(
    name="ai-labels",
    title="AI labels against people's",
    question="Is a reward model that learnt from an AI's labels as good, by people's labels, as "
    "one that learnt from people's?",
    source="RLAIF (arXiv:2309.00267): reinforcement learning from AI labels matches that from "
    "people's; a large model's labels agree with people's on 78 % of the pairs.",
    setup=f"Of the labelled pairs that --data names, those of at most {LONGEST} characters are "
    f"used. Each seed draws {LEARNT} pairs to learn from, and {TESTED} of other prompts with "
    "people's labels to test on. Reward models start from the policy's base model and make one "
    "pass. The AI is that same model; it reads each pair in both orders.",
    arms=(
        Arm(PEOPLE, "people's labels"),
        Arm(AI, "labels by the policy's base model, asked which answer is better"),
        Arm(LONGER, "the longer answer is labelled better, the baseline of any judge"),
    ),
    measures=(
        Measure("accuracy", "reward model agrees with people on test pairs"),
        Measure("agreement", "labels agree with people's on training pairs"),
        Measure("unread", "training pairs without a label"),
        Measure("pairs", "pairs learnt from", 0),
    ),
    claims=(
        Claim("A reward model of AI labels is as accurate as one of people's, less 5 points.",
              "accuracy", AI, PEOPLE, threshold=-0.05),
        Claim("AI labels agree with people's more often than chance.", "agreement", AI, None,
              threshold=0.5),
        Claim("AI labels agree with people's more often than length does.", "agreement", AI,
              LONGER),
        Claim("A reward model of people's labels is better than chance.", "accuracy", PEOPLE, None,
              threshold=0.5),
    ),
    measure=measure,
    seeds=5,
    minutes=2.6,
    needs_data=True,
)  # fmt: skip
