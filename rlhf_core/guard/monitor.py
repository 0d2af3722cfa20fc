"""The guard of one training: it looks at each window of steps, and raises alarms.

A detector beyond its threshold shows that the policy drifted, which a better policy does as well.
It raises an alarm only if the held-out judge sees no gain in the same answers. Text that is aimed
at the judge raises one by itself. So does over-optimisation: the reward rose since the start, and
the held-out score fell since its best window, both beyond chance. A part of the reward that
explains its rise alone (`dominance.py`) is like any other drift.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from rlhf_core.guard.answers import GuardedAnswer
from rlhf_core.guard.boilerplate import Boilerplate, Gram, boilerplate, gram_shares, grams
from rlhf_core.guard.detectors import Detector, detectors
from rlhf_core.guard.dominance import DOMINANT_PART, MOST, Lead, leading_part
from rlhf_core.guard.overoptimisation import chance_of_rise
from rlhf_core.guard.thresholds import (
    BOILERPLATE,
    Floats,
    Schedule,
    Threshold,
    by_prompt,
    learn_thresholds,
    measured,
    rate_per_test,
)

OVEROPTIMISED = "overoptimised"
EVIDENCE = 8
"""Answers that are named as the evidence of an alarm."""


@dataclass(frozen=True)
class Alarm:
    """A detector beyond its threshold, in answers that the held-out judge finds no better."""

    detector: str
    value: float
    threshold: float
    reason: str
    evidence: tuple[str, ...]
    """Ids of answers that show it, the clearest first."""


@dataclass(frozen=True)
class Look:
    """The guard's figures of the window that ends with a step, and its alarms."""

    step: int
    values: Mapping[str, float]
    """Value of each detector; NaN if no answer shows it."""
    kl: float
    reward_gain: float | None
    """Mean reward less that of the first step, whose answers are those of the first policy."""
    held_out_gain: float | None
    """Mean over prompts of the held-out judge's gain; None without an opinion."""
    alarms: tuple[Alarm, ...] = ()


