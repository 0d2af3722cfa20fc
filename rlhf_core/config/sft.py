"""Optional settings of fine-tuning: selection of the weights to keep, and abstentions to teach."""

from typing import Annotated

from pydantic import Field, StringConstraints

from rlhf_core.config.base import PositiveInt, Settings, Share
from rlhf_core.config.judge import JudgeSettings

Wording = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class SelectionSettings(Settings):
    """Keep the weights whose answers a reward model scores best (arXiv:2203.02155, section 3.5)."""

    reward_model: str
    """Id of a reward model among this project's models (reward-…), its folder, or the folder or hub
    id of a sequence classifier with one output. It reads prompts with `policy.system_prompt`. A
    reward model of Solon's needs its base model at the path it had during training."""
    every_epochs: PositiveInt = 1
    """Epochs between two trials; the final weights are always tried."""
    missing_eos_score: float | None = -1.0
    """Highest score of an answer that did not end within max_new_tokens; it also never exceeds the
    lowest score of the trial's finished answers. null leaves its reward unchanged."""
    prompts: PositiveInt = 32
    """Prompts of the training split to answer in a trial, with `sampling`'s temperature and length.
    A hash draws them, and they are excluded from fine-tuning."""


class AbstentionSettings(Settings):
    """Teach "I don't know" for unknown answers (R-Tuning, arXiv:2311.09677, section 3).

    The base model answers the knowledge-seeking prompts that have a reference. If none of its
    answers is right, the demonstration becomes an abstention: imitating answers that it does not
    know would teach it to invent them (Goldberg 2023, "Reinforcement learning for language
    models").
    """

    judge: JudgeSettings = JudgeSettings.model_validate(
        {"kind": "verifier", "name": "knowledge", "metric": "contains"}
    )
    """Judge that decides whether an answer is right; it must score single answers. The default
    looks for the reference's own words, which suits references of a few words. For whole sentences,
    name a judge of meaning, such as question_answering or entailment."""
    threshold: Share = 0.5
    """Lowest score of a right answer."""
    answers: PositiveInt = 4
    """Answers of the base model to each prompt, with `sampling`'s temperature and length."""
    max_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    """Limit of the share of abstentions among all demonstrations, so that the model does not learn
    to abstain always. If more prompts are unknown, a hash draws among them; the others keep their
    demonstrations."""
    wordings: Annotated[tuple[Wording, ...], Field(min_length=1)] = (
        "I don't know.",
        "I don't know the answer to that.",
        "I'm not sure.",
        "I'm afraid I don't know.",
        "Sorry, I don't know that.",
        "I don't have an answer to that.",
        "I can't say for certain.",
        "I do not know.",
    )
    """Texts of abstentions; the prompt's hash draws one."""
