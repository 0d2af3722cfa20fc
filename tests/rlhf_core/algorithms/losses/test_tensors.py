import pytest
import torch

from rlhf_core.algorithms.losses.tensors import (
    explained_variance,
    masked_mean,
    masked_variance,
    require_same_shape,
    whiten,
)
from rlhf_core.errors import ShapeError

VALUES = torch.tensor([[1.0, 2.0, 99.0], [3.0, 99.0, 99.0]])
MASK = torch.tensor([[True, True, False], [True, False, False]])


def test_masked_mean_sees_only_true_cells():
    """(1 + 2 + 3) / 3; the 99s are padding."""
    assert masked_mean(VALUES, MASK).item() == pytest.approx(2.0, abs=1e-6)


def test_masked_mean_of_nothing_is_zero():
    assert masked_mean(VALUES, torch.zeros_like(MASK)).item() == 0.0


def test_masked_variance_divides_by_the_number_of_cells():
    """((1-2)² + 0 + (3-2)²) / 3."""
    assert masked_variance(VALUES, MASK).item() == pytest.approx(2 / 3, abs=1e-6)


def test_whitening_removes_the_mean_and_zeroes_padding():
    """(1 - 2) / √(2/3) = -1.2247449; TRL's whitening counted padding as tokens."""
    expected = torch.tensor([[-1.2247449, 0.0, 0.0], [1.2247449, 0.0, 0.0]])
    torch.testing.assert_close(whiten(VALUES, MASK), expected, atol=1e-5, rtol=0)


def test_whitening_of_rewards_keeps_the_mean():
    """Torchtune added the mean back to advantages, which must lose it."""
    kept = whiten(VALUES, MASK, keep_mean=True)
    assert masked_mean(kept, MASK).item() == pytest.approx(2.0, abs=1e-5)
    assert masked_mean(whiten(VALUES, MASK), MASK).item() == pytest.approx(0.0, abs=1e-6)


def test_explained_variance_of_a_perfect_and_a_constant_critic():
    actual, mask = torch.tensor([[1.0, 2.0, 3.0]]), torch.ones(1, 3, dtype=torch.bool)
    assert explained_variance(actual, actual, mask).item() == pytest.approx(1.0)
    assert explained_variance(torch.zeros(1, 3), actual, mask).item() == pytest.approx(0.0)


def test_shapes_that_would_broadcast_are_refused():
    """(3, 1) against (3,) would silently become 3 x 3."""
    with pytest.raises(ShapeError, match=r"chosen \(3, 1\), rejected \(3,\)"):
        require_same_shape(chosen=torch.zeros(3, 1), rejected=torch.zeros(3))
    with pytest.raises(ShapeError):
        masked_mean(torch.zeros(2, 1), torch.ones(2, dtype=torch.bool))
    with pytest.raises(ShapeError):
        whiten(torch.zeros(2, 3), torch.ones(2, 1, dtype=torch.bool))
