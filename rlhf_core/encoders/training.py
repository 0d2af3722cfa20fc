"""Parts that the trainings of cross-encoders and bi-encoders share: data sets, batches, the run."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from sentence_transformers.base.sampler import DefaultBatchSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from rlhf_core.config import Settings
from rlhf_core.config.base import PositiveFloat, PositiveInt
from rlhf_core.errors import TrainingError
from rlhf_core.files.text_pairs import TextPair
from rlhf_core.models.device import Compute

if TYPE_CHECKING:
    from datasets import Dataset

POOL = 20
Advance = Callable[[int, str], None]
Arguments = TypeVar("Arguments", bound=TrainingArguments)


class CrossEncoderTraining(Settings):
    base_model: str = "all-minilm-l6-v2"
    """An encoder: bundled name, local folder or hub id."""
    epochs: PositiveInt = 3
    """Number of passes over the pairs."""
    batch_size: PositiveInt = 64
    """Pairs a step."""
    learning_rate: PositiveFloat = 1e-4
    """Peak learning rate, reached after a tenth of the steps; it then falls linearly to 0."""
    seed: int = 1
    """Seed of the heads' initial weights, the order of the pairs and dropout."""


class LengthBatches(DefaultBatchSampler):
    """Random batches of texts of similar length, because padding costs as much as text.

    Pairs are sorted within POOL batches at a time, so that the batches change every epoch.
    """

    def __init__(self, dataset: "Dataset", **arguments: Any) -> None:
        super().__init__(dataset, **arguments)
        texts = zip(dataset["text"], dataset["other"], strict=True)
        self._lengths = [len(text) + len(other) for text, other in texts]

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(len(self._lengths), generator=self.generator).tolist()
        for pool in _cut(order, POOL * self.batch_size):
            by_length = sorted(pool, key=self._lengths.__getitem__)
            batches = _cut(by_length, self.batch_size)
            for number in torch.randperm(len(batches), generator=self.generator).tolist():
                yield batches[number]


def _cut(indices: list[int], size: int) -> list[list[int]]:
    return [indices[start : start + size] for start in range(0, len(indices), size)]


class _Watch(TrainerCallback):
    def __init__(self, advance: Advance, what: str) -> None:
        self._advance = advance
        self._what = what
        self._seen = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._advance(state.global_step - self._seen, f"{self._what}, epoch {state.epoch:.1f}")
        self._seen = state.global_step


def group_by_file(pairs: Sequence[TextPair]) -> dict[str, list[TextPair]]:
    """Return the pairs of each task and file, within which labels have the same meaning."""
    number = {file: n for n, file in enumerate(sorted({pair.file for pair in pairs}))}
    groups: dict[str, list[TextPair]] = {}
    for pair in sorted(pairs, key=lambda pair: (str(pair.task), pair.file)):
        groups.setdefault(f"{pair.task} {number[pair.file]}", []).append(pair)
    return groups


def build_datasets(pairs: Sequence[TextPair]) -> dict[str, "Dataset"]:
    """Return a data set for each task and file."""
    from datasets import Dataset

    return {
        name: Dataset.from_dict(
            {
                "text": [pair.text for pair in chosen],
                "other": [pair.other for pair in chosen],
                "label": [pair.label for pair in chosen],
            }
        )
        for name, chosen in group_by_file(pairs).items()
    }


def step_count(pairs: Sequence[TextPair], settings: CrossEncoderTraining) -> int:
    """Return the number of optimizer steps of a training on these pairs."""
    batches = (
        math.ceil(len(chosen) / settings.batch_size) for chosen in group_by_file(pairs).values()
    )
    return settings.epochs * sum(batches)


def training_config(compute: Compute) -> dict[str, Any]:
    """Return the changes to the base model's config for training.

    On a CPU, drawing attention's dropout takes as long as the matrix products, and the backward
    pass of PyTorch's attention takes ten times as long as that of eager attention. Hidden dropout
    stays.
    """
    plain_attention = {"attn_implementation": "eager"} if compute.device.type == "cpu" else {}
    return {"attention_probs_dropout_prob": 0.0, **plain_attention}


def trainer_arguments(
    settings: CrossEncoderTraining, compute: Compute, checkpoints: Path
) -> dict[str, Any]:
    """Return the arguments of sentence-transformers' trainers.

    Args:
        settings: Settings of the training.
        compute: Device and precision.
        checkpoints: Folder of the checkpoints, one after each epoch; only the last is kept.

    Returns:
        Keyword arguments of a SentenceTransformerTrainingArguments or a subclass.
    """
    return {
        "output_dir": str(checkpoints),
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "batch_sampler": LengthBatches,
        "warmup_steps": 0.1,
        "weight_decay": 0.01,
        "seed": settings.seed,
        "bf16": compute.dtype == torch.bfloat16,
        "use_cpu": compute.device.type == "cpu",
        "save_strategy": "epoch",
        "save_total_limit": 1,
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }


def on_one_device(arguments: Arguments) -> Arguments:
    """Return the arguments, with the training kept on one device.

    With several GPUs in one process, the trainer wraps the model in DataParallel, whose wrapper has
    none of the model's own methods, which the losses call.
    """
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def run_trainer(trainer: Trainer, advance: Advance, what: str) -> None:
    """Train to the end, resuming from the last checkpoint if there is one.

    Args:
        trainer: The trainer; its output folder holds the checkpoints.
        advance: Called after each step with the number of new steps and a description.
        what: Name of the training in that description.

    Raises:
        TrainingError: If the loss is not finite.
    """
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_Watch(advance, what))
    is_begun = any(Path(str(trainer.args.output_dir)).glob("checkpoint-*"))
    output = trainer.train(resume_from_checkpoint=is_begun or None)
    if not math.isfinite(output.training_loss):
        raise TrainingError("the loss is not finite; lower learning_rate")
