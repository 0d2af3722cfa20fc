"""An encoder that reads two texts as one input: Solon's own with three heads, or any classifier.

Solon's own may have a bi-encoder beside it, which reads the texts separately and contributes to
their similarity. The meaning of the outputs is read from the model's `id2label`.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from transformers.utils import logging as transformers_logging

from rlhf_core.encoders.pair_heads import (
    OUTPUTS,
    SYMMETRIC,
    Calibration,
    head_logits,
    head_probabilities,
)
from rlhf_core.encoders.sentence_encoder import TwoTexts, cosines, load_sentence_encoder
from rlhf_core.errors import ModelNotFoundError
from rlhf_core.files.text_pairs import PairTask
from rlhf_core.identity import digest
from rlhf_core.models.device import Compute
from rlhf_core.models.loading import locate, read_config

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, SentenceTransformer

CARD, CALIBRATION = "training_card.json", "calibration.json"
APART = "apart"
"""Folder of the bi-encoder, inside the folder of Solon's own encoder."""
MAX_TOKENS = 512


class PairEncoder:
    """A loaded encoder. Each distinct pair is read once, in batches of similar length.

    Args:
        name: A folder, bundled name or hub id of a sequence classifier.
        compute: Device and precision.
        batch_size: Pairs read at once.

    Raises:
        ModelNotFoundError: If it cannot be loaded.
    """

    def __init__(self, name: str, compute: Compute, batch_size: int) -> None:
        self.name = name
        self._compute = compute
        self._batch_size = batch_size
        self._model = load_cross_encoder(name, compute)

    def probabilities(self, task: PairTask, pairs: Sequence[TwoTexts]) -> dict[TwoTexts, float]:
        """Return the calibrated probability of a head for each distinct pair.

        Raises:
            ModelNotFoundError: If the model has no such head, the head was not trained, or its
                bi-encoder is missing.
        """
        calibration = self._calibration(task)
        distinct = list(dict.fromkeys(pairs))
        if not distinct:
            return {}
        head = self.head(task, distinct)
        cosine = self.cosines(distinct) if calibration.cosine_weight else None
        if calibration.cosine_weight and cosine is None:
            raise ModelNotFoundError(
                f"model {self.name!r}: its folder {APART} is missing; train it again"
            )
        calibrated = head_probabilities(task, calibration.apply(head, cosine)).tolist()
        return dict(zip(distinct, calibrated, strict=True))

    def head(self, task: PairTask, pairs: Sequence[TwoTexts]) -> Tensor:
        """Return a head's logits for each pair.

        Args:
            task: The task of the head.
            pairs: The N pairs.

        Returns:
            fp32, (N,), or (N, 3) for entailment, with entailment first. For a symmetric task, the
            mean over both orders of the texts.

        Raises:
            ModelNotFoundError: If the model has no such head.
        """
        orders = [list(pairs)]
        if task in SYMMETRIC:
            orders.append([pair[::-1] for pair in pairs])
        read = [pair for order in orders for pair in order]
        row = {pair: index for index, pair in enumerate(dict.fromkeys(read))}
        logits = self.logits(read)
        head = head_logits(task, logits) if self._is_ours else self._foreign_head(task, logits)
        return torch.stack([head[[row[pair] for pair in order]] for order in orders]).mean(dim=0)

    def cosines(self, pairs: Sequence[TwoTexts]) -> Tensor | None:
        """Return the bi-encoder's cosine of each pair, (N,); None without a bi-encoder."""
        return cosines(self._apart, pairs, self._batch_size) if self._apart else None

    def logits(self, pairs: Sequence[TwoTexts]) -> Tensor:
        """Return the L outputs for each of N distinct pairs, by first appearance, fp32, (N, L)."""
        distinct = list(dict.fromkeys(pairs))
        if not distinct:
            return torch.zeros(0, self._model.num_labels)
        with self._compute.autocast():
            outputs = self._model.predict(
                distinct,
                batch_size=self._batch_size,
                activation_fn=torch.nn.Identity(),
                convert_to_tensor=True,
                show_progress_bar=False,
            )
        return outputs.float().cpu().reshape(len(distinct), -1)

    def count_tokens(self, text: str) -> int:
        return len(self._model.tokenizer.tokenize(text))

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        config: Any = self._model.config
        return model_labels(config.id2label)

    @property
    def _is_ours(self) -> bool:
        return self._labels == OUTPUTS

    @cached_property
    def _apart(self) -> "SentenceTransformer | None":
        folder = Path(self.name).expanduser() / APART
        if not (self._is_ours and folder.is_dir()):
            return None
        return load_sentence_encoder(str(folder), device=str(self._compute.device))

    def _calibration(self, task: PairTask) -> Calibration:
        if not self._is_ours:
            return Calibration()
        calibrations = read_calibration(Path(self.name).expanduser())
        if task not in calibrations:
            raise ModelNotFoundError(
                f"model {self.name!r}: its head {task} was not trained; trained are "
                f"{', '.join(calibrations) or 'none'}"
            )
        return calibrations[task]

    def _foreign_head(self, task: PairTask, logits: Tensor) -> Tensor:
        """Return the outputs of another model in the shape of Solon's head; entailment first."""
        require_head(self.name, self._labels, task)
        if task is not PairTask.ENTAILMENT:
            return logits[:, 0]
        first = entailment_index(self._labels)
        return logits[:, [first, *(n for n in range(logits.shape[1]) if n != first)]]


