"""PPO against PPO-ptx: what reinforcement learning forgets, and what language modelling keeps."""

import json
from collections.abc import Sequence
from pathlib import Path

from flows.experiments.experiment import Arm, Claim, Experiment, Findings, Measure, Trial
from flows.experiments.laboratory import Laboratory, open_held_out, open_laboratory
from flows.experiments.policies import policy_steps
from flows.experiments.prompts import read_prompts, short_prompts
from flows.training.texts import ptx_texts
from rlhf_core.algorithms.scoring import sequence_logprobs
from rlhf_core.config import Config
from rlhf_core.config.training import OnlineSettings, PTXSettings
from rlhf_core.errors import ConfigError
from rlhf_core.files.whole import whole_text
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import Split

TEXTS_FIRST = 12
"""Held-out texts needed at least."""


def measure(trial: Trial) -> Findings:
    """Train a policy, and compare its loss on held-out texts with that of the SFT model."""
    with open_laboratory(trial.feedback, "feedback", "reward-model") as lab:
        learnt, unseen = split_texts(contexts(trial))
        trunk = lab.trunk(Role.REWARD, Role.POLICY)
        held_out = open_held_out(lab)
        before = held_out.score(trunk, Role.REFERENCE)
        loss_before = text_loss(lab, trunk, Role.REFERENCE, unseen)
        config = with_texts(trial.config, learnt)
        for _ in policy_steps(lab, config, trunk, lab.prompts(Split.TRAIN)):
            pass
        after = held_out.score(trunk, Role.POLICY)
        loss = text_loss(lab, trunk, Role.POLICY, unseen)
        return Findings(
            {
                "loss": loss,
                "tax": loss - loss_before,
                "reward": after.mean_reward - before.mean_reward,
                "win_rate": after.win_rate(before),
                "kl": after.kl,
            }
        )


def contexts(trial: Trial) -> list[str]:
    """Return the distinct contexts of the config's own prompts, which are plain English.

    Raises:
        ConfigError: If they are too few.
    """
    base = trial.source_prompts
    texts = list(dict.fromkeys(p.context for p in read_prompts(base) if p.context))
    if len(texts) < 2 * TEXTS_FIRST:
        raise ConfigError(
            f"the prompts have {len(texts)} contexts, and the experiment learns from some and "
            f"measures on others; use prompts with at least {2 * TEXTS_FIRST}"
        )
    return texts


def split_texts(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the texts to learn from, two of three, and those to measure on."""
    kept = [text for number, text in enumerate(texts) if number % 3]
    return kept, [text for number, text in enumerate(texts) if number % 3 == 0]


def with_texts(config: Config, texts: Sequence[str]) -> Config:
    """Return a config whose PTX, if it has any, reads these texts from a file of its artifacts."""
    settings = config.training
    if not isinstance(settings, OnlineSettings) or settings.ptx is None:
        return config
    path = config.artifacts / "ptx.jsonl"
    _write(path, texts)
    ptx = settings.ptx.model_copy(update={"path": str(path)})
    return config.model_copy(update={"training": settings.model_copy(update={"ptx": ptx})})


def text_loss(lab: Laboratory, trunk: Trunk, role: Role, texts: Sequence[str]) -> float:
    """Return a role's loss on some texts, in nats a token.

    Args:
        lab: The laboratory.
        trunk: Holds the role.
        role: The role that reads.
        texts: The texts; each begins without a chat template.
    """
    path = lab.config.artifacts / "unseen.jsonl"
    _write(path, texts)
    sequences = ptx_texts(PTXSettings(path=str(path)), lab.chat(trunk), [])
    total = float(sequence_logprobs(trunk, role, sequences).sum().item())
    return -total / sum(len(sequence.response_ids) for sequence in sequences)


def _write(path: Path, texts: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_text(path) as stream:
        stream.writelines(json.dumps({"text": text}) + "\n" for text in texts)


PPO = (
    "training.steps=6",
    "training.prompts_per_step=6",
    "training.samples_per_prompt=4",
    "training.minibatches=1",
    "training.learning_rate=0.001",
    "training.kl.coefficient=0.02",
)

PTX = Experiment(
    name="ptx",
    title="PPO against PPO-ptx",
    question="Does PPO make the model worse at plain text, and does language modelling beside the "
    "reward prevent it?",
    source="InstructGPT (arXiv:2203.02155), sections 3.5 and 4.2: PPO loses on public NLP tasks "
    "(the alignment tax); mixing in pretraining gradients, PPO-ptx, removes most of the loss "
    "without a lower reward.",
    setup="The regression task is language modelling: the loss on English paragraphs, the contexts "
    "of the config's prompts, one third of which no arm learns from. Both arms share the SFT model "
    "and the reward model of a seed, and answer prompts without a context. PPO-ptx also reads four "
    "of the other paragraphs in each optimizer step.",
    arms=(
        Arm("ppo", "PPO with a small KL penalty", PPO),
        Arm("ppo-ptx", "the same, with language modelling beside the reward",
            (*PPO, "training.ptx={coefficient: 27.8, examples: 4, max_tokens: 96}")),
    ),
    measures=(
        Measure("tax", "rise of the loss on unseen texts over the SFT model, nats a token", 4),
        Measure("loss", "loss on unseen texts, nats a token"),
        Measure("reward", "reward gain on held-out prompts, deviations"),
        Measure("win_rate", "held-out win rate over the SFT model"),
        Measure("kl", "KL at the end, nats", 2),
    ),
    claims=(
        Claim("PPO has an alignment tax: its loss on unseen texts rises.", "tax", "ppo"),
        Claim("PPO-ptx pays less tax than PPO.", "tax", "ppo-ptx", "ppo", "below"),
        Claim("PPO-ptx gains at least the reward of PPO, less 0.2.", "reward", "ppo-ptx", "ppo",
              threshold=-0.2),
    ),
    measure=measure,
    seeds=3,
    minutes=4.5,
    settings=("sampling.max_new_tokens=24", "prompts.holdout=0.3",
              "evaluation.samples_per_prompt=1"),
    prompts=short_prompts,
)  # fmt: skip
