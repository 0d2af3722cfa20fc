"""Agreement of judges beyond chance."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

Value = TypeVar("Value", bound=Hashable)


def cohen_kappa(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> float | None:
    """Return the agreement of two judges beyond chance (Cohen 1960); None if it is undefined.

    1 is full agreement; 0 is the agreement of two judges that answer independently of each other.
    """
    from sklearn.metrics import cohen_kappa_score

    if not ours or len({*ours, *theirs}) < 2:
        return None
    return float(cohen_kappa_score([str(one) for one in ours], [str(one) for one in theirs]))


def krippendorff_alpha(
    units: Iterable[Sequence[Value | None]], disagreement: Callable[[Sequence[Value]], float]
) -> float | None:
    """Return the agreement of any number of judges with missing values; None if it is undefined.

    α = 1 − observed / expected disagreement (Krippendorff, "Computing Krippendorff's
    alpha-reliability", 2011, section E). It is implemented here because the library krippendorff is
    under the GPL.

    Args:
        units: For each judged item, the value of each judge; None if the judge gave none.
        disagreement: Sum of the squared distances of all ordered pairs of some values.
    """
    given = [[value for value in unit if value is not None] for unit in units]
    pairable = [unit for unit in given if len(unit) > 1]
    together = [value for unit in pairable for value in unit]
    expected = disagreement(together)
    if expected == 0:
        return None
    observed = math.fsum(disagreement(unit) / (len(unit) - 1) for unit in pairable)
    return 1 - (len(together) - 1) * observed / expected


def nominal(values: Sequence[Hashable]) -> float:
    """Return the disagreement of unordered values: the number of ordered pairs that differ."""
    return len(values) ** 2 - sum(count**2 for count in Counter(values).values())


def interval(values: Sequence[float]) -> float:
    """Return the disagreement of numbers: Σ (v − w)² over ordered pairs."""
    squares = math.fsum(value**2 for value in values)
    return 2 * (len(values) * squares - math.fsum(values) ** 2)
