"""Sequence classifiers with one output: the form in which reward models are published."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.device import Compute
from rlhf_core.models.loading import UNREADABLE, locate, read_config
from rlhf_core.models.sequences import TokenSequence, length_batches, pad


def require_single_output(name: str) -> None:
    """Refuse a model whose output is not a single number.

    Raises:
        ModelNotFoundError: If the model is missing, or has several outputs.
    """
    outputs = read_config(name).num_labels
    if outputs != 1:
        raise ModelNotFoundError(
            f"model {name!r} has {outputs} outputs; a reward model has one: name a sequence "
            "classifier with num_labels = 1"
        )


def load_classifier(name: str, pad_id: int, compute: Compute) -> PreTrainedModel:
    """Load a classifier in evaluation mode.

    Args:
        name: A bundled name, a folder or a hub id.
        pad_id: Padding token, by which the classifier finds the end of a sequence.
        compute: Device and precision.

    Returns:
        The classifier, on the device.

    Raises:
        ModelNotFoundError: If it cannot be loaded, or only from pickled weights.
    """
    location = locate(name)
    try:
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            location, dtype=compute.dtype, trust_remote_code=False, use_safetensors=True
        )
    except UNREADABLE as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelNotFoundError(f"model {name!r} cannot be loaded ({reason})") from None
    model.config.get_text_config().pad_token_id = pad_id
    return model.to(compute.device).eval()  # type: ignore[arg-type]  # their wrapper hides `to`


@torch.no_grad()
def classifier_scores(
    model: PreTrainedModel, sequences: Sequence[TokenSequence], pad_id: int, compute: Compute
) -> Tensor:
    """Score sequences with a classifier of one output.

    Args:
        model: The classifier, from `load_classifier`.
        sequences: The N sequences.
        pad_id: Padding token.
        compute: Sets the size of a batch.

    Returns:
        The output for each sequence, fp32, (N,), on the CPU.
    """
    scores = torch.zeros(len(sequences))
    rows = [[*sequence.prompt_ids, *sequence.response_ids] for sequence in sequences]
    for batch in length_batches([len(row) for row in rows], compute.forward_tokens):
        ids = [rows[index] for index in batch]
        input_ids = pad(ids, pad_id).to(model.device)
        mask = pad([[1] * len(row) for row in ids], 0).to(model.device)
        logits = model(input_ids=input_ids, attention_mask=mask).logits
        scores[batch] = logits.squeeze(-1).float().cpu()
    return scores
