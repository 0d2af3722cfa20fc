"""A watch ends a training with the best weights, also after an interruption."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rlhf_core.algorithms.checkpoints import NO_CHECKPOINTS, Checkpoints
from rlhf_core.algorithms.online import train_online
from rlhf_core.algorithms.rollouts import RolloutStep
from rlhf_core.algorithms.watch import StepVerdict
from rlhf_core.config.training import RLOOSettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.distributed.collective import RankZeroOnly
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.rlhf_core.algorithms.planted import random_tokens, share_of_low

STEPS = 5
BEGIN = 0
"""The weights that no step changed."""


@dataclass
class Scripted:
    """Finds the answers of some steps the best so far, and ends the training after one."""

    best: Sequence[int] = ()
    last: int | None = None
    at: int = 0
    asked: list[int] = field(default_factory=list)

    def verdict(self) -> StepVerdict:
        self.asked.append(self.at)
        return StepVerdict(self.at in self.best, self.at == self.last)


def new_trunk() -> Trunk:
    trunk = open_trunk("tiny-random", FP32, 4)
    trunk.add_role(Role.POLICY, 1)
    return trunk


def train(
    trunk: Trunk, watch: Scripted | None, checkpoints: Checkpoints = NO_CHECKPOINTS
) -> Iterator[RolloutStep]:
    """Train RLOO, and tell the watch the step that it is asked about."""
    generator = torch.Generator().manual_seed(2)
    prompts = [random_tokens(generator, 5) for _ in range(6)]
    settings = RLOOSettings(
        algorithm="rloo", steps=STEPS, prompts_per_step=2, samples_per_prompt=2, learning_rate=1e-2
    )
    sampling = SamplingSettings(max_new_tokens=4)
    watched = None if watch is None else RankZeroOnly(watch)
    online = train_online(
        trunk, prompts, share_of_low, settings, sampling, 1, (), checkpoints, watched
    )
    for step in online:
        if watch is not None:
            watch.at = step.step
        yield step


def weights(trunk: Trunk) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in trunk.parameters(Role.POLICY)]


@pytest.fixture(scope="module")
def after() -> dict[int, list[Tensor]]:
    """The weights after each step of a training that nothing ends."""
    trunk = new_trunk()
    found = {BEGIN: weights(trunk)}
    for step in train(trunk, None):
        found[step.step] = weights(trunk)
    return found


def same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("best", "last", "kept"),
    [
        ((), 3, BEGIN),
        ((3,), 4, 2),  # the answers of step 3 were sampled after step 2
        ((2, 4), 4, 3),
        ((2, 3), 5, 2),
        ((1,), 2, BEGIN),
    ],
)
def test_it_ends_with_the_weights_that_sampled_the_best_answers(
    after: dict[int, list[Tensor]], best: Sequence[int], last: int, kept: int
):
    trunk, watch = new_trunk(), Scripted(best, last)
    steps = list(train(trunk, watch))
    assert [step.step for step in steps] == watch.asked == list(range(1, last + 1))
    assert same(weights(trunk), after[kept])


def test_a_watch_that_never_ends_it_changes_nothing(after: dict[int, list[Tensor]]):
    trunk = new_trunk()
    assert len(list(train(trunk, Scripted(best=(2,))))) == STEPS
    assert same(weights(trunk), after[STEPS])


@pytest.mark.parametrize("every", [1, 2])
def test_a_resumed_training_still_has_the_best_weights(
    tmp_path: Path, after: dict[int, list[Tensor]], every: int
):
    """The answers of step 2 are the best; it is killed in step 4, and ends after step 5."""
    checkpoints = Checkpoints(tmp_path / "kept", every)
    for _ in islice(train(new_trunk(), Scripted((2,)), checkpoints), 4):
        pass
    trunk = new_trunk()
    list(train(trunk, Scripted((2,), 5), checkpoints))
    assert same(weights(trunk), after[1])
