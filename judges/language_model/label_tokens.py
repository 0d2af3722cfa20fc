"""The probability that a local model's reply begins with a label, over all the label's spellings.

Any sequence of tokens that yields the label is a spelling, punctuation before it included: ` A`,
`(A`, `**a`, or the lone `▁` of SentencePiece and then a digit. So whole continuations are scored;
beyond the first token, only those that are likely enough to matter.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from transformers import PreTrainedModel

from judges.language_model.label_mass import LEADING, bare_token
from rlhf_core.errors import ConfigError
from rlhf_core.models.chat import ChatFormat
from rlhf_core.sampling.next_token import next_token_probabilities

LIKELY = 0.01
"""Least probability of a partial spelling that is continued; the sums stay within 1 %."""
LONGEST = 6
"""Most tokens of a label, punctuation before it included."""


@dataclass(frozen=True)
class _Step:
    """The effect of each possible next token on a partial spelling."""

    labels: dict[int, str]
    """The label that a token completes, by token."""
    beginnings: dict[int, str]
    """The longer partial spelling that a token leads to, by token."""

    @property
    def tokens(self) -> list[int]:
        return [*self.labels, *self.beginnings]


class LabelTokens:
    """The spellings of some labels in one tokenizer.

    Args:
        chat: The model's chat format, with its tokenizer.
        labels: The labels the model chooses from.

    Raises:
        ConfigError: If the tokenizer cannot spell a label, so that labels cannot be distinguished.
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
        """Return the probability of each label as the beginning of the reply to each prompt.

        Args:
            model: A causal language model in evaluation mode.
            prompts: Token ids of each prompt.
            tokens: Most tokens of one batch, padding included.

        Returns:
            The probability by label, one dict a prompt; each sums to less than 1.
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
                probabilities = next_token_probabilities(
                    model, rows, step.tokens, self.chat.pad_id, tokens
                ).tolist()
                for (place, written, _, so_far), row in zip(group, probabilities, strict=True):
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
            self._steps[beginning] = self._make_step(beginning)
        return self._steps[beginning]

    def _make_step(self, beginning: str) -> _Step:
        folded = {label.casefold(): label for label in self.labels}
        step = _Step({}, {})
        for token, text in self._vocabulary.items():
            whole = f"{beginning}{text}".lstrip(LEADING)
            if bare_token(whole) in folded:
                step.labels[token] = folded[bare_token(whole)]
            elif not whole or any(label.startswith(whole.casefold()) for label in folded):
                step.beginnings[token] = whole
        return step

    @cached_property
    def _vocabulary(self) -> dict[int, str]:
        """The text of each token that is not special and short enough to matter, by id."""
        tokenizer = self.chat.tokenizer
        longest = max(map(len, self.labels)) + LONGEST
        special = set(tokenizer.all_special_ids)
        ids = [
            number
            for token, number in tokenizer.get_vocab().items()
            if number not in special and len(token) <= longest
        ]
        return {number: str(tokenizer.decode([number])) for number in ids}
