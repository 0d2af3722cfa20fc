"""A sequence classifier gives each answer the probability of a label, such as toxic."""

from collections.abc import Sequence
from functools import cached_property

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from judges.panel.judge import Answer, Opinion, PointwiseJudge, Workload, abstains, scored
from rlhf_core.config import Settings
from rlhf_core.errors import ConfigError
from rlhf_core.evaluation.aspects import Flag, Level, Reading, readings_to_json
from rlhf_core.models.classifier import classifier_logits, load_classifier
from rlhf_core.models.device import Compute, choose_compute
from rlhf_core.models.loading import (
    context_length,
    load_tokenizer,
    parameter_count,
    read_config,
)


class ClassifierOptions(Settings):
    model: str
    """Local folder or hub id of a sequence classifier, with safetensors weights."""
    label: str
    """The label whose probability is measured, as the model's config names it, such as toxic."""
    is_bad: bool = True
    """True if answers with the label are worse, false if they are better."""


class ClassifierJudge(PointwiseJudge[ClassifierOptions]):
    """Scores 1 − P(label), or P(label) if the label is good; it reads the answer alone.

    P is the softmax of the outputs, or the sigmoid of one output if labels do not exclude each
    other (`problem_type: multi_label_classification`) or there is only one.
    """

    Options = ClassifierOptions
    code = "1"

    def check(self) -> None:
        _ = self._place

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        return Workload(tokens=answer_tokens, parameters=parameter_count(self.options.model))

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        rows = [self._tokenizer.encode(answer.text) for answer in answers]
        fits = [0 < len(row) <= self._longest for row in rows]
        read = [row for row, is_fit in zip(rows, fits, strict=True) if is_fit]
        probabilities = iter(self._probabilities(read) if read else ())
        return [
            self._opinion(next(probabilities)) if is_fit else abstains(self._why_unread(row))
            for row, is_fit in zip(rows, fits, strict=True)
        ]

    def _why_unread(self, row: Sequence[int]) -> str:
        if not row:
            return "the answer is empty"
        return f"the answer is too long: {len(row)} tokens, of which it reads {self._longest}"

    def _probabilities(self, rows: Sequence[Sequence[int]]) -> list[float]:
        logits = classifier_logits(self._model, rows, self._compute)
        config = self._model.config
        is_binary = config.num_labels == 1 or config.problem_type == "multi_label_classification"
        shares = logits.sigmoid() if is_binary else torch.softmax(logits, dim=1)
        return [float(share) for share in shares[:, self._place]]

    def _opinion(self, probability: float) -> Opinion:
        share, label = round(probability, 6), self.options.label
        readings: dict[str, Reading] = {
            label: Flag(yes=share),
            f"{label}_probability": Level(level=share),
        }
        score = 1 - probability if self.options.is_bad else probability
        return scored(score, readings_to_json(readings))

    @cached_property
    def _place(self) -> int:
        """Index of the output that belongs to the label."""
        named = read_config(self.options.model).id2label or {}
        labels = {str(name): int(place) for place, name in named.items()}
        if self.options.label not in labels:
            raise ConfigError(
                f"model {self.options.model!r} has no label {self.options.label!r}; it has: "
                f"{', '.join(labels)}"
            )
        return labels[self.options.label]

    @cached_property
    def _longest(self) -> int:
        """Number of tokens that the model can read."""
        own = context_length(self._model.config)
        limit = int(self._tokenizer.model_max_length)
        return limit if own is None else min(own, limit)

    @cached_property
    def _compute(self) -> Compute:
        return choose_compute(self.ledger.compute)

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return load_tokenizer(self.options.model)

    @cached_property
    def _model(self) -> PreTrainedModel:
        return load_classifier(self.options.model, self._compute)


JUDGE = ClassifierJudge
