"""Supervised text comparison as the only reward: no preference labels, no reward model."""

from flows.experiments.experiment import Arm, Chart, Claim, Experiment, Findings, Measure, Trial
from flows.experiments.laboratory import open_held_out, open_laboratory
from flows.experiments.policies import policy_steps
from flows.experiments.prompts import short_prompts
from rlhf_core.models.trunk import Role
from rlhf_core.records import Split

COMPARISON, LABELS = "comparison", "reward-model"


def measure(trial: Trial) -> Findings:
    """Train a policy by one reward, and compare it with the SFT model on held-out prompts."""
    is_labelled = trial.arm.name == LABELS
    groups = ("feedback", "reward-model") if is_labelled else ("train_sft",)
    first = () if is_labelled else ("ingest",)
    with open_laboratory(trial.feedback, *first, *groups) as lab:
        trunk = lab.trunk(Role.POLICY, *((Role.REWARD,) if is_labelled else ()))
        held_out = open_held_out(lab)
        before = held_out.score(trunk, Role.REFERENCE, with_reward=False)
        scores = []
        steps = policy_steps(lab, trial.config, trunk, lab.prompts(Split.TRAIN))
        for step in steps:
            scores.append((float(step.step), step.metrics["score"]))
        after = held_out.score(trunk, Role.POLICY, with_reward=False)
        return Findings(
            {
                "win_rate": after.win_rate(before),
                "held_out": after.mean_held_out - before.mean_held_out,
                "reward": scores[-1][1] - scores[0][1],
                "kl": after.kl,
            },
            {"score": scores},
        )


RLOO = (
    "training={algorithm: rloo, steps: 10, prompts_per_step: 6, samples_per_prompt: 4, "
    "minibatches: 1%s}"
)

COMPARISON_ONLY = Experiment(
    name="comparison-only",
    title="Text comparison as the only reward",
    question="Does a policy improve if its only reward is a comparison of its answers with "
    "reference answers, without preference labels?",
    source="Goldberg, Reinforcement learning for language models (2023): where references exist, a "
    "supervised comparison of texts can replace preference labels as the reward.",
    setup="Both arms start from the SFT model of a seed and train by RLOO. One is rewarded by the "
    "cosine of the answer's and the reference's embeddings, by a sentence encoder that was trained "
    "on labelled pairs of texts. For the other, the same judge ranks sampled candidates, and a "
    "reward model learns from the rankings. The config's held-out judge, which neither was trained "
    "on, compares both with the SFT model.",
    arms=(
        Arm(COMPARISON, "the judge similarity is the reward",
            (RLOO % ", reward: {reward_model: 0, judges: [{kind: similarity}]}"
             ", kl: {coefficient: 0.005}",)),
        Arm(LABELS, "a reward model that learnt from the judge's labels is the reward",
            (RLOO % "",)),
    ),
    measures=(
        Measure("win_rate", "held-out win rate over the SFT model"),
        Measure("held_out", "held-out gain"),
        Measure("reward", "rise of the reward from the first step to the last"),
        Measure("kl", "KL at the end, nats", 2),
    ),
    claims=(
        Claim("Text comparison alone raises the held-out score.", "held_out", COMPARISON),
        Claim("Text comparison alone beats the SFT model.", "win_rate", COMPARISON, None,
              threshold=0.5),
        Claim("Text comparison wins at least as often as the reward model, less 5 points.",
              "win_rate", COMPARISON, LABELS, threshold=-0.05),
    ),
    measure=measure,
    seeds=3,
    minutes=5.0,
    settings=("sampling.max_new_tokens=24", "prompts.holdout=0.3",
              "evaluation.samples_per_prompt=1"),
    charts=(Chart("score", "step", "reward", "Reward of each step"),),
    prompts=short_prompts,
)  # fmt: skip
