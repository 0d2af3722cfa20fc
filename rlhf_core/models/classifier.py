"""Sequence classifiers. With one output they are the form in which reward models are published."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.architecture import fit_attention
from rlhf_core.models.device import Compute
from rlhf_core.models.loading import load_weights, locate, read_config
from rlhf_core.models.lora_folder import classifier_outputs, is_adapter
from rlhf_core.models.sequences import TokenSequence, length_batches, pad


def require_single_output(name: str) -> None:
    """Refuse a model whose output is not a single number.

    Raises:
        ModelNotFoundError: If the model is missing, or has several outputs.
    """
    folder = Path(locate(name))
    outputs = classifier_outputs(folder) if is_adapter(folder) else read_config(name).num_labels
    if outputs != 1:
        raise ModelNotFoundError(
            f"model {name!r} has {outputs} outputs; a reward model has one: name a sequence "
            "classifier with num_labels = 1"
        )


def load_classifier(name: str, compute: Compute) -> PreTrainedModel:
    """Load a classifier in evaluation mode.

    Args:
        name: A bundled name, a folder or a hub id.
        compute: Device and precision.

    Returns:
        The classifier, on the device, with the fastest attention that fits it.

    Raises:
        ModelNotFoundError: If it cannot be loaded, or only from pickled weights, or a weight is
            missing, such as that of its head.
    """
    model = load_weights(AutoModelForSequenceClassification, name, compute.dtype)
    model = model.to(compute.device).eval()  # type: ignore[arg-type]  # their wrapper hides `to`
    fit_attention(model, compute.device)
    return model


def classifier_scores(
    model: PreTrainedModel, sequences: Sequence[TokenSequence], compute: Compute
) -> Tensor:
    """Score sequences with a classifier of one output, as transformers scores each alone.

    Args:
        model: The classifier, from `load_classifier`.
        sequences: The N sequences.
        compute: Sets the size of a batch.

    Returns:
        The output for each sequence, fp32, (N,), on the CPU.
    """
    rows = [[*sequence.prompt_ids, *sequence.response_ids] for sequence in sequences]
    return classifier_logits(model, rows, compute).squeeze(-1)


@torch.no_grad()
def classifier_logits(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], compute: Compute
) -> Tensor:
    """Return the outputs of a classifier for texts, as transformers computes each alone.

    Args:
        model: The classifier, from `load_classifier`.
        rows: Tokens of the N texts.
        compute: Sets the size of a batch.

    Returns:
        The outputs, fp32, (N, labels), on the CPU.
    """
    logits = torch.zeros(len(rows), int(model.config.num_labels or 1))
    for batch in length_batches([len(row) for row in rows], compute.forward_tokens):
        ids = [rows[index] for index in batch]
        with _padding(model, ids) as pad_id:
            input_ids = pad(ids, pad_id).to(model.device)
            mask = pad([[1] * len(row) for row in ids], 0).to(model.device)
            logits[batch] = model(input_ids=input_ids, attention_mask=mask).logits.float().cpu()
    return logits


@contextmanager
def _padding(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> Iterator[int]:
    """Yield the padding token of a batch.

    transformers reads a score at the last token other than the padding token that the config names,
    and at the last token if it names none. The padding of such a model is a token that no row
    holds, named for the time of the batch: often its only special token ends every answer.
    """
    config = model.config.get_text_config()
    own = config.pad_token_id
    if own is not None and own < config.vocab_size:
        yield own
        return
    held = {token for row in rows for token in row}
    config.pad_token_id = next(token for token in range(config.vocab_size) if token not in held)
    try:
        yield config.pad_token_id
    finally:
        config.pad_token_id = own
