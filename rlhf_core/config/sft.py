"""Settings beside fine-tuning itself: which weights are kept, what is taught to be unknown."""

from typing import Annotated

from pydantic import Field, StringConstraints

from rlhf_core.config.base import PositiveInt, Settings, Share
from rlhf_core.config.judge import JudgeSettings

Wording = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class SelectionSettings(Settings):
    """Keep the weights whose answers a reward model likes best (arXiv:2203.02155, section 3.5)."""

    reward_model: str
    """Id of a reward model among this project's models (reward-…), its folder, or the folder or hub
    id of a sequence classifier with one output. It reads prompts with `policy.system_prompt`, and a
    reward model of Solon's needs the model it was trained on where it was then."""
    every_epochs: PositiveInt = 1
    """Epochs from one trial to the next; the last weights are tried in any case."""
    missing_eos_score: float | None = -1.0
    """Most that an answer scores that did not end within max_new_tokens; nor does it score above
    the lowest of a trial that ended. null leaves its reward."""
    prompts: PositiveInt = 32
    """Prompts of the training split that are answered in a trial, by `sampling`'s temperature and
    length. A hash draws them, and fine-tuning does not see them."""


class AbstentionSettings(Settings):
    """Teach "I don't know" where the model does not (R-Tuning, arXiv:2311.09677, section 3).

    The base model answers the knowledge-seeking prompts that have a reference. Where none of its
    answers is right, the demonstration becomes an abstention: imitating answers it does not know
    would teach it to make them up (Goldberg 2023, "Reinforcement learning for language models").
    """

    judge: JudgeSettings = JudgeSettings.model_validate(
        {"kind": "verifier", "name": "knowledge", "metric": "contains"}
    )
    """Who says whether an answer is right; it must score answers alone. The default wants the
    reference's own words, so it suits references of a few words: for whole sentences name a judge
    of meaning, such as question_answering or entailment."""
    threshold: Share = 0.5
    """From this score of that judge on, an answer is right."""
    answers: PositiveInt = 4
    """Answers of the base model to each prompt, by `sampling`'s temperature and length."""
    max_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    """Abstentions among all demonstrations, at most, so that the model does not learn to abstain
    always. Of more unknown prompts a hash draws those; the others keep their demonstrations."""
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
    """What an abstention says; the prompt's hash draws one."""
