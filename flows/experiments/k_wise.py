"""K-wise loss against shuffled pairs: held-out accuracy of reward models, and what they cost."""

import random
import time
from collections.abc import Sequence

from flows.experiments.experiment import Arm, Claim, Experiment, Findings, Measure, Trial
from flows.experiments.laboratory import open_laboratory
from flows.experiments.prompts import short_prompts
from rlhf_core.algorithms.rankings import RankedCandidates, hold_out
from rlhf_core.algorithms.reward_figures import reward_figures
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.algorithms.scoring import score_rankings

HELD_OUT = 0.3
KWISE, PAIRS, EQUAL_COST = "k-wise", "shuffled-pairs", "pairs-equal-tokens"


def measure(trial: Trial) -> Findings:
    """Train a reward model on the shared rankings in one way, and score held-out rankings."""
    with open_laboratory(trial.feedback, "feedback") as lab:
        trunk = lab.trunk()
        learnt, held_out = hold_out(lab.rankings(lab.chat(trunk)), HELD_OUT)
        settings = lab.config.reward_model
        data, per_step = learnt, settings.prompts_per_step
        if trial.arm.name != KWISE:
            data = shuffle_pairs(learnt, trial.seed)
            per_step = max(1, round(per_step * len(data) / len(learnt)))
        if trial.arm.name == EQUAL_COST:
            data = within_tokens(data, sum(map(token_count, learnt)))
        settings = settings.model_copy(update={"prompts_per_step": per_step})
        began = time.monotonic()
        for _ in train_reward_model(trunk, data, settings, trial.seed):
            pass
        seconds = time.monotonic() - began
        scores = score_rankings(trunk, held_out)
        figures = reward_figures(scores, held_out)
        return Findings(
            {
                "accuracy": figures["holdout_accuracy"],
                "loss": figures["holdout_loss"],
                "tokens": sum(map(token_count, data)) / 1000,
                "seconds": seconds,
                "pairs": float(sum(map(pair_count, data))),
            }
        )


def shuffle_pairs(rankings: Sequence[RankedCandidates], seed: int) -> list[RankedCandidates]:
    """Return each labelled pair of the rankings as a ranking of its own, in a shuffled order.

    Args:
        rankings: Rankings of K candidates.
        seed: Seed of the order.
    """
    pairs = [
        RankedCandidates(
            (ranking.sequences[i], ranking.sequences[j]),
            ranking.preferences[[i, j]][:, [i, j]],
            None if ranking.margins is None else ranking.margins[[i, j]][:, [i, j]],
        )
        for ranking in rankings
        for i in range(len(ranking.sequences))
        for j in range(i)
        if ranking.preferences[i, j] + ranking.preferences[j, i] > 0
    ]
    random.Random(seed).shuffle(pairs)
    return pairs


def within_tokens(rankings: Sequence[RankedCandidates], tokens: int) -> list[RankedCandidates]:
    """Return the first rankings that together have at most so many tokens; at least one.

    Args:
        rankings: The rankings, in order.
        tokens: Tokens as `token_count` counts them.
    """
    chosen: list[RankedCandidates] = []
    for ranking in rankings:
        tokens -= token_count(ranking)
        if tokens < 0 and chosen:
            break
        chosen.append(ranking)
    return chosen


def token_count(ranking: RankedCandidates) -> int:
    """Return the tokens of a ranking: its prompt once, and each of its answers."""
    answers = sum(len(sequence.response_ids) for sequence in ranking.sequences)
    return len(ranking.sequences[0].prompt_ids) + answers


def pair_count(ranking: RankedCandidates) -> int:
    """Return the number of labelled pairs of a ranking."""
    return int((ranking.preferences + ranking.preferences.T > 0).sum().item()) // 2


K_WISE = Experiment(
    name="k-wise",
    title="K-wise loss against shuffled pairs",
    question="Does a reward model learn better from whole rankings than from their shuffled pairs?",
    source="InstructGPT (arXiv:2203.02155), section 3.5: shuffling the comparisons of a prompt "
    "into one data set makes the reward model overfit in a single pass; training on all K "
    "candidates of a prompt as one batch element does not, and needs one forward pass a candidate.",
    setup="The SFT model answers each training prompt K times, and the config's judges rank the "
    "answers. The rankings of 30 % of these prompts are held out. All reward models start from the "
    "same SFT model and make one pass. Seeds change the head, the adapter and the order.",
    arms=(
        Arm(KWISE, "all pairs of a prompt in one batch element, with the K-wise loss"),
        Arm(PAIRS, "the same pairs, each an example of its own, shuffled; as many optimizer steps"),
        Arm(EQUAL_COST, "shuffled pairs until as many tokens were read as by the K-wise loss"),
    ),
    measures=(
        Measure("accuracy", "held-out pairs in order"),
        Measure("loss", "held-out loss, nats"),
        Measure("tokens", "thousand tokens learnt from", 1),
        Measure("seconds", "seconds of training", 1),
        Measure("pairs", "pairs learnt from", 0),
    ),
    claims=(
        Claim(
            "The K-wise loss gives a lower held-out loss than shuffled pairs.",
            "loss", KWISE, PAIRS, "below",
        ),
        Claim(
            "The K-wise loss orders more held-out pairs correctly than shuffled pairs do.",
            "accuracy", KWISE, PAIRS,
        ),
        Claim(
            "For the same tokens, the K-wise loss orders more held-out pairs correctly.",
            "accuracy", KWISE, EQUAL_COST,
        ),
        Claim("The K-wise loss takes less time.", "seconds", KWISE, PAIRS, "below"),
    ),
    measure=measure,
    seeds=5,
    minutes=2.3,
    first_minutes=1.5,
    settings=("sampling.max_new_tokens=24", "prompts.holdout=0.1"),
    prompts=short_prompts,
    shares_feedback=True,
)  # fmt: skip
