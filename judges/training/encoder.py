"""Training of a judge's model on files of labelled pairs: read, split, plan, train and save.

This module holds what all kinds share; each judge class implements its own training
(judges/panel/trainable.py).
"""

import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judges.panel.progress import Progress, no_progress
from judges.panel.registry import judge_class
from judges.panel.trainable import Estimate, Metrics, Trainable, TrainingRun
from rlhf_core.config import read_options, validate
from rlhf_core.encoders.pair_encoder import CARD
from rlhf_core.errors import ConfigError
from rlhf_core.files.text_pairs import PairFormat, TextPair, read_text_pairs
from rlhf_core.files.whole import whole_folder
from rlhf_core.identity import code_version, content_id, digest, unit_interval
from rlhf_core.models.device import choose_compute

HELD_OUT = 0.1
"""Share of the first texts whose pairs are held out for calibration, if no --dev is given."""


@dataclass(frozen=True)
class Training:
    """A prepared training: everything that is decided before its first step."""

    kind: str
    judge: type[Trainable[Any]]
    run: TrainingRun[Any]
    out: Path
    files: dict[str, str]
    """Hash of each training file, by its path."""
    held_out_files: dict[str, str]
    left_out: int
    """Number of training pairs dropped because they are held out too, in either order."""
    estimate: Estimate

    def plan(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "out": str(self.out),
            "compute": str(self.run.compute),
            "pairs": _counts(self.run.pairs),
            "held_out": _counts(self.run.held_out),
            "left_out_as_held_out": self.left_out,
            "steps": self.estimate.steps,
            "minutes": round(self.estimate.seconds / 60, 1),
            "resumes": self.run.checkpoints.exists(),
        }


def prepare_training(
    kind: str,
    files: Sequence[Path],
    held_out_files: Sequence[Path],
    known: PairFormat,
    overrides: Sequence[str],
    out: Path,
) -> Training:
    """Read and check the data and settings, and estimate the time; nothing is written.

    Args:
        kind: A judge that can be trained.
        files: Files of labelled text pairs.
        held_out_files: Files for calibration and metrics; empty to hold out a share of `files`.
        known: The columns and labels of the files.
        overrides: Training settings as `key=value`; device and precision as `compute.device=cpu`.
        out: Folder of the trained model.

    Returns:
        The training, for `train_judge`.

    Raises:
        InputError: If a file, a setting or the folder cannot be used.
    """
    judge = _trainable(kind)
    options, compute = read_options(overrides)
    settings = validate(judge.TrainingOptions, options, f"training {kind}")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / CARD).exists())):
        raise ConfigError(f"--out {out} exists and holds no trained model; name a new folder")
    pairs = [pair for file in files for pair in read_text_pairs(file, known)]
    if held_out_files:
        held_out = [pair for file in held_out_files for pair in read_text_pairs(file, known)]
        texts = {frozenset((pair.text, pair.other)) for pair in held_out}
        kept = [pair for pair in pairs if frozenset((pair.text, pair.other)) not in texts]
    else:
        held_out = [pair for pair in pairs if is_held_out(pair.text)]
        kept = [pair for pair in pairs if not is_held_out(pair.text)]
    hashes, held_out_hashes = _hashes(files), _hashes(held_out_files)
    key = content_id(kind, settings.model_dump(mode="json"), hashes, held_out_hashes, vars(known))
    run = TrainingRun(
        pairs=kept,
        held_out=held_out,
        settings=settings,
        compute=choose_compute(compute),
        checkpoints=out.with_name(f".{out.name}.training-{key}"),
    )
    left_out = len(pairs) - len(kept) if held_out_files else 0
    return Training(kind, judge, run, out, hashes, held_out_hashes, left_out, judge.estimate(run))


def is_held_out(text: str) -> bool:
    """Return True if pairs with this first text are held out, by its hash alone."""
    return unit_interval("held out", text) < HELD_OUT


def train_judge(training: Training, progress: Progress = no_progress) -> dict[str, Any]:
    """Train and save a model; an earlier one in the folder stays until the new one is complete.

    Returns:
        The training card, which is also saved beside the weights.
    """
    started = time.monotonic()
    with whole_folder(training.out) as folder:
        with progress(f"train {training.kind}", training.estimate.steps) as advance:
            metrics = training.judge.train(training.run, folder, advance)
        card = _card(training, metrics, time.monotonic() - started)
        (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(training.run.checkpoints, ignore_errors=True)
    return card


def _card(training: Training, metrics: Metrics, seconds: float) -> dict[str, Any]:
    return {
        "kind": training.kind,
        "code": code_version(),
        "data": training.files,
        "held_out_data": training.held_out_files,
        "settings": training.run.settings.model_dump(mode="json"),
        "pairs": _counts(training.run.pairs),
        "held_out": _counts(training.run.held_out),
        "left_out_as_held_out": training.left_out,
        "compute": str(training.run.compute),
        "steps": training.estimate.steps,
        "seconds": round(seconds, 1),
        "metrics": metrics,
    }


def _trainable(kind: str) -> type[Trainable[Any]]:
    judge = judge_class(kind)
    if not issubclass(judge, Trainable):
        raise ConfigError(f"judge {kind!r} has nothing to train")
    return judge


def _hashes(files: Sequence[Path]) -> dict[str, str]:
    return {str(file): digest(file.read_bytes()) for file in files}


def _counts(pairs: Sequence[TextPair]) -> dict[str, int]:
    return dict(sorted(Counter(str(pair.task) for pair in pairs).items()))
