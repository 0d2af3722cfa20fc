import math

import pytest
import torch

from rlhf_core.encoders.pair_heads import (
    Calibration,
    fit_calibration,
    head_logits,
    head_loss,
    head_probabilities,
)
from rlhf_core.errors import ShapeError
from rlhf_core.files.text_pairs import Entailment, PairTask

LOGITS = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])


def test_each_head_reads_its_own_outputs():
    assert head_logits(PairTask.SIMILARITY, LOGITS).tolist() == [1.0]
    assert head_logits(PairTask.PARAPHRASE, LOGITS).tolist() == [2.0]
    assert head_logits(PairTask.ENTAILMENT, LOGITS).tolist() == [[3.0, 4.0, 5.0]]


def test_outputs_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"\(1, 3\)"):
        head_logits(PairTask.SIMILARITY, torch.zeros(1, 3))


def test_the_loss_of_a_soft_label_is_its_cross_entropy():
    """σ(log 3) = 3/4, so label 1/4 costs −(1/4)·log(3/4) − (3/4)·log(1/4) = 1.111641."""
    head = torch.tensor([math.log(3.0)])
    loss = head_loss(PairTask.SIMILARITY, head, torch.tensor([0.25]))
    assert loss.item() == pytest.approx(0.25 * -math.log(0.75) - 0.75 * math.log(0.25), abs=1e-6)


@pytest.mark.parametrize(
    ("label", "share"),
    [
        (Entailment.ENTAILMENT, 0.2),
        (Entailment.NEUTRAL, 0.5),
        (Entailment.CONTRADICTION, 0.3),
        (Entailment.NOT_ENTAILMENT, 0.8),
    ],
)
def test_two_classes_merge_neutral_and_contradiction(label: Entailment, share: float):
    head = torch.tensor([[0.2, 0.5, 0.3]]).log()
    loss = head_loss(PairTask.ENTAILMENT, head, torch.tensor([float(label)]))
    assert loss.item() == pytest.approx(-math.log(share), abs=1e-6)


def test_a_merged_label_gives_finite_gradients():
    head = torch.zeros(1, 3, requires_grad=True)
    head_loss(PairTask.ENTAILMENT, head, torch.tensor([3.0])).backward()
    assert head.grad is not None
    # d/dz of −log(p₂ + p₃) at equal thirds: p₁ for the first, p₁·(−1/2) for the others.
    assert torch.allclose(head.grad, torch.tensor([[1 / 3, -1 / 6, -1 / 6]]), atol=1e-6)


def test_the_loss_refuses_to_broadcast():
    with pytest.raises(ShapeError, match=r"labels must be \(3,\), not \(3, 1\)"):
        head_loss(PairTask.SIMILARITY, torch.zeros(3), torch.zeros(3, 1))


def test_probabilities_by_hand():
    """σ(log 3) = 3/4; a softmax of (log 2, 0, 0) is (2, 1, 1)/4."""
    similarity = head_probabilities(PairTask.SIMILARITY, torch.tensor([math.log(3.0)]))
    assert similarity.item() == pytest.approx(0.75, abs=1e-6)
    head = torch.tensor([[math.log(2.0), 0.0, 0.0]])
    assert head_probabilities(PairTask.ENTAILMENT, head).item() == pytest.approx(0.5, abs=1e-6)


def test_a_calibration_by_hand():
    """(1 + 4·0.5 − 1) / 2 = 1; without a cosine, 1 / 2."""
    calibration = Calibration(temperature=2.0, cosine_weight=4.0, offset=-1.0)
    head = torch.tensor([1.0])
    assert calibration.apply(head, torch.tensor([0.5])).tolist() == [1.0]
    assert Calibration(temperature=2.0).apply(head).tolist() == [0.5]


def test_the_temperature_undoes_an_overconfidence():
    """Three of four are right at logit ±4: likeliest if σ(4/T) = 3/4, so T = 4 / log 3."""
    head = torch.tensor([4.0, 4.0, 4.0, 4.0])
    found = fit_calibration(PairTask.PARAPHRASE, head, torch.tensor([1.0, 1.0, 1.0, 0.0]))
    assert found.temperature == pytest.approx(4 / math.log(3), rel=1e-3)
    assert found.cosine_weight == found.offset == 0.0


def test_perfect_separation_stops_at_the_bound():
    labels = torch.tensor([1.0, 0.0])
    found = fit_calibration(PairTask.PARAPHRASE, torch.tensor([3.0, -3.0]), labels)
    assert found.temperature == pytest.approx(1 / 20, rel=1e-2)


def test_each_reading_gets_the_weight_it_earns():
    """The logits carry no information; cosines ±1 are right three times in four: weight log 3."""
    cosine = torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0])
    labels = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    found = fit_calibration(PairTask.SIMILARITY, torch.zeros(8), labels, cosine)
    assert found.cosine_weight / found.temperature == pytest.approx(math.log(3), rel=1e-3)
    assert found.offset == pytest.approx(0.0, abs=1e-3)


def test_a_reading_that_is_wrong_is_left_out_and_not_turned_round():
    head = torch.tensor([2.0, 2.0, -2.0, -2.0])
    labels = torch.tensor([1.0, 1.0, 0.0, 0.0])
    wrong = fit_calibration(PairTask.SIMILARITY, head, labels, -head)
    assert wrong.cosine_weight == 0.0