def model_labels(id2label: Mapping[int, str]) -> tuple[str, ...]:
    """Return the names of a classifier's outputs, in order, in lower case."""
    return tuple(str(id2label[index]).lower() for index in sorted(id2label))


def entailment_index(labels: Sequence[str]) -> int:
    """Return the index of the output for entailment of the second text; -1 if there is none."""
    for wanted in ("entailment", "entail", "entails", "supported", "consistent"):
        if wanted in labels:
            return labels.index(wanted)
    return -1


def require_head(name: str, labels: Sequence[str], task: PairTask) -> None:
    """Refuse a model that has no output for a task.

    Args:
        name: Name of the model, for the error.
        labels: Names of its outputs.
        task: The task.

    Raises:
        ModelNotFoundError: If it has none; the error lists its outputs.
    """
    if tuple(labels) == OUTPUTS:
        return
    if task is PairTask.ENTAILMENT and (len(labels) < 2 or entailment_index(labels) < 0):
        raise ModelNotFoundError(
            f"model {name!r} has the outputs {', '.join(labels)}, none of them called entailment; "
            "name an NLI model, or train one: solon judges train cross_encoder"
        )
    if task is not PairTask.ENTAILMENT and len(labels) != 1:
        raise ModelNotFoundError(
            f"model {name!r} has the outputs {', '.join(labels)}; for {task}, name a model with "
            "one output, or train one: solon judges train cross_encoder"
        )


def check_pair_encoder(name: str, task: PairTask) -> None:
    """Refuse a model that is missing or has no output for a task; only its config is read.

    Raises:
        ModelNotFoundError: If so; the error names a model that would do.
    """
    config = read_config(name)
    require_head(name, model_labels(cast(Mapping[int, str], config.id2label or {})), task)


def fingerprint(name: str) -> str:
    """Return the hash of a model's training card, which each training changes; "" without one."""
    card = Path(name).expanduser() / CARD
    return digest(card.read_bytes()) if card.is_file() else ""


def read_calibration(folder: Path) -> dict[PairTask, Calibration]:
    """Return the calibration of each trained head of a saved model.

    Raises:
        ModelNotFoundError: If the file is missing or broken.
    """
    path = folder / CALIBRATION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {PairTask(task): Calibration(**fields) for task, fields in content.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelNotFoundError(
            f"model {str(folder)!r}: {CALIBRATION} is missing or broken "
            f"({type(error).__name__}); train it again"
        ) from None


def load_cross_encoder(
    name: str,
    compute: Compute,
    labels: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
) -> "CrossEncoder":
    """Load an encoder with a classifier on it.

    Args:
        name: A bundled name, a folder or a hub id.
        compute: Sets the device.
        labels: Names of the outputs of a new, random head; empty keeps the model's own head.
        config: Changes to the model's config.

    Returns:
        The encoder; it reads up to MAX_TOKENS tokens.

    Raises:
        ModelNotFoundError: If it cannot be loaded, or is no encoder.
    """
    from sentence_transformers import CrossEncoder

    location = locate(name)
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # a new head is announced at length
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            model = CrossEncoder(
                location,
                device=str(compute.device),
                num_labels=len(labels) or None,
                model_kwargs={"use_safetensors": True},
                config_kwargs=dict(config or {}),
                trust_remote_code=False,
            )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelNotFoundError(f"judge model {name!r} cannot be loaded ({reason})") from None
    finally:
        transformers_logging.set_verbosity(verbosity)
    if labels and model.num_labels != len(labels):
        raise ModelNotFoundError(f"model {name!r} is no encoder; name one such as all-minilm-l6-v2")
    if labels:
        model.config.id2label = dict(enumerate(labels))
        model.config.label2id = {label: index for index, label in enumerate(labels)}
    longest = getattr(model.config, "max_position_embeddings", MAX_TOKENS)
    model.max_seq_length = min(MAX_TOKENS, longest)
    return model
