"""Training one encoder with three heads on labelled pairs, by sentence-transformers' trainer.

Each task is a data set with a loss of its own; batches are drawn in proportion to their sizes
(arXiv:2305.16739, section 3.1). What comes out is a plain sequence classifier in safetensors.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from scipy.stats import spearmanr
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.util import batch_to_device
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from transformers import PrinterCallback, TrainerCallback

from rlhf_core.algorithms.pair_heads import (
    OUTPUTS,
    SYMMETRIC,
    fit_temperature,
    head_logits,
    head_loss,
    head_probabilities,
)
from rlhf_core.config import Settings
from rlhf_core.config.tree import PositiveFloat, PositiveInt
from rlhf_core.errors import ConfigError, TrainingError
from rlhf_core.models.device import Compute
from rlhf_core.models.pair_encoder import CALIBRATION, PairEncoder, load_cross_encoder
from rlhf_core.text_pairs import Entailment, Task, TextPair

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder

EVALUATION_BATCH = 64
POOL = 20
TIMED_STEPS = 3
"""After one that warms up."""
Advance = Callable[[int, str], None]


class CrossEncoderTraining(Settings):
    base_model: str = "all-minilm-l6-v2"
    """An encoder: bundled name, local folder or hub id."""
    epochs: PositiveInt = 4
    """Times each pair is seen."""
    batch_size: PositiveInt = 64
    """Pairs a step."""
    learning_rate: PositiveFloat = 1e-4
    """Its peak, after a tenth of the steps; then it falls to 0 in a straight line."""
    seed: int = 1
    """Of the heads' first weights, the order of the pairs and dropout."""


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


class LengthBatches(DefaultBatchSampler):
    """Random batches of texts of like length: padding costs as much as text does.

    Sorted within POOL batches at a time, so that what meets in a batch changes every epoch.
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


def step_count(pairs: Sequence[TextPair], settings: CrossEncoderTraining) -> int:
    """Optimizer steps that training on these pairs takes."""
    sizes = [sum(pair.task is task for pair in pairs) for task in Task]
    return settings.epochs * sum(math.ceil(size / settings.batch_size) for size in sizes)


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
    model = load_cross_encoder(settings.base_model, compute, OUTPUTS).train()
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
    from sentence_transformers.cross_encoder import CrossEncoderTrainer

    torch.manual_seed(settings.seed)
    model = load_cross_encoder(settings.base_model, compute, OUTPUTS)
    data_sets = _data_sets(pairs)
    losses: dict[str, nn.Module] = {task: HeadLoss(model, Task(task)) for task in data_sets}
    trainer = CrossEncoderTrainer(
        model=model,
        args=_arguments(settings, compute, checkpoints),
        train_dataset=data_sets,
        loss=losses,
        callbacks=[_Watch(advance)],
    )
    trainer.remove_callback(PrinterCallback)
    found = trainer.train(resume_from_checkpoint=any(checkpoints.glob("checkpoint-*")) or None)
    if not math.isfinite(found.training_loss):
        raise TrainingError("the loss is not finite; lower learning_rate")
    return model


class _Watch(TrainerCallback):
    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._seen = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._advance(state.global_step - self._seen, f"epoch {state.epoch:.1f}")
        self._seen = state.global_step


def _data_sets(pairs: Sequence[TextPair]) -> dict[str, "Dataset"]:
    from datasets import Dataset

    return {
        task.value: Dataset.from_dict(
            {
                "text": [pair.text for pair in chosen],
                "other": [pair.other for pair in chosen],
                "label": [pair.label for pair in chosen],
            }
        )
        for task, chosen in _by_task(pairs)
    }


def _by_task(pairs: Sequence[TextPair]) -> Iterator[tuple[Task, list[TextPair]]]:
    for task in Task:
        chosen = [pair for pair in pairs if pair.task is task]
        if chosen:
            yield task, chosen


def _arguments(settings: CrossEncoderTraining, compute: Compute, checkpoints: Path) -> Any:
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments

    return CrossEncoderTrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        batch_sampler=LengthBatches,
        warmup_steps=0.1,
        weight_decay=0.01,
        seed=settings.seed,
        bf16=compute.dtype == torch.bfloat16,
        use_cpu=compute.device.type == "cpu",
        save_strategy="epoch",
        save_total_limit=1,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def calibrate(
    folder: Path, pairs: Sequence[TextPair], trained: Sequence[Task], compute: Compute
) -> dict[str, dict[str, float]]:
    """Fit each trained head's temperature on held-out pairs, save it, and say how good each is.

    Args:
        folder: Of the saved model; the calibration is written into it.
        pairs: Held out from training.
        trained: Tasks whose heads were trained; a head without held-out pairs keeps 1.
        compute: Device and precision.

    Returns:
        For each task: n, what the head is worth, and its loss before and after, in nats.
    """
    encoder = PairEncoder(str(folder), compute, EVALUATION_BATCH)
    temperatures = {task.value: 1.0 for task in trained}
    metrics: dict[str, dict[str, float]] = {}
    for task, chosen in _by_task([pair for pair in pairs if pair.task in trained]):
        rows = {key: n for n, key in enumerate(dict.fromkeys((p.text, p.other) for p in chosen))}
        logits = encoder.logits([(pair.text, pair.other) for pair in chosen])
        head = head_logits(task, logits)[[rows[pair.text, pair.other] for pair in chosen]]
        labels = torch.tensor([pair.label for pair in chosen])
        temperature = fit_temperature(task, head, labels)
        temperatures[task.value] = temperature
        metrics[task.value] = {
            "n": len(chosen),
            **_worth(task, head, labels),
            "loss": head_loss(task, head, labels).item(),
            "calibrated_loss": head_loss(task, head / temperature, labels).item(),
        }
    calibration = json.dumps({"temperatures": temperatures}, indent=2)
    (folder / CALIBRATION).write_text(calibration + "\n", encoding="utf-8")
    return metrics


def _worth(task: Task, head: Tensor, labels: Tensor) -> dict[str, float]:
    """Spearman for similarity; AUC and accuracy for the rest. Where one is undefined, nothing."""
    scores = head_probabilities(task, head, temperature=1.0)
    if task is Task.SIMILARITY:
        is_defined = len(labels.unique()) > 1 and len(scores.unique()) > 1
        return {"spearman": float(spearmanr(scores, labels)[0])} if is_defined else {}
    is_true = labels == (Entailment.ENTAILMENT if task is Task.ENTAILMENT else 1)
    if is_true.all() or not is_true.any():
        return {}
    is_right = (scores > 0.5) == is_true
    return {
        "auc": float(roc_auc_score(is_true, scores)),
        "accuracy": is_right.float().mean().item(),
    }
