"""PPO, RLOO, DPO and best of n, compared at one KL from the SFT model."""

from flows.experiments.experiment import Arm, Chart, Claim, Experiment, Findings, Measure, Trial
from flows.experiments.laboratory import at_kl, open_held_out, open_laboratory
from flows.experiments.policies import follow_policy
from flows.experiments.prompts import short_prompts
from rlhf_core.config.training import BestOfNSettings, DPOSettings
from rlhf_core.models.trunk import Role

KL = 0.5
"""KL at which the algorithms are compared, in nats an answer."""
ONLINE = (
    "training.steps=6",
    "training.prompts_per_step=6",
    "training.samples_per_prompt=4",
    "training.minibatches=1",
)


def measure(trial: Trial) -> Findings:
    """Train one policy from the seed's SFT model and reward model, and follow it over KL."""
    with open_laboratory(trial.feedback, "feedback", "reward-model") as lab:
        trunk = lab.trunk(Role.REWARD, Role.POLICY)
        offline = isinstance(trial.config.training, DPOSettings | BestOfNSettings)
        path = follow_policy(open_held_out(lab), trial.config, trunk, every=3 if offline else 2)
        curves = {
            "reward": path.reward_gain,
            "held_out": path.held_out_gain,
            "win_rate": path.win_rate,
        }
        numbers = {"kl": path.steps[-1].kl, "last_win_rate": path.win_rate[-1][1]}
        for name, curve in curves.items():
            if (value := at_kl(curve, KL)) is not None:
                numbers[name] = value
        return Findings(numbers, curves)


ALGORITHMS = Experiment(
    name="algorithms",
    title="PPO, RLOO, DPO and best of n at equal KL",
    question="Which algorithm makes most of the same distance from the SFT model?",
    source="RLOO (arXiv:2402.14740) claims to match or beat PPO; DPO (arXiv:2305.18290, section "
    "6.1) claims a better reward for each KL than PPO; best of n (arXiv:2112.09332; "
    "arXiv:2210.10760) gains more for each KL than reinforcement learning.",
    setup=f"All arms of a seed share one SFT model, one set of ranked candidates and one reward "
    f"model. The policy answers the held-out prompts every few steps; reward, held-out score and "
    f"win rate over the SFT model are read off at KL = {KL:g} nats an answer, between the two "
    "measurements around it. A policy that never went so far has no number there.",
    arms=(
        Arm("ppo", "PPO with a separate critic", ONLINE),
        Arm("rloo", "REINFORCE with the other answers as the baseline",
            ("training.algorithm=rloo", *ONLINE)),
        Arm("dpo", "DPO on the candidates' rankings, two passes",
            ("training={algorithm: dpo, epochs: 2}",)),
        Arm("best-of-n", "fine-tuning on the best of 4 answers by the reward model, two passes",
            ("training={algorithm: best_of_n, n: 4, epochs: 2}",)),
    ),
    measures=(
        Measure("reward", f"reward gain at KL {KL:g}, deviations"),
        Measure("held_out", f"held-out gain at KL {KL:g}"),
        Measure("win_rate", f"held-out win rate at KL {KL:g}"),
        Measure("kl", "KL at the end, nats", 2),
        Measure("last_win_rate", "held-out win rate at the end"),
    ),
    claims=(
        Claim("At equal KL, RLOO gains at least the reward of PPO, less 0.1.",
              "reward", "rloo", "ppo", threshold=-0.1),
        Claim("At equal KL, DPO gains more reward than PPO.", "reward", "dpo", "ppo"),
        Claim("At equal KL, best of n gains more reward than PPO.", "reward", "best-of-n", "ppo"),
        Claim("At equal KL, best of n wins more often by the held-out judge than PPO.",
              "win_rate", "best-of-n", "ppo"),
    ),
    measure=measure,
    seeds=3,
    minutes=7.0,
    settings=("sampling.max_new_tokens=24", "prompts.holdout=0.3",
              "evaluation.samples_per_prompt=1"),
    charts=(
        Chart("reward", "KL, nats an answer", "reward gain, deviations", "Reward over KL"),
        Chart("win_rate", "KL, nats an answer", "win rate", "Held-out win rate over KL"),
    ),
    prompts=short_prompts,
)  # fmt: skip
