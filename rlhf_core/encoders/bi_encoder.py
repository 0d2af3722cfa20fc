"""Training an encoder that reads texts apart: like texts get like vectors (CoSENT's rank loss).

Every pair of a batch that people found more alike than another should have the higher cosine.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from rlhf_core.encoders.sentence_encoder import load_sentence_encoder
from rlhf_core.encoders.training import (
    Advance,
    CrossEncoderTraining,
    data_sets,
    run,
    trainer_arguments,
    training_config,
)
from rlhf_core.files.text_pairs import TextPair
from rlhf_core.models.device import Compute

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def train_bi_encoder(
    pairs: Sequence[TextPair],
    settings: CrossEncoderTraining,
    compute: Compute,
    checkpoints: Path,
    advance: Advance,
) -> "SentenceTransformer":
    """Train on similarities, with sentence-transformers' own trainer and loss.

    Args:
        pairs: Of similarity alone; labels are compared within one file.
        settings: Of the training.
        compute: Device and precision of the matrix products; weights are trained in fp32.
        checkpoints: A folder of this training alone; one found in it is gone on from.
        advance: Told of every step.

    Raises:
        TrainingError: If the loss is not finite.
        ModelNotFoundError: If the base model cannot be loaded.
    """
    from sentence_transformers import (
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import CoSENTLoss

    torch.manual_seed(settings.seed)
    model = load_sentence_encoder(
        settings.base_model,
        device=str(compute.device),
        config_kwargs=training_config(compute),
    )
    model.model_card_data.widget = [{}]  # or examples are drawn for a card nobody writes
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            **trainer_arguments(settings, compute, checkpoints)
        ),
        train_dataset=data_sets(pairs),
        loss=CoSENTLoss(model),
    )
    run(trainer, advance, "apart")
    return model