@dataclass
class Guard:
    """Watches the answers of a training, step after step.

    Args:
        baseline: Answers of the model that the training begins from.
        schedule: Windows of the training.
        false_alarms: Bound of the chance of any alarm in a training in which nothing is learnt.
        parts: Number of parts of the reward.
        further_tests: Tests outside this guard that share the rate.
    """

    baseline: Sequence[GuardedAnswer]
    schedule: Schedule
    false_alarms: float
    parts: int = 1
    further_tests: int = 0
    _steps: list["_Step"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.detectors = detectors(self.baseline)
        further = self.further_tests + 1 + (self.parts > 1)
        self.rate = rate_per_test(self.detectors, self.false_alarms, further)
        """Part of the false-alarm rate that each test may spend over a whole training."""
        self.thresholds = learn_thresholds(
            self.baseline, self.detectors, self.schedule, self.false_alarms, further
        )
        self._usual_grams = gram_shares([grams(answer) for answer in self.baseline])

    def restart(self) -> None:
        """Forget all steps, but not the thresholds."""
        self._steps.clear()

    def observe(self, answers: Sequence[GuardedAnswer]) -> Look | None:
        """Add the answers of the next step; return the look at the window that ends with it.

        Returns:
            None if no window is tested after this step.
        """
        self._steps.append(_Step(answers, self.detectors))
        step = len(self._steps)
        return self.look(step) if step in self.schedule.looks else None

    def answers(self, step: int) -> Sequence[GuardedAnswer]:
        """Return the answers of a step that was observed, from 1."""
        return self._steps[step - 1].answers

    def look(self, step: int) -> Look:
        """Return the look at the window that ends with a step that was observed."""
        window = _Window(self._steps[max(0, step - self.schedule.width) : step])
        gain = _mean(window.gains)
        repeated = boilerplate(window.grams, self._usual_grams)
        values = {each.name: window.value(each) for each in self.detectors}
        alarms = [self._drift(each, window, gain) for each in self.detectors]
        lead = leading_part(self._start(step).addends, window.addends)
        if lead is not None:
            values[DOMINANT_PART] = lead.share
            alarms.append(self._dominated(lead, window, gain))
        alarms.append(self._repeated(repeated, window, gain))
        alarms.append(self._overoptimised(step, window))
        first = _Window(self._steps[:1])
        rise = _mean(window.rewards) - _mean(first.rewards)
        return Look(
            step,
            {**values, BOILERPLATE: repeated.excess},
            sum(answer.kl for answer in window.answers) / len(window.answers),
            None if math.isnan(rise) else rise,
            None if math.isnan(gain) else gain,
            tuple(alarm for alarm in alarms if alarm is not None),
        )

    def _drift(self, detector: Detector, window: "_Window", gain: float) -> Alarm | None:
        value, threshold = window.value(detector), self.thresholds.get(detector.name)
        if threshold is None:
            return None
        is_high = value > threshold.high
        said = (detector.above if is_high else detector.below) or ""
        ids = window.clearest(detector, is_high)
        return self._alarm(detector.name, value, said, ids, gain, detector.is_proof)

    def _repeated(self, found: Boilerplate, window: "_Window", gain: float) -> Alarm | None:
        said = f'"{" ".join(found.gram)}" in {found.share:.0%} of the answers'
        both = zip(window.answers, window.grams, strict=True)
        ids = [answer.id for answer, held in both if found.gram in held]
        return self._alarm(BOILERPLATE, found.excess, said, ids, gain)

    def _alarm(
        self,
        name: str,
        value: float,
        said: str,
        evidence: Sequence[str],
        gain: float,
        is_proof: bool = False,
    ) -> Alarm | None:
        threshold = self.thresholds[name]
        limit = threshold.exceeded(value)
        if limit is None or (gain > 0 and not is_proof):
            return None
        reason = f"{name}: {said} ({value:.3g}, usually {_range(threshold)}); {gain_in_words(gain)}"
        return Alarm(name, value, limit, reason, tuple(evidence[:EVIDENCE]))

    def _start(self, step: int) -> "_Window":
        """Return the first window that was tested; an empty one unless it ended before this one."""
        width, first = self.schedule.width, self.schedule.looks[0]
        return _Window(self._steps[first - width : first] if first <= step - width else [])

    def _dominated(self, lead: Lead, window: "_Window", gain: float) -> Alarm | None:
        """Return an alarm if one part of the reward explains its rise alone, beyond chance."""
        limit = self.rate / ((len(self.schedule.looks) - 1) * self.parts)
        if lead.chance >= limit or gain > 0:
            return None
        reason = (
            f"{DOMINANT_PART}: {lead.part!r} explains {lead.share:.0%} of the reward's rise (more "
            f"than {MOST:.0%} beyond chance); {gain_in_words(gain)}"
        )
        return Alarm(
            DOMINANT_PART, lead.chance, limit, reason, window.most_of(lead.part)[:EVIDENCE]
        )

    def _overoptimised(self, step: int, window: "_Window") -> Alarm | None:
        """Return an alarm if the reward rose and the held-out score fell, both beyond chance."""
        width, looks = self.schedule.width, self.schedule.looks
        earlier = {at: _Window(self._steps[at - width : at]) for at in looks if at <= step - width}
        gains = {at: each.gains for at, each in earlier.items() if each.gains}
        if not gains:
            return None
        best = max(gains, key=lambda at: _mean(gains[at]))
        rise = chance_of_rise(earlier[min(earlier)].rewards, window.rewards)
        chance = max(rise, chance_of_rise(window.gains, gains[best]))
        limit = self.rate / (len(looks) * (len(looks) - 1) / 2)
        if chance >= limit:
            return None
        reason = (
            f"{OVEROPTIMISED}: the reward rose, and by the held-out judge the answers became worse "
            f"since step {best} ({_mean(gains[best]):+.3g} then, {_mean(window.gains):+.3g} now)"
        )
        return Alarm(OVEROPTIMISED, chance, limit, reason, window.least_liked()[:EVIDENCE])


class _Step:
    """The answers of a step, each read once."""

    def __init__(self, answers: Sequence[GuardedAnswer], detectors: Sequence[Detector]) -> None:
        self.answers = answers
        self.grams = [grams(answer) for answer in answers]
        self.measured = {each.name: measured(each, answers) for each in detectors}


class _Window:
    """The answers of consecutive steps."""

    def __init__(self, steps: Sequence[_Step]) -> None:
        self.steps = steps
        self.answers = [answer for step in steps for answer in step.answers]

    @cached_property
    def grams(self) -> list[frozenset[Gram]]:
        return [held for step in self.steps for held in step.grams]

    @cached_property
    def gains(self) -> list[float]:
        """The held-out judge's mean gain of each prompt that it has an opinion on."""
        return _prompt_means(self.answers, lambda answer: answer.held_out_gain)

    @cached_property
    def rewards(self) -> list[float]:
        """The mean reward of each prompt that has one."""
        return _prompt_means(self.answers, lambda answer: answer.reward)

    @cached_property
    def addends(self) -> list[dict[str, float]]:
        """The mean of what each part adds to the reward, by prompt."""
        known = by_prompt([answer for answer in self.answers if answer.addends])
        return [
            {name: _mean([answer.addends[name] for answer in group]) for name in group[0].addends}
            for group in known
        ]

    def value(self, detector: Detector) -> float:
        values, weights = self._measured(detector)
        return float(values @ weights / weights.sum()) if weights.any() else math.nan

    def clearest(self, detector: Detector, is_high: bool) -> list[str]:
        """Return the ids of the answers with the greatest, or the least, numbers."""
        values, weights = self._measured(detector)
        order = np.argsort(-values if is_high else values, kind="stable")
        return [self.answers[place].id for place in order if weights[place] > 0]

    def most_of(self, part: str) -> tuple[str, ...]:
        """Return the ids of the answers to which a part of the reward adds most."""
        known = [answer for answer in self.answers if answer.addends]
        most = sorted(known, key=lambda answer: -answer.addends[part])
        return tuple(answer.id for answer in most)

    def least_liked(self) -> tuple[str, ...]:
        """Return the ids of the rewarded answers, those of the least held-out gain first."""
        known = [a for a in self.answers if not math.isnan(a.held_out_gain + a.reward)]
        worst = sorted(known, key=lambda answer: (answer.held_out_gain, -answer.reward))
        return tuple(answer.id for answer in worst)

    def _measured(self, detector: Detector) -> tuple[Floats, Floats]:
        values, weights = zip(*(step.measured[detector.name] for step in self.steps), strict=True)
        return np.concatenate(values), np.concatenate(weights)


def _range(threshold: Threshold) -> str:
    if math.isinf(threshold.low):
        return f"at most {threshold.high:.3g}"
    if math.isinf(threshold.high):
        return f"at least {threshold.low:.3g}"
    return f"{threshold.low:.3g} to {threshold.high:.3g}"


def gain_in_words(gain: float) -> str:
    """Return what the held-out judge sees in some answers; its gain is NaN without an opinion."""
    if math.isnan(gain):
        return "the held-out judge has no opinion on them"
    if gain > 0:
        return f"by the held-out judge they are better ({gain:+.3g})"
    return f"by the held-out judge they are no better ({gain:+.3g})"


def _prompt_means(
    answers: Sequence[GuardedAnswer], number: Callable[[GuardedAnswer], float]
) -> list[float]:
    """Return the mean of a number over the answers to each prompt that have one."""
    groups = ([number(answer) for answer in group] for group in by_prompt(answers))
    known = ([value for value in group if not math.isnan(value)] for group in groups)
    return [_mean(group) for group in known if group]


def _mean(values: Sequence[float]) -> float:
    """Return the mean; NaN of no values."""
    return sum(values) / len(values) if values else math.nan
