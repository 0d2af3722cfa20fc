"""The three heads of a pair encoder: their outputs, losses, probabilities and calibration.

One encoder for similarity, paraphrase and entailment is the design of AlignScore (arXiv:2305.16739,
section 3.1). All maths here is pure; the encoder's outputs are `logits`, (B, 5), in the order of
OUTPUTS.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from rlhf_core.errors import ShapeError
from rlhf_core.files.text_pairs import Entailment, PairTask

OUTPUTS = ("similarity", "paraphrase", "entailment", "neutral", "contradiction")
ENTAILMENT_OUTPUTS = slice(2, 5)
SYMMETRIC = (PairTask.SIMILARITY, PairTask.PARAPHRASE)
"""Tasks in which the order of the two texts has no meaning."""
HIGHEST_LOG_TEMPERATURE = math.log(20)

ALLOWED = torch.tensor(
    [
        [True, False, False],  # entailment
        [False, True, False],  # neutral
        [False, False, True],  # contradiction
        [False, True, True],  # not entailment: a data set with two classes does not say which
    ]
)
"""The classes that each Entailment label allows, (4, 3)."""


def head_logits(task: PairTask, logits: Tensor) -> Tensor:
    """Return the outputs of one head: (B,) for similarity and paraphrase, (B, 3) for entailment.

    Raises:
        ShapeError: If the logits are not (B, 5).
    """
    if logits.ndim != 2 or logits.shape[1] != len(OUTPUTS):
        raise ShapeError(f"logits must be (B, 5), not {tuple(logits.shape)}")
    if task is PairTask.ENTAILMENT:
        return logits[:, ENTAILMENT_OUTPUTS]
    return logits[:, OUTPUTS.index(task.value)]


def head_loss(task: PairTask, head: Tensor, labels: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of the labels.

    −[y log σ(z) + (1 − y) log(1 − σ(z))] for similarity and paraphrase; −log Σ p over the classes
    that a label allows for entailment.

    Args:
        task: The task of the head.
        head: The head's outputs from `head_logits`, (B,) or (B, 3).
        labels: Similarity 0 to 1 (a soft label), paraphrase 0 or 1, or an Entailment, (B,).

    Returns:
        The mean over the pairs, in nats.

    Raises:
        ShapeError: If there is not one label a pair.
    """
    if labels.shape != head.shape[:1]:
        raise ShapeError(f"labels must be ({len(head)},), not {tuple(labels.shape)}")
    if task is not PairTask.ENTAILMENT:
        return binary_cross_entropy_with_logits(head, labels.to(head.dtype))
    shares = torch.log_softmax(head, dim=-1)
    allowed = ALLOWED.to(head.device)[labels.long()]
    return -shares.masked_fill(~allowed, -math.inf).logsumexp(dim=-1).mean()


def head_probabilities(task: PairTask, head: Tensor) -> Tensor:
    """Return the head's probability for each pair, (B,); for entailment, of the first class."""
    if task is PairTask.ENTAILMENT:
        return torch.softmax(head, dim=-1)[:, Entailment.ENTAILMENT]
    return torch.sigmoid(head)


@dataclass(frozen=True)
class Calibration:
    """The calibrated logits of a head are (logits + weight * cosine + offset) / temperature.

    The cosine is the bi-encoder's; only similarity has one.
    """

    temperature: float = 1.0
    cosine_weight: float = 0.0
    offset: float = 0.0

    def apply(self, head: Tensor, cosine: Tensor | None = None) -> Tensor:
        """Return calibrated logits, in the head's shape.

        Args:
            head: The head's outputs from `head_logits`, (B,) or (B, 3).
            cosine: Cosine of each pair, (B,); needed if it has a weight.
        """
        if cosine is not None:
            head = head + self.cosine_weight * cosine + self.offset
        return head / self.temperature


def fit_calibration(
    task: PairTask, head: Tensor, labels: Tensor, cosine: Tensor | None = None
) -> Calibration:
    """Fit the calibration that maximises the likelihood of the labels.

    Without cosines it is a temperature (arXiv:1706.04599, section 4.2), which keeps every order;
    with them a logistic regression on logit and cosine, both with nonnegative weights.

    Args:
        task: The task of the head.
        head: The head's outputs from `head_logits`, (B,) or (B, 3).
        labels: As for `head_loss`, (B,).
        cosine: Cosine of each pair, (B,), or None.

    Returns:
        The calibration.

    Raises:
        ShapeError: If there is not one label a pair.
    """
    head = head.double()
    if cosine is None:

        def loss(log_temperature: float) -> float:
            return head_loss(task, head / math.exp(log_temperature), labels).item()

        bounds = (-HIGHEST_LOG_TEMPERATURE, HIGHEST_LOG_TEMPERATURE)
        return Calibration(math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))
    cosines = cosine.double()

    def mixture_loss(weights: Sequence[float]) -> float:
        logit_weight, cosine_weight, offset = weights
        return head_loss(
            task, logit_weight * head + cosine_weight * cosines + offset, labels
        ).item()

    fit = minimize(
        mixture_loss,
        x0=(1.0, 1.0, 0.0),
        method="L-BFGS-B",
        bounds=((math.exp(-HIGHEST_LOG_TEMPERATURE), None), (0.0, None), (None, None)),
    )
    logit_weight, cosine_weight, offset = (float(weight) for weight in fit.x)
    return Calibration(1 / logit_weight, cosine_weight / logit_weight, offset / logit_weight)
