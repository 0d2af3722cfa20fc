"""Over-optimisation: a policy trained far against a reward model that saw few rankings."""

from collections.abc import Sequence
from statistics import fmean, stdev

from flows.experiments.experiment import (
    Arm,
    Chart,
    Claim,
    Curve,
    Experiment,
    Findings,
    Measure,
    Trial,
)
from flows.experiments.laboratory import Laboratory, open_held_out, open_laboratory
from flows.experiments.policies import Trajectory, follow_policy
from flows.experiments.prompts import short_prompts
from flows.training.texts import demonstrations
from rlhf_core.algorithms.rankings import hold_out
from rlhf_core.algorithms.reward_model import normalise, train_reward_model
from rlhf_core.guard.overoptimisation import fit_gold_curve
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import Split

SMALL, LARGE = "small", "large"
RANKINGS = 12
"""Rankings of the small reward model."""


def measure(trial: Trial) -> Findings:
    """Train a reward model on few or on all rankings, and a policy far against it."""
    with open_laboratory(trial.feedback, "feedback") as lab:
        trunk = lab.trunk()
        train_reward(lab, trunk, RANKINGS if trial.arm.name == SMALL else None)
        trunk.add_role(Role.POLICY, trial.config.seed)
        path = follow_policy(open_held_out(lab), trial.config, trunk, every=3)
        held_out = path.held_out_gain
        numbers = {
            "kl": path.steps[-1].kl,
            "reward": path.reward_gain[-1][1],
            "held_out": held_out[-1][1],
            "late": late_change(held_out),
        }
        if (gap := standardised_gap(path)) is not None:
            numbers["gap"] = gap
        measured = held_out[1:]
        fit = fit_gold_curve(
            [kl for kl, _ in measured], [gain for _, gain in measured], form="best_of_n"
        )
        fitted = {}
        if fit is not None:
            numbers |= {"alpha": fit.alpha, "beta": fit.beta}
            if fit.peak_kl is not None:
                numbers["peak"] = fit.peak_kl
            far = max(kl for kl, _ in held_out)
            fitted["fit"] = [(far * n / 40, fit.score(far * n / 40)) for n in range(41)]
        return Findings(numbers, {"reward": path.reward_gain, "held_out": held_out, **fitted})


def train_reward(lab: Laboratory, trunk: Trunk, limit: int | None) -> None:
    """Train the trunk's reward role.

    Args:
        lab: Laboratory with the rankings.
        trunk: The SFT model.
        limit: Number of rankings; None takes all.
    """
    config, chat = lab.config, lab.chat(trunk)
    learnt, _ = hold_out(lab.rankings(chat), config.reward_model.holdout)
    for _ in train_reward_model(trunk, learnt[:limit], config.reward_model, config.seed):
        pass
    normalise(trunk, demonstrations(chat, lab.prompts(Split.TRAIN)))


def late_change(curve: Curve) -> float:
    """Return the mean of the last third of the measurements less that of the third before it."""
    values = [value for _, value in curve[1:]]
    size = max(1, len(values) // 3)
    last, before = values[-size:], values[-2 * size : -size] or values[:1]
    return sum(last) / len(last) - sum(before) / len(before)


def standardised_gap(path: Trajectory) -> float | None:
    """Return the reward gain less the held-out gain at the end, each in the SFT's deviations.

    None if the SFT model's answers all score alike, so that there is no deviation to count in.
    """
    start, end = path.start, path.steps[-1]
    reward, held_out = _gain(start.reward, end.reward), _gain(start.held_out, end.held_out)
    return None if reward is None or held_out is None else reward - held_out


def _gain(first: Sequence[float], last: Sequence[float]) -> float | None:
    deviation = stdev(first) if len(first) > 1 else 0.0
    return (fmean(last) - fmean(first)) / deviation if deviation > 0 else None


OVEROPTIMISATION = Experiment(
    name="overoptimisation",
    title="Over-optimisation of a small reward model",
    question="Does the held-out score fall while the reward still rises, and sooner if the reward "
    "model learnt from few rankings?",
    source="Gao, Schulman and Hilton, Scaling laws for reward model overoptimization "
    "(arXiv:2210.10760): the proxy's reward rises with d = √KL, the gold score rises, peaks and "
    "falls, as d (α − β d); more data for the proxy move the peak outwards.",
    setup=f"One reward model learns from {RANKINGS} rankings, one from all. Against each, a policy "
    "is trained by RLOO without a KL penalty. It answers the held-out prompts every three steps, "
    "and the held-out judge's gain over the SFT model is fitted by d (α − β d), whose peak lies at "
    "KL = (α / 2β)². The judge stands for the gold score; it took no part in training.",
    arms=(
        Arm(SMALL, f"reward model of {RANKINGS} rankings"),
        Arm(LARGE, "reward model of all rankings"),
    ),
    measures=(
        Measure("reward", "reward gain at the end, deviations"),
        Measure("held_out", "held-out gain at the end"),
        Measure("late", "change of the held-out gain in the last third"),
        Measure("gap", "reward gain less held-out gain, in deviations of the SFT model"),
        Measure("peak", "fitted peak, KL in nats", 2),
        Measure("alpha", "α"),
        Measure("beta", "β"),
        Measure("kl", "KL at the end, nats", 2),
    ),
    claims=(
        Claim("The reward of the small model rises to the end.", "reward", SMALL),
        Claim("The reward promises more than the held-out judge finds.", "gap", SMALL),
        Claim("The held-out score falls in the last third.", "late", SMALL, None, "below"),
        Claim("The fitted curve bends down: β > 0.", "beta", SMALL),
        Claim("A reward model of more rankings overstates less.", "gap", SMALL, LARGE),
    ),
    measure=measure,
    seeds=3,
    minutes=5.0,
    settings=(
        "sampling.max_new_tokens=24", "prompts.holdout=0.3", "evaluation.samples_per_prompt=1",
        "training={algorithm: rloo, steps: 15, prompts_per_step: 4, samples_per_prompt: 4, "
        "minibatches: 1, learning_rate: 0.001, kl: {coefficient: 0}}",
    ),
    charts=(
        Chart("reward", "KL, nats an answer", "reward gain, deviations", "Reward over KL"),
        Chart("held_out", "KL, nats an answer", "held-out gain", "Held-out score over KL"),
        Chart("fit", "KL, nats an answer", "fitted held-out gain", "Fitted d (α − β d)"),
    ),
    prompts=short_prompts,
)  # fmt: skip
