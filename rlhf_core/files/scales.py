"""Scales of scores and of preferences between two answers."""

from dataclasses import dataclass

from rlhf_core.files.cells import Cells


@dataclass(frozen=True)
class Scale:
    """Range of a file's scores, to store them as shares from 0 to 1."""

    low: float = 0.0
    high: float = 1.0

    def share(self, score: float) -> float:
        return (score - self.low) / (self.high - self.low)

    def margin(self, margin: float) -> float:
        return margin / (self.high - self.low)


UNIT = Scale()
PREFERENCES = Scale(1.0, 2.0)
"""Scale of a preference between two answers: 1 for the first, 2 for the second."""
TIED = 0.0
"""A preference that is a tie on that scale, beside its middle."""


def read_preference(cells: Cells, scale: Scale | None) -> float:
    """Return the probability that the first of two answers is better.

    Args:
        cells: The row.
        scale: The preferences that name the first and the second answer; None is 1 and 2, of
            which 0 is a tie.

    Raises:
        DataFileError: If the preference lies outside the scale.
    """
    preference = cells.label("preference")
    known = scale or PREFERENCES
    if known == PREFERENCES and preference == TIED:
        return 0.5
    share = known.share(preference)
    if not 0 <= share <= 1:
        tie = ", or 0 for a tie" if known == PREFERENCES else ""
        raise cells.error(
            f"{cells.column('preference')} = {preference:g}: must be {known.low:g} (the first is "
            f"better), {known.high:g} (the second), between{tie}"
        )
    return 1 - share
