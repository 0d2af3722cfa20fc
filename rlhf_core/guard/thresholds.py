"""Thresholds of the detectors, learnt by simulating trainings in which nothing is learnt.

A simulated training samples its answers from the baseline model throughout: every step resamples
baseline prompts, and answers to each of them. The mean of each window drifts by chance alone. A
threshold is a quantile, over simulated trainings, of the farthest drift of any window, so that the
chance of one excess in a whole training is bounded, however the windows overlap. The rate of false
alarms is divided equally among the thresholds (Bonferroni), so that it bounds the chance of any.

Two corrections keep the bound where baseline answers are few:

- The baseline is a sample as well. Each simulated training is measured against its own resample of
  the baseline, so that the error of the baseline's mean is part of the drift.
- What no baseline answer shows may still be a habit of the model. One further prompt, whose answers
  all lie at the far end of the detector's range, is among those that are resampled (Laplace's rule
  of succession).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlhf_core.guard.answers import GuardedAnswer
from rlhf_core.guard.boilerplate import incidence, simulated_excess
from rlhf_core.guard.detectors import Detector

BOILERPLATE = "boilerplate"
IN_TAIL = 5
"""Simulated trainings beyond each threshold; fewer would make it noisy."""
MOST_PROMPTS = 1000
"""Baseline prompts that are resampled."""
MOST_LOOKS = 64
"""Windows of a training that are tested; of a longer one, every n-th."""
CELLS = 4_000_000
"""Answers drawn in one block of a simulation; bounds its memory."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Schedule:
    """The windows of a training: how many answers each holds, and after which steps it is tested.

    Args:
        steps: Steps of the training.
        prompts: Prompts of a step.
        samples: Answers to each prompt of a step.
        window: Steps of a window, at most.
    """

    steps: int
    prompts: int
    samples: int
    window: int

    @property
    def width(self) -> int:
        """Steps of a window."""
        return min(self.window, self.steps)

    @property
    def looks(self) -> tuple[int, ...]:
        """Steps, from 1, after which the window that ends there is tested."""
        last = self.steps - self.width
        every = last // MOST_LOOKS + 1
        return tuple(self.steps - back for back in range(last // every * every, -1, -every))


@dataclass(frozen=True)
class Threshold:
    """The range in which a detector's value lies if nothing is learnt."""

    low: float
    """−∞ if a low value is no cause for an alarm."""
    high: float
    """∞ if a high value is no cause for an alarm."""
    usual: float
    """The value of the baseline."""

    def exceeded(self, value: float) -> float | None:
        """Return the limit that a value lies beyond; None within the range, or without a value."""
        if value > self.high:
            return self.high
        return self.low if value < self.low else None


def learn_thresholds(
    baseline: Sequence[GuardedAnswer],
    detectors: Sequence[Detector],
    schedule: Schedule,
    false_alarms: float,
    further_tests: int = 1,
    seed: int = 0,
) -> dict[str, Threshold]:
    """Return the threshold of each detector, of boilerplate too, by name.

    A detector that no baseline answer shows a number of has none.

    Args:
        baseline: Answers of the model that the training begins from.
        detectors: The detectors of means.
        schedule: Windows of the training.
        false_alarms: Bound of the chance that any detector exceeds a threshold in a whole training
            in which nothing is learnt.
        further_tests: Tests beside the detectors' that share this rate.
        seed: Seed of the simulation.

    Raises:
        ValueError: If there is no baseline answer.
    """
    groups = by_prompt(baseline)[:MOST_PROMPTS]
    if not groups:
        raise ValueError("no answers to learn thresholds from")
    answers = [answer for group in groups for answer in group]
    replicates = math.ceil(IN_TAIL / rate_per_test(detectors, false_alarms, further_tests))
    draw = _Resampling(groups, schedule, np.random.default_rng(seed))
    simulated = _Simulated(answers, detectors)
    for start in range(0, replicates, draw.block):
        windows, baselines = draw(min(draw.block, replicates - start))
        simulated.add(windows, baselines)
    return simulated.thresholds(IN_TAIL)


def rate_per_test(
    detectors: Sequence[Detector], false_alarms: float, further_tests: int = 1
) -> float:
    """Return the part of the false-alarm rate that each test may spend over a whole training.

    Args:
        detectors: The detectors of means; each threshold is a test, and that of boilerplate.
        false_alarms: Bound of the chance of any false alarm.
        further_tests: Other tests, such as the one for over-optimisation.
    """
    return false_alarms / (sum(detector.sides for detector in detectors) + 1 + further_tests)


def by_prompt(answers: Sequence[GuardedAnswer]) -> list[list[GuardedAnswer]]:
    """Return the answers grouped by prompt, in the order of the prompts' ids."""
    groups: dict[str, list[GuardedAnswer]] = {}
    for answer in answers:
        groups.setdefault(answer.prompt_id, []).append(answer)
    return [groups[name] for name in sorted(groups)]


class _Resampling:
    """Draws the answers of simulated trainings, as indices into all baseline answers.

    Index A, beyond the last answer, stands for the further prompt at the far end.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[GuardedAnswer]],
        schedule: Schedule,
        rng: np.random.Generator,
    ) -> None:
        self.sizes = np.array([*map(len, groups), 1])
        self.starts = np.cumsum([0, *self.sizes[:-1]])
        self.schedule, self.rng = schedule, rng
        training = schedule.steps * schedule.prompts * schedule.samples
        shown = len(schedule.looks) * schedule.width * schedule.prompts * schedule.samples
        self.block = max(1, CELLS // max(training, shown))

    def __call__(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the answers of `count` trainings by window, (R, L, N), and baselines, (R, M)."""
        its, real = self.schedule, len(self.sizes) - 1
        prompts = self.rng.integers(real + 1, size=(count, its.steps, its.prompts, 1))
        answers = self._answers(prompts, its.samples).reshape(count, its.steps, -1)
        windows = [answers[:, step - its.width : step].reshape(count, -1) for step in its.looks]
        per_prompt = max(1, round(float(self.sizes[:-1].mean())))
        baselines = self._answers(self.rng.integers(real, size=(count, real, 1)), per_prompt)
        return np.stack(windows, axis=1), baselines.reshape(count, -1)

    def _answers(self, prompts: NDArray[np.int64], samples: int) -> NDArray[np.int64]:
        """Return answers drawn to each prompt, with replacement, in the last dimension."""
        drawn = self.rng.random((*prompts.shape[:-1], samples))
        return self.starts[prompts] + (drawn * self.sizes[prompts]).astype(np.int64)


class _Simulated:
    """The farthest drifts of each detector in the simulated trainings so far."""

    def __init__(self, answers: Sequence[GuardedAnswer], detectors: Sequence[Detector]) -> None:
        self.detectors = detectors
        self.means = {detector.name: _Mean(detector, answers) for detector in detectors}
        self.holds = incidence(answers)
        self.highs: dict[str, list[Floats]] = {}
        self.lows: dict[str, list[Floats]] = {}

    def add(self, windows: NDArray[np.int64], baselines: NDArray[np.int64]) -> None:
        for name, mean in self.means.items():
            if mean.is_known:
                drift = mean.usual - mean.of(baselines, mean.high)[:, None]
                high = mean.of(windows, mean.high) + drift
                low = mean.of(windows, mean.low) + drift
                self.highs.setdefault(name, []).append(_farthest(high))
                self.lows.setdefault(name, []).append(-_farthest(-low))
        excess = simulated_excess(self.holds, windows, baselines)
        self.highs.setdefault(BOILERPLATE, []).append(excess.max(axis=1))

    def thresholds(self, beyond: int) -> dict[str, Threshold]:
        """Return the thresholds that so many simulated trainings lie at or beyond."""
        found = {}
        for detector in self.detectors:
            mean = self.means[detector.name]
            if mean.is_known:
                highs = np.sort(np.concatenate(self.highs[detector.name]))
                lows = np.sort(np.concatenate(self.lows[detector.name]))
                found[detector.name] = Threshold(
                    float(lows[beyond - 1]) if detector.below else -math.inf,
                    float(highs[-beyond]) if detector.above else math.inf,
                    mean.usual,
                )
        excess = np.sort(np.concatenate(self.highs[BOILERPLATE]))
        found[BOILERPLATE] = Threshold(-math.inf, float(excess[-beyond]), 0.0)
        return found


class _Mean:
    """A detector's numbers and weights on all baseline answers, and at the far ends."""

    def __init__(self, detector: Detector, answers: Sequence[GuardedAnswer]) -> None:
        values, weights = measured(detector, answers)
        self.is_known = bool(weights.any())
        if not self.is_known:
            return
        seen = values[weights > 0]
        low, high = detector.bounds or (float(seen.min()), float(seen.max()))
        typical = float(weights[weights > 0].mean())
        self.weights = np.append(weights, typical)
        self.low, self.high = np.append(values, low), np.append(values, high)
        self.usual = float(values @ weights / weights.sum())

    def of(self, chosen: NDArray[np.int64], values: Floats) -> Floats:
        """Return the weighted mean over the last dimension; NaN where no answer has a number."""
        weights = self.weights[chosen]
        with np.errstate(invalid="ignore"):
            return (values[chosen] * weights).sum(axis=-1) / weights.sum(axis=-1)


def measured(detector: Detector, answers: Sequence[GuardedAnswer]) -> tuple[Floats, Floats]:
    """Return a detector's number and weight for each answer, (N,); both 0 where it has none."""
    values = np.array([detector.measure(answer) for answer in answers], dtype=float)
    weights = np.array([detector.weight(answer) for answer in answers], dtype=float)
    is_known = ~np.isnan(values)
    return np.where(is_known, values, 0.0), np.where(is_known, weights, 0.0)


def _farthest(values: Floats) -> Floats:
    """Return the greatest value over the windows of each training, (R,); −∞ if none is known."""
    return np.where(np.isnan(values), -np.inf, values).max(axis=1)
