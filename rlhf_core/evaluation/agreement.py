"""How far judges agree beyond chance."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

Value = TypeVar("Value", bound=Hashable)


def cohen_kappa(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> float | None:
    """Agreement of two judges beyond chance (Cohen 1960); None where chance explains all.

    1 is full agreement, 0 what two judges would reach who each only keep to their own habits.
    """
    from sklearn.metrics import cohen_kappa_score

    if not ours or len({*ours, *theirs}) < 2:
        return None
    return float(cohen_kappa_score([str(one) for one in ours], [str(one) for one in theirs]))


def krippendorff_alpha(
    units: Sequence[Sequence[Value | None]], distance: Callable[[Value, Value], float]
) -> float | None:
    """Agreement of any number of judges, some of whom may be silent; None where none can be told.

    1 − observed over expected disagreement, from the coincidences of values within units
    (Krippendorff, "Computing Krippendorff's alpha-reliability", 2011, section C). Written out
    because the library there is, krippendorff, is under the GPL.

    Args:
        units: For each thing that was judged, the value of each judge; None where it had none.
        distance: Squared distance of two values: 0 where they are the same.
    """
    coincidences: Counter[tuple[Value, Value]] = Counter()
    for unit in units:
        counted = Counter(value for value in unit if value is not None)
        given = counted.total()
        if given < 2:
            continue
        for one, ones in counted.items():
            for other, others in counted.items():
                pairs = ones * (others - (one == other))
                coincidences[one, other] += pairs / (given - 1)  # type: ignore[assignment]
    totals: Counter[Value] = Counter()
    for (one, _), count in coincidences.items():
        totals[one] += count
    n = totals.total()
    expected = sum(
        totals[one] * totals[other] * distance(one, other) for one in totals for other in totals
    )
    if expected == 0:
        return None
    observed = sum(count * distance(*pair) for pair, count in coincidences.items())
    return 1 - (n - 1) * observed / expected


def nominal(one: Hashable, other: Hashable) -> float:
    """Distance of values without an order."""
    return float(one != other)


def interval(one: float, other: float) -> float:
    """Distance of numbers."""
    return (one - other) ** 2
