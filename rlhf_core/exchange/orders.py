"""Orders of answers, by their scores, ranks, utilities, margins or preferences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf_core.exchange.examples import NothingToLearn
from rlhf_core.files.cells import Cells
from rlhf_core.files.scales import UNIT, Scale

EQUAL_ANSWERS, EQUAL_SCORES = "equal answers", "equal scores"
NO_WORDS = "an answer without words"
WIDEST_MARGIN = 2.0
"""Limit of a margin in a file; earlier versions of Solon exported margins up to this."""
BEST_FIRST = "answers"
"""The only column whose answers are the best first by its name alone."""


@dataclass(frozen=True)
class Order:
    """The order of the answers of a row, the best first."""

    places: tuple[int, ...]
    """Place of each answer in the row."""
    utilities: tuple[float, ...]
    """Utility of each, −1 to 1, as in the record Ranking."""
    scores: tuple[float, ...] | None = None
    """Score of each, 0 to 1; None if the row has none."""


def read_order(cells: Cells, scale: Scale | None, count: int) -> Order:
    """Return the order of a row's answers, by its scores, ranks or utilities, or as they stand.

    Args:
        cells: The row.
        scale: Range of the file's scores; None is 0 to 1.
        count: Number of answers.

    Raises:
        DataFileError: If a list has another length or holds something else than numbers, or the
            row does not say in which order the answers are.
    """
    given = [role for role in ("scores", "ranks", "utilities") if cells.get(role) is not None]
    if len(given) > 1:
        names = " and ".join(repr(cells.column(role)) for role in given)
        raise cells.error(f"{names} both order the answers; keep one of them")
    if not given:
        return _as_they_stand(cells, count)
    values = [cells.as_number(given[0], cell) for cell in cells.entries(given[0])]
    if len(values) != count:
        name = cells.column(given[0])
        raise cells.error(f"{name!r} must be a list of {count}, one an answer")
    if given == ["utilities"]:
        return _by_utilities(cells, scale or UNIT, values)
    if given == ["ranks"]:
        return _by_ranks(values)
    shares = [share_of(cells, scale or UNIT, value) for value in values]
    places = sorted(range(count), key=lambda place: -shares[place])
    scores = tuple(shares[place] for place in places)
    # A score is the probability to be better than an average answer, and this its utility.
    return Order(tuple(places), tuple(2 * score - 1 for score in scores), scores)


def share_of(cells: Cells, scale: Scale, score: float) -> float:
    """Return a score as a share of its scale, 0 to 1.

    Args:
        cells: The row, for errors.
        scale: Range of the file's scores.
        score: The score.

    Raises:
        DataFileError: If the score lies outside the scale.
    """
    share = scale.share(score)
    if not 0 <= share <= 1:
        raise cells.error(
            f"score {score:g} lies outside {scale.low:g} to {scale.high:g}; name the scale of the "
            "file, as in --scale 1:10"
        )
    return share


def read_two_scores(cells: Cells, scale: Scale) -> tuple[float, float] | None:
    """Return the scores of the chosen and the rejected answer, 0 to 1; None if there are none.

    Raises:
        DataFileError: If one of the two is missing, or lies outside the scale.
    """
    chosen = cells.optional_number("score_chosen")
    rejected = cells.optional_number("score_rejected")
    if chosen is None and rejected is None:
        return None
    if chosen is None or rejected is None:
        raise cells.error("score_chosen and score_rejected come together; one is missing")
    return share_of(cells, scale, chosen), share_of(cells, scale, rejected)


def read_margin(cells: Cells, scale: Scale, scores: tuple[float, float] | None) -> float:
    """Return the margin of the chosen answer: the cell, else the difference of scores, else 1.

    Args:
        cells: The row.
        scale: Range of the file's scores.
        scores: Scores of the chosen and the rejected answer, 0 to 1, if the row has any.

    Raises:
        DataFileError: If the cell lies outside the scale, or the rejected answer scores higher.
        NothingToLearn: If the scores are equal.
    """
    margin = cells.optional_number("margin")
    if margin is not None:
        share = scale.margin(margin)
        if not 0 < share <= WIDEST_MARGIN:
            raise cells.error(
                f"margin {margin:g} must be above 0 and at most {WIDEST_MARGIN:g} times the scale "
                f"from {scale.low:g} to {scale.high:g}; name the file's own, as in --scale 1:10"
            )
        return share
    if scores is None:
        return 1.0
    if scores[0] < scores[1]:
        raise cells.error("the rejected answer has the higher score; swap the two, or the scores")
    if scores[0] == scores[1]:
        raise NothingToLearn(EQUAL_SCORES)
    return scores[0] - scores[1]


def utilities_of_two(margin: float) -> tuple[float, float]:
    """Return utilities of opposite sign with this margin: tanh(s / 2) of half its log-odds s."""
    utility = margin / (1 + math.sqrt(1 - margin**2))
    return utility, -utility


def _as_they_stand(cells: Cells, count: int) -> Order:
    name = cells.column("answers")
    if name != BEST_FIRST:
        raise cells.error(
            f"in which order are {name!r}? name their scores or ranks, or rename the column to "
            f"{BEST_FIRST!r} if the best is first"
        )
    return Order(tuple(range(count)), tuple(_falling(range(count))))


def _by_ranks(ranks: Sequence[float]) -> Order:
    places = sorted(range(len(ranks)), key=lambda place: ranks[place])
    levels = sorted(set(ranks))
    return Order(tuple(places), tuple(_falling([levels.index(ranks[place]) for place in places])))


def _falling(levels: Sequence[int]) -> list[float]:
    """Return utilities that fall from 1/2 to −1/2 in equal steps, one a level."""
    steps = max(levels) or 1
    return [0.5 - level / steps for level in levels]


def _by_utilities(cells: Cells, scale: Scale, given: Sequence[float]) -> Order:
    utilities = tuple(scale.margin(utility) for utility in given)
    if sorted(utilities, reverse=True) != list(utilities) or max(map(abs, utilities)) > 1:
        raise cells.error(
            "utilities must fall from the first answer to the last and lie from -1 to 1, or from "
            "minus to plus the width of --scale"
        )
    scores = tuple((1 + utility) / 2 for utility in utilities)
    return Order(tuple(range(len(utilities))), utilities, scores)
