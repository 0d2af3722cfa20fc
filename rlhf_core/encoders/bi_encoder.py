"""Training of a bi-encoder, which reads two texts separately, with CoSENT's ranking loss.

In a batch, a pair that people rated as more similar than another should have the higher cosine.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from rlhf_core.encoders.sentence_encoder import load_sentence_encoder
from rlhf_core.encoders.training import (
    Advance,
    CrossEncoderTraining,
    build_datasets,
    on_one_device,
    run_trainer,
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
    """Train a bi-encoder on similarities, with sentence-transformers' trainer and loss.

    Args:
        pairs: Pairs labelled with a similarity; labels are compared within one file.
        settings: Settings of the training.
        compute: Device and precision of the matrix products; weights are trained in fp32.
        checkpoints: A folder for this training alone; a checkpoint in it is resumed.
        advance: Called after each step with the number of new steps and a description.

    Returns:
        The trained encoder.

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
    model.model_card_data.widget = [{}]  # else examples are sampled for a card that is not written
    trainer = SentenceTransformerTrainer(
        model=model,
        args=on_one_device(
            SentenceTransformerTrainingArguments(
                **trainer_arguments(settings, compute, checkpoints)
            )
        ),
        train_dataset=build_datasets(pairs),
        loss=CoSENTLoss(model),
    )
    run_trainer(trainer, advance, "apart")
    return model
