"""Training one encoder with three heads on labelled pairs, by sentence-transformers' trainer.

Each task of each file is a data set with a loss of its own; batches are drawn in proportion to
their sizes (arXiv:2305.16739, section 3.1). What comes out is a plain sequence classifier in
safetensors.
"""

import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from sentence_transformers.util import batch_to_device
from torch import Tensor, nn

from rlhf_core.encoders.pair_encoder import load_cross_encoder
from rlhf_core.encoders.pair_heads import OUTPUTS, SYMMETRIC, head_logits, head_loss
from rlhf_core.encoders.training import (
    Advance,
    CrossEncoderTraining,
    by_file,
    data_sets,
    run,
    trainer_arguments,
    training_config,
)
from rlhf_core.errors import ConfigError, TrainingError
from rlhf_core.files.text_pairs import Task, TextPair
from rlhf_core.models.device import Compute

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

TIMED_STEPS = 3
"""After one that warms up."""


class HeadLoss(nn.Module):
    """The loss of one head; where order means nothing, half the pairs are read the other way."""

    def __init__(self, model: "CrossEncoder", task: Task) -> None:
        super().__init__()
        self.model = model
        self.task = task

    def forward(
        self,
        inputs: list[list[str]],
        labels: Tensor,
        prompt: str | None = None,
        task: str | None = None,
    ) -> Tensor:
        pairs = list(zip(*inputs, strict=True))
        if self.task in SYMMETRIC:
            is_swapped = (torch.rand(len(pairs)) < 0.5).tolist()
            pairs = [p[::-1] if swap else p for p, swap in zip(pairs, is_swapped, strict=True)]
        features = batch_to_device(self.model.preprocess(pairs), self.model.device)
        logits = self.model(features)["scores"].float()
        return head_loss(self.task, head_logits(self.task, logits), labels)


def seconds_a_step(
    pairs: Sequence[TextPair], settings: CrossEncoderTraining, compute: Compute
) -> float:
    """What a step takes on this machine, timed on short, middling and long pairs.

    Raises:
        TrainingError: If there is no pair.
        ConfigError: If the trainer's own dependency is not installed.
        ModelNotFoundError: If the base model cannot be trained.
    """
    if not pairs:
        raise TrainingError("there is no pair to train on")
    if find_spec("datasets") is None:
        raise ConfigError("training needs `pip install 'solon[datasets]'`")
    model = load_cross_encoder(
        settings.base_model, compute, OUTPUTS, training_config(compute)
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
    by_length = sorted(pairs, key=lambda pair: len(pair.text) + len(pair.other))
    seconds: list[float] = []
    for turn in (0, *range(TIMED_STEPS)):
        middle = (2 * turn + 1) * len(pairs) // (2 * TIMED_STEPS)
        first = max(middle - settings.batch_size // 2, 0)
        chosen = by_length[first : first + settings.batch_size]
        started = time.perf_counter()
        features = batch_to_device(
            model.preprocess([(pair.text, pair.other) for pair in chosen]), model.device
        )
        with compute.autocast():
            model(features)["scores"].float().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - started)
    return sum(seconds[1:]) / TIMED_STEPS


def train_cross_encoder(
    pairs: Sequence[TextPair],
    settings: CrossEncoderTraining,
    compute: Compute,
    checkpoints: Path,
    advance: Advance,
) -> "CrossEncoder":
    """Train the heads that the pairs have labels for, and with them the encoder.

    Args:
        pairs: Labelled; each task's are drawn in batches of their own.
        settings: Of the training.
        compute: Device and precision of the matrix products; weights are trained in fp32.
        checkpoints: A folder of this training alone; one found in it is gone on from.
        advance: Told of every step.

    Raises:
        TrainingError: If the loss is not finite.
    """
    from sentence_transformers.cross_encoder import (
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
    )

    torch.manual_seed(settings.seed)
    model = load_cross_encoder(settings.base_model, compute, OUTPUTS, training_config(compute))
    losses: dict[str, nn.Module] = {
        name: HeadLoss(model, Task(str(chosen[0].task))) for name, chosen in by_file(pairs).items()
    }
    model.model_card_data.widget = [{}]  # or examples are drawn for a card nobody writes
    trainer = CrossEncoderTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(**trainer_arguments(settings, compute, checkpoints)),
        train_dataset=data_sets(pairs),
        loss=losses,
    )
    run(trainer, advance, "together")
    return model
