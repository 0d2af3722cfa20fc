"""Calibration of a trained pair encoder's outputs to probabilities, on held-out pairs."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from torch import Tensor

from rlhf_core.encoders.pair_encoder import CALIBRATION, PairEncoder
from rlhf_core.encoders.pair_heads import (
    Calibration,
    fit_calibration,
    head_loss,
    head_probabilities,
)
from rlhf_core.files.text_pairs import Entailment, PairTask, TextPair
from rlhf_core.models.device import Compute

EVALUATION_BATCH = 64


def calibrate(
    folder: Path, pairs: Sequence[TextPair], trained: Sequence[PairTask], compute: Compute
) -> dict[str, dict[str, float]]:
    """Fit and save the calibration of each trained head, and measure the heads.

    Args:
        folder: Folder of the saved model; the calibration is written into it.
        pairs: Pairs held out from training.
        trained: Tasks whose heads were trained; a head without held-out pairs is not calibrated.
        compute: Device and precision.

    Returns:
        For each task with held-out pairs: n, Spearman's ρ or AUC and accuracy, and the loss before
        and after calibration, in nats.
    """
    encoder = PairEncoder(str(folder), compute, EVALUATION_BATCH)
    calibrations = {task: Calibration() for task in trained}
    metrics: dict[str, dict[str, float]] = {}
    for task in trained:
        chosen = [pair for pair in pairs if pair.task is task]
        if not chosen:
            continue
        texts = [(pair.text, pair.other) for pair in chosen]
        labels = torch.tensor([pair.label for pair in chosen])
        head = encoder.head(task, texts)
        cosine = encoder.cosines(texts) if task is PairTask.SIMILARITY else None
        calibrations[task] = fit_calibration(task, head, labels, cosine)
        calibrated = calibrations[task].apply(head, cosine)
        metrics[task.value] = {
            "n": len(chosen),
            **_quality(task, calibrated, labels),
            "loss": head_loss(task, head, labels).item(),
            "calibrated_loss": head_loss(task, calibrated, labels).item(),
        }
    fields = {task.value: vars(calibration) for task, calibration in calibrations.items()}
    content = json.dumps(fields, indent=2)
    (folder / CALIBRATION).write_text(content + "\n", encoding="utf-8")
    return metrics


def _quality(task: PairTask, head: Tensor, labels: Tensor) -> dict[str, float]:
    """Return Spearman's ρ for similarity, AUC and accuracy for other tasks; {} if undefined."""
    scores = head_probabilities(task, head)
    if task is PairTask.SIMILARITY:
        is_defined = len(labels.unique()) > 1 and len(scores.unique()) > 1
        return {"spearman": float(spearmanr(scores, labels)[0])} if is_defined else {}
    is_true = labels == (Entailment.ENTAILMENT if task is PairTask.ENTAILMENT else 1)
    if is_true.all() or not is_true.any():
        return {}
    is_right = (scores > 0.5) == is_true
    return {
        "auc": float(roc_auc_score(is_true, scores)),
        "accuracy": is_right.float().mean().item(),
    }
