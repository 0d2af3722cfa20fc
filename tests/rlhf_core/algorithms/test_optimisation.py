import itertools

import pytest
import torch
from torch import nn

from rlhf_core.algorithms.optimisation import (
    MovingAverage,
    TrainingStep,
    Updater,
    cosine_to_floor,
    endless_steps,
    share_of_peak,
    shuffled_steps,
    step_count,
)
from rlhf_core.errors import TrainingError


def test_learning_rate_falls_by_a_cosine_to_a_tenth():
    """The midpoint of a cosine from 1 to 0.1 is 0.55."""
    assert cosine_to_floor(0, 11) == pytest.approx(1.0)
    assert cosine_to_floor(5, 11) == pytest.approx(0.55)
    assert cosine_to_floor(10, 11) == pytest.approx(0.1)


def test_learning_rate_rises_from_a_tenth_before_it_falls():
    """Ten steps rise to the peak, and the cosine has eleven; half way up is 0.55 too."""
    found = [share_of_peak(step, 21, warm_up=10) for step in (0, 5, 10, 15, 20)]
    assert found == pytest.approx([0.1, 0.55, 1.0, 0.55, 0.1])


def test_updater_clips_the_gradient_and_reports_its_norm_before():
    """A gradient of (3, 4) has norm 5; Adam's first step is one learning rate."""
    parameter = nn.Parameter(torch.zeros(2))
    updater = Updater([parameter], learning_rate=0.1, steps=10, max_grad_norm=1.0)
    parameter.grad = torch.tensor([3.0, 4.0])
    norm, learning_rate = updater.step()
    assert norm == pytest.approx(5.0)
    assert learning_rate == pytest.approx(0.1)
    torch.testing.assert_close(parameter.data, torch.tensor([-0.1, -0.1]), atol=1e-5, rtol=0)
    assert parameter.grad is None


def test_updater_walks_down_the_cosine_and_lets_weights_be():
    """A constant gradient makes Adam move by the learning rate: 0.1, 0.055, 0.01, no decay."""
    parameter = nn.Parameter(torch.tensor([5.0]))
    updater = Updater([parameter], learning_rate=0.1, steps=3)
    places = [parameter.item()]
    for _ in range(3):
        parameter.grad = torch.tensor([1.0])
        updater.step()
        places.append(parameter.item())
    moves = [before - after for before, after in itertools.pairwise(places)]
    assert moves == pytest.approx([0.1, 0.055, 0.01], abs=1e-5)


def test_the_average_weighs_the_steps_that_were_made_and_not_the_start():
    """Initially 100, then 4, 8 and 2, with d = 0.5: (0.25·4 + 0.5·8 + 2) / 1.75 = 4."""
    parameter = nn.Parameter(torch.tensor([100.0]))
    average = MovingAverage([parameter], decay=0.5)
    found = []
    for value in (4.0, 8.0, 2.0):
        parameter.data.fill_(value)
        average.update()
        found.append(average.averages[0].item())
    assert found == pytest.approx([4.0, 10 / 1.5, 4.0], abs=1e-6)
    average.copy_to_parameters()
    assert parameter.item() == pytest.approx(4.0, abs=1e-6)


def test_an_average_that_was_put_back_goes_on_as_if_nothing_had_happened():
    parameter = nn.Parameter(torch.tensor([0.0]))
    whole = MovingAverage([parameter], decay=0.9)
    halves = MovingAverage([parameter], decay=0.9)
    for value in (3.0, -1.0, 5.0):
        parameter.data.fill_(value)
        whole.update()
        halves.update()
        kept = {name: tensor.clone() for name, tensor in halves.state().items()}
        halves = MovingAverage([parameter], decay=0.9)
        halves.load(kept)
    assert torch.equal(whole.averages[0], halves.averages[0])


def test_every_epoch_sees_every_index_once_in_an_order_of_its_own():
    steps = list(shuffled_steps(5, 2, epochs=2, seed=3))
    assert len(steps) == step_count(5, 2, 2) == 6
    first, second = (list(itertools.chain(*steps[start : start + 3])) for start in (0, 3))
    assert sorted(first) == sorted(second) == [0, 1, 2, 3, 4]
    assert first != second
    assert steps == list(shuffled_steps(5, 2, epochs=2, seed=3))


def test_endless_steps_use_every_prompt_before_any_comes_again():
    steps = list(itertools.islice(endless_steps(5, 2, seed=1), 5))
    used = list(itertools.chain(*steps))
    assert sorted(used[:5]) == sorted(used[5:]) == [0, 1, 2, 3, 4]


def test_a_step_that_is_not_finite_ends_the_run_and_names_the_number():
    with pytest.raises(TrainingError, match="step 3: loss not finite"):
        TrainingStep(3, 10, {"loss": float("nan"), "kl": 0.0})
