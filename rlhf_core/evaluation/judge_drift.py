"""Judge drift: did a judge's verdicts on the same questions move by more than its own noise?

Each probe has three verdicts: the first, a repeat of it, and the latest. A judge that has not
changed gives three draws of the same distribution, so any of the three is as likely to be the
latest one (a permutation test within blocks; Pitman, Biometrika 29, 1938). The test therefore
needs no model of the judge's noise, and noise alone raises no more alarms than it states.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_core.evaluation.breakdown import holm
from rlhf_core.records import Outcome

FALSE_ALARMS = 0.01
"""Bound of the chance that any of the judges tested together is reported without a change."""
RESAMPLES = 9999
"""Random assignments of the verdicts of each probe, for a p-value."""
TESTS = 2
"""The verdicts moved apart, or all in one direction; Bonferroni's correction covers both."""
ROUNDING = 1e-9
_VALUES = {Outcome.FIRST: 1.0, Outcome.TIE: 0.5, Outcome.SECOND: 0.0}


class Verdict(NamedTuple):
    """A verdict on a probe, with its figure if there is one."""

    outcome: Outcome
    value: float | None
    """A score or a probability, 0 to 1; null without an opinion."""

    @classmethod
    def of(cls, outcome: Outcome, score: float | None, probability: float | None) -> "Verdict":
        """Return the verdict of a judgement.

        Args:
            outcome: Its outcome.
            score: Score of an answer, 0 to 1.
            probability: Probability that the first of two answers is better; where a verdict
                between two has none, it is that of the outcome: 1, 0.5 or 0.
        """
        if score is None and probability is None:
            return cls(outcome, _VALUES.get(outcome))
        return cls(outcome, probability if score is None else score)


class ProbeVerdicts(NamedTuple):
    """The verdicts of a judge on one question at three times."""

    first: Verdict
    repeat: Verdict
    latest: Verdict


@dataclass(frozen=True)
class DriftTest:
    """Change of a judge's verdicts, with the p-value of none."""

    probes: int
    distance: float
    """Mean distance of the latest verdict from the first and its repeat, 0 to 1."""
    noise: float
    """Mean distance between the first verdict and its repeat."""
    shift: float | None
    """Mean of the latest value minus the mean of the earlier two; None without opinions."""
    p: float
    """p-value of no change, corrected for the two tests."""


def distance(one: Verdict, other: Verdict) -> float:
    """Return how far two verdicts are apart, 0 to 1.

    It is the difference of their values. A verdict with an opinion and one without are 1 apart, and
    so are two that lack one for different reasons.
    """
    if one.value is not None and other.value is not None:
        return abs(one.value - other.value)
    return float(one.outcome is not other.outcome)


def repeat_noise(pairs: Sequence[tuple[Verdict, Verdict]]) -> float:
    """Return the mean distance of verdicts on the same questions, asked twice; at least one."""
    return sum(distance(*pair) for pair in pairs) / len(pairs)


def repeat_deviation(pairs: Sequence[tuple[Verdict, Verdict]]) -> float | None:
    """Return the standard deviation of one verdict about the judge's mean on a question.

    Two verdicts on a question differ by two independent errors, so it is √(Σ d² / 2n) (Bland and
    Altman, BMJ 313:744, 1996). None if no question had an opinion twice.
    """
    differences = [
        one.value - other.value
        for one, other in pairs
        if one.value is not None and other.value is not None
    ]
    if not differences:
        return None
    return float(np.sqrt(np.mean(np.square(differences)) / 2))


def drift_test(probes: Sequence[ProbeVerdicts]) -> DriftTest:
    """Test whether the latest verdicts are exchangeable with the earlier ones.

    Two statistics are summed over the probes: the distances of the latest verdict from the earlier
    two minus twice their own distance, which sees verdicts that move in any direction; and the
    latest value minus the mean of the other two, which sees a small shift of all.

    Args:
        probes: Verdicts of one judge on different prompts, at least one.
    """
    apart = np.array([_apart_if_latest(probe) for probe in probes])
    shifts = np.array([_shift_if_latest(probe) for probe in probes])
    rows = np.arange(len(probes))
    drawn = np.random.default_rng(0).integers(0, 3, size=(RESAMPLES, len(probes)))
    p_apart = _p_value(apart[:, 2].sum(), apart[rows, drawn].sum(axis=1))
    p_shift = _p_value(abs(shifts[:, 2].sum()), abs(shifts[rows, drawn].sum(axis=1)))
    opinions = [all(verdict.value is not None for verdict in probe) for probe in probes]
    return DriftTest(
        probes=len(probes),
        distance=float(np.mean([_from_earlier(probe) for probe in probes])),
        noise=repeat_noise([(probe.first, probe.repeat) for probe in probes]),
        shift=float(shifts[opinions, 2].mean()) if any(opinions) else None,
        p=min(1.0, TESTS * min(p_apart, p_shift)),
    )


def corrected(tests: Sequence[DriftTest]) -> list[float]:
    """Return the p-values corrected for the number of judges (Holm)."""
    return holm([test.p for test in tests])


def _from_earlier(probe: ProbeVerdicts) -> float:
    return (distance(probe.latest, probe.first) + distance(probe.latest, probe.repeat)) / 2


def _apart_if_latest(probe: ProbeVerdicts) -> list[float]:
    """Return the first statistic's addend if each of the three verdicts were the latest."""
    between = [distance(probe[1], probe[2]), distance(probe[0], probe[2]), distance(*probe[:2])]
    return [sum(between) - 3 * own for own in between]


def _shift_if_latest(probe: ProbeVerdicts) -> list[float]:
    """Return the second statistic's addend likewise; 0 unless all three have a value."""
    values = [verdict.value for verdict in probe if verdict.value is not None]
    if len(values) < len(probe):
        return [0.0] * len(probe)
    return [value - (sum(values) - value) / 2 for value in values]


def _p_value(observed: float, resampled: NDArray[np.float64]) -> float:
    """Return the share of assignments at least as extreme, with the observed one counted."""
    return float((1 + np.sum(resampled >= observed - ROUNDING)) / (1 + len(resampled)))
