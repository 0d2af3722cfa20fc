"""Training of one encoder with three heads on labelled pairs, with sentence-transformers' trainer.

Each task of each file is a data set with its own loss; batches are drawn in proportion to the sizes
of the data sets (arXiv:2305.16739, section 3.1). The result is a plain sequence classifier in
safetensors.
"""

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
    build_datasets,
    group_by_file,
    on_one_device,
    run_trainer,
    trainer_arguments,
    training_config,
)
from rlhf_core.errors import ConfigError, TrainingError
from rlhf_core.files.text_pairs import PairTask, TextPair
from rlhf_core.models.device import Compute, synchronised_time

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

TIMED_STEPS = 3
"""Number of steps that are timed, after one that warms up."""


class HeadLoss(nn.Module):
    """The loss of one head; for a symmetric task, half the pairs are read in reverse order."""

    def __init__(self, model: "CrossEncoder", task: PairTask) -> None:
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


def measure_step_seconds(
    pairs: Sequence[TextPair], settings: CrossEncoderTraining, compute: Compute
) -> float:
    """Measure the duration of a training step on this machine, on short, medium and long pairs.

    Args:
        pairs: The training pairs.
        settings: Settings of the training.
        compute: Device and precision.

    Returns:
        Seconds a step, the mean of TIMED_STEPS steps.

    Raises:
        TrainingError: If there is no pair.
        ConfigError: If the trainer's dependency `datasets` is not installed.
        ModelNotFoundError: If the base model cannot be loaded, or is no encoder.
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
        started = synchronised_time(compute.device)
        features = batch_to_device(
            model.preprocess([(pair.text, pair.other) for pair in chosen]), model.device
        )
        with compute.autocast():
            model(features)["scores"].float().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(synchronised_time(compute.device) - started)
    return sum(seconds[1:]) / TIMED_STEPS


def train_cross_encoder(
    pairs: Sequence[TextPair],
    settings: CrossEncoderTraining,
    compute: Compute,
    checkpoints: Path,
    advance: Advance,
) -> "CrossEncoder":
    """Train the encoder, and those heads for whose tasks there are labels.

    Args:
        pairs: Labelled pairs; each task is drawn in batches of its own.
        settings: Settings of the training.
        compute: Device and precision of the matrix products; weights are trained in fp32.
        checkpoints: A folder for this training alone; a checkpoint in it is resumed.
        advance: Called after each step with the number of new steps and a description.

    Returns:
        The trained encoder.

    Raises:
        TrainingError: If the loss is not finite.
        ModelNotFoundError: If the base model cannot be loaded, or is no encoder.
    """
    from sentence_transformers.cross_encoder import (
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
    )

    torch.manual_seed(settings.seed)
    model = load_cross_encoder(settings.base_model, compute, OUTPUTS, training_config(compute))
    losses: dict[str, nn.Module] = {
        name: HeadLoss(model, PairTask(str(chosen[0].task)))
        for name, chosen in group_by_file(pairs).items()
    }
    model.model_card_data.widget = [{}]  # else examples are sampled for a card that is not written
    trainer = CrossEncoderTrainer(
        model=model,
        args=on_one_device(
            CrossEncoderTrainingArguments(**trainer_arguments(settings, compute, checkpoints))
        ),
        train_dataset=build_datasets(pairs),
        loss=losses,
    )
    run_trainer(trainer, advance, "together")
    return model
