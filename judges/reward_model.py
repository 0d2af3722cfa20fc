"""A reward model scores each answer: one that Solon trained, or any classifier with one output."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from transformers import PreTrainedModel

from judges.panel.judge import Answer, Opinion, PointwiseJudge, Workload, abstains, scored
from rlhf_core.algorithms.scoring import score_sequences
from rlhf_core.config.policy import PolicySettings
from rlhf_core.config.template import TemplateSettings
from rlhf_core.models.adapter_files import ADAPTER_CONFIG, adapter_base
from rlhf_core.models.artifacts import is_reward_model, load_saved
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.classifier import (
    classifier_scores,
    load_classifier,
    require_single_output,
)
from rlhf_core.models.device import Compute, choose_compute
from rlhf_core.models.loading import load_tokenizer, locate, parameter_count
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk

UNKNOWN_CONTEXT = 2048
"""Context length in tokens of a model whose config names none."""


class RewardModelOptions(TemplateSettings):
    model: str
    """Folder of a reward model that Solon trained (artifacts/models/reward-…), or a local folder
    or hub id of a sequence classifier with one output."""
    system_prompt: str | None = PolicySettings.model_fields["system_prompt"].default
    """System message the reward model was trained with."""


class RewardModelJudge(PointwiseJudge[RewardModelOptions]):
    """Scores σ(reward); of a model that Solon trained, 0.5 is the mean reference answer's score."""

    Options = RewardModelOptions
    code = "3"

    def check(self) -> None:
        if self._is_ours:
            locate(self._base)
        else:
            require_single_output(self._base)
        self._chat.template.check()

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        parameters = parameter_count(self._base)
        return Workload(tokens=prompt_tokens + answer_tokens, parameters=parameters)

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        sequences = self._sequences(answers)
        return [
            abstains(_why_unread(sequence)) if reward is None else read(reward)
            for sequence, reward in zip(sequences, self._rewards_that_fit(sequences), strict=True)
        ]

    def rewards(self, answers: Sequence[Answer]) -> list[float | None]:
        """Return the raw reward of each answer; None if it is empty or too long to read."""
        return self._rewards_that_fit(self._sequences(answers))

    def _sequences(self, answers: Sequence[Answer]) -> list[TokenSequence]:
        return [
            TokenSequence(
                tuple(self._chat.prompt_ids(answer.prompt.conversation)),
                tuple(self._chat.answer_ids(answer.text, answer.is_finished)),
            )
            for answer in answers
        ]

    def _rewards_that_fit(self, sequences: Sequence[TokenSequence]) -> list[float | None]:
        fits = [bool(s.response_ids) and len(s) <= self._context for s in sequences]
        fitting = [sequence for sequence, is_fit in zip(sequences, fits, strict=True) if is_fit]
        rewards = iter(self._rewards(fitting).tolist()) if fitting else iter(())
        return [next(rewards) if is_fit else None for is_fit in fits]

    def _rewards(self, sequences: Sequence[TokenSequence]) -> torch.Tensor:
        if self._is_ours:
            trunk, role = self._trunk_and_role
            return score_sequences(trunk, sequences, role)
        return classifier_scores(self._classifier, sequences, self._compute)

    @property
    def _context(self) -> int:
        """Number of tokens the model can read."""
        model = self._trunk_and_role[0].language_model if self._is_ours else self._classifier
        length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        return int(length or UNKNOWN_CONTEXT)

    @cached_property
    def _folder(self) -> Path:
        return Path(self.options.model).expanduser()

    @cached_property
    def _is_ours(self) -> bool:
        return is_reward_model(self._folder)

    @cached_property
    def _base(self) -> str:
        """The whole model: the named one itself, or the base model of our adapter."""
        if not self._is_ours or not (self._folder / ADAPTER_CONFIG).exists():
            return self.options.model
        return adapter_base(self._folder)

    @cached_property
    def _compute(self) -> Compute:
        return choose_compute(self.ledger.compute)

    @cached_property
    def _chat(self) -> ChatFormat:
        return ChatFormat(load_tokenizer(self._base), self.options.system_prompt, self.options)

    @cached_property
    def _trunk_and_role(self) -> tuple[Trunk, Role]:
        return load_saved(self._folder, self._compute)

    @cached_property
    def _classifier(self) -> PreTrainedModel:
        return load_classifier(self._base, self._compute)


def _why_unread(sequence: TokenSequence) -> str:
    if not sequence.response_ids:
        return "the answer was cut off before its first word"
    return f"prompt and answer are too long: {len(sequence)} tokens"


def read(reward: float) -> Opinion:
    """Return σ(reward) as the score, with the reward itself as raw output."""
    return scored(torch.tensor(reward).sigmoid().item(), raw_output=f"{reward:.6f}")


JUDGE = RewardModelJudge
