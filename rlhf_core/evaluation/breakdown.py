"""Win rates by part of the held-out prompts, with p-values corrected for their number."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from rlhf_core.evaluation.intervals import mean_interval

EVEN = 0.5
RESAMPLES = 9999
"""Sign flips drawn for a p-value; up to 13 prompts all of them are counted."""
LENGTHS = ("short", "middle", "long")


class PartResult(NamedTuple):
    """A comparison's prompt, its part by each facet, and its result."""

    prompt_id: str
    parts: Mapping[str, str]
    """Part by facet, such as the prompt's mode."""
    result: float
    """1 for a win of the policy, 0 for a loss, 0.5 for a tie."""


@dataclass(frozen=True)
class PartWinRate:
    """Win rate in one part, each prompt counting once."""

    facet: str
    part: str
    prompts: int
    rate: float
    low: float
    high: float
    p: float
    """p-value of a win rate of 50 %, by Holm's correction over all parts of all facets."""


def win_rates_by_part(results: Sequence[PartResult], confidence: float) -> list[PartWinRate]:
    """Return the win rate in each part of each facet that divides the prompts.

    Args:
        results: Comparisons that the judge had an opinion on.
        confidence: Confidence of each interval by itself, 0.95 for 95 %.

    Returns:
        The win rates, by facet and part; none of a facet with a single part, which is the whole.
    """
    groups: defaultdict[tuple[str, str], dict[str, list[float]]] = defaultdict(dict)
    for each in results:
        for facet, part in each.parts.items():
            groups[facet, part].setdefault(each.prompt_id, []).append(each.result)
    facets = [facet for facet, _ in groups]
    kept = [(key, list(groups[key].values())) for key in sorted(groups) if facets.count(key[0]) > 1]
    corrected = holm([sign_flip_p_value([_mean(row) - EVEN for row in rows]) for _, rows in kept])
    found = []
    for ((facet, part), rows), p in zip(kept, corrected, strict=True):
        rate = _mean([_mean(row) for row in rows])
        low, high = mean_interval(rows, confidence)
        found.append(PartWinRate(facet, part, len(rows), rate, low, high, p))
    return found


def sign_flip_p_value(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of a mean difference of 0 (Fisher, 1935).

    If neither side is better, each prompt's difference is as likely with the other sign. With wins,
    ties and losses alone this is the sign test.

    Args:
        differences: Difference of each prompt, independent of each other; at least one.
    """
    if len(differences) == 1:
        return 1.0
    test = stats.permutation_test(
        (np.asarray(differences, dtype=float),),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=1000,
        random_state=0,
    )
    return float(test.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm, Scandinavian J. of Statistics 6, 1979).

    A corrected value below α rejects its hypothesis; the chance that any true one is rejected is at
    most α, however the tests depend on each other.
    """
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = least
    return corrected


def length_parts(lengths: Mapping[str, int]) -> dict[str, str]:
    """Return the tercile of each length: short, middle or long.

    Equal lengths share the part of their mean rank.
    """
    ranks = stats.rankdata(list(lengths.values())) - 0.5
    return {
        key: LENGTHS[int(3 * rank / len(lengths))] for key, rank in zip(lengths, ranks, strict=True)
    }


@dataclass(frozen=True)
class PairedDifference:
    """Difference of two win rates on the same prompts, with its interval and p-value."""

    prompts: int
    difference: float
    low: float
    high: float
    p: float


def paired_difference(
    ours: Mapping[str, Sequence[float]], theirs: Mapping[str, Sequence[float]], confidence: float
) -> PairedDifference | None:
    """Return our win rate minus theirs over the prompts that both have.

    Each prompt's difference d of the mean results lies between −1 and 1. The interval is that of
    the mean of (d + 1) / 2.

    Args:
        ours: Results of one policy by prompt, against some baseline.
        theirs: Results of another policy by prompt, against the same baseline.
        confidence: Confidence of the interval, 0.95 for 95 %.

    Returns:
        The difference; None without a common prompt.
    """
    common = [prompt for prompt in ours if ours[prompt] and theirs.get(prompt)]
    if not common:
        return None
    differences = [_mean(ours[prompt]) - _mean(theirs[prompt]) for prompt in common]
    shares = [[(difference + 1) / 2] for difference in differences]
    low, high = mean_interval(shares, confidence)
    p = sign_flip_p_value(differences)
    return PairedDifference(len(common), _mean(differences), 2 * low - 1, 2 * high - 1, p)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
