"""The probability of labels as the beginning of a local model's reply, over all their spellings.

A label is spelt by any tokens that come to it, with marks before it: ` A`, `(A`, `**a`, or the
lone `▁` of SentencePiece and then a digit. So whole continuations are scored; beyond the first
token only those that are likely enough to matter.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from transformers import PreTrainedModel

from judges.language_model.label_mass import LEADING, bare
from rlhf_core.errors import ConfigError
from rlhf_core.models.chat import ChatFormat
from rlhf_core.sampling.next_token import next_token_probabilities

LIKELY = 0.01
"""Probability from which a beginning of labels is followed; less leaves the sum within 1 %."""
LONGEST = 6
"""Tokens of a label with the marks before it."""


@dataclass(frozen=True)
class _Step:
    """What each next token makes of a beginning."""

    labels: dict[int, str]
    """By token: the label that is complete with it."""
    beginnings: dict[int, str]
    """By token: the beginning of labels that it leads to."""

    @property
    def tokens(self) -> list[int]:
        return [*self.labels, *self.beginnings]


class LabelTokens:
    """How one tokenizer spells some labels.

    Args:
        chat: Of the model.
        labels: What it may answer.

    Raises:
        ConfigError: If it cannot spell one of them, so that it cannot be told from the others.
    """

    def __init__(self, chat: ChatFormat, labels: Sequence[str]) -> None:
        self.chat, self.labels = chat, tuple(labels)
        self._steps: dict[str, _Step] = {}
        for label in labels:
            if not self._spells(label):
                name = chat.tokenizer.name_or_path
                raise ConfigError(
                    f"model {name!r} cannot answer {label!r}: its tokenizer has no token for it, "
                    f"so {', '.join(labels)} cannot be told apart; name another model"
                )

    def mass(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], tokens: int
    ) -> list[dict[str, float]]:
        """Probability of each label after each prompt; they sum to less than 1.

        Args:
            model: A causal language model in evaluation mode.
            prompts: Tokens of each prompt.
            tokens: Budget of one batch, padding included.
        """
        mass = [dict.fromkeys(self.labels, 0.0) for _ in prompts]
        waiting = [(place, tuple[int, ...](), "", 1.0) for place in range(len(prompts))]
        for _ in range(LONGEST):
            by_beginning = defaultdict(list)
            for one in waiting:
                by_beginning[one[2]].append(one)
            waiting = []
            for beginning, group in by_beginning.items():
                step = self._step(beginning)
                rows = [[*prompts[place], *written] for place, written, _, _ in group]
                found = next_token_probabilities(
                    model, rows, step.tokens, self.chat.pad_id, tokens
                ).tolist()
                for (place, written, _, so_far), row in zip(group, found, strict=True):
                    for token, probability in zip(step.tokens, row, strict=True):
                        both = so_far * probability
                        if token in step.labels:
                            mass[place][step.labels[token]] += both
                        elif both >= LIKELY:
                            waiting.append((place, (*written, token), step.beginnings[token], both))
            if not waiting:
                break
        return mass

    def _spells(self, label: str) -> bool:
        beginning = ""
        for token in self.chat.plain_ids(label):
            step = self._step(beginning)
            if token in step.labels:
                return step.labels[token] == label
            if token not in step.beginnings:
                return False
            beginning = step.beginnings[token]
        return False

    def _step(self, beginning: str) -> _Step:
        if beginning not in self._steps:
            self._steps[beginning] = self._made(beginning)
        return self._steps[beginning]

    def _made(self, beginning: str) -> _Step:
        folded = {label.casefold(): label for label in self.labels}
        step = _Step({}, {})
        for token, text in self._vocabulary.items():
            whole = f"{beginning}{text}".lstrip(LEADING)
            if bare(whole) in folded:
                step.labels[token] = folded[bare(whole)]
            elif not whole or any(label.startswith(whole.casefold()) for label in folded):
                step.beginnings[token] = whole
        return step

    @cached_property
    def _vocabulary(self) -> dict[int, str]:
        """The text of each token but the special ones, where it is short enough to matter."""
        tokenizer = self.chat.tokenizer
        longest = max(map(len, self.labels)) + LONGEST
        special = set(tokenizer.all_special_ids)
        ids = [
            number
            for token, number in tokenizer.get_vocab().items()
            if number not in special and len(token) <= longest
        ]
        return {number: str(tokenizer.decode([number])) for number in ids}
