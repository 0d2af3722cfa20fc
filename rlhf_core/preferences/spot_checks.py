"""Spot checks by people: which pairs are worth a look, and in which order they are shown.

For the terminal and for a page alike; asking the store and writing to it is
rlhf_core/store/audit/spot_checks.py:

    pairs = checkable(store, person, split)          # what this person may still be asked
    for check in choose(pairs, count, strategy, seed):
        left, right = check.pair.shown_to(person)    # show prompt, left.text, right.text
        record(store, check, person, said, seconds)  # said: left or right as on the screen

Whoever shows a pair shows nothing else of it: no judge, score, outcome or strategy.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlhf_core.identity import unit_interval
from rlhf_core.records import HumanVerdict, Strategy

MIXED = "mixed"
MIXTURE = (Strategy.DISAGREEMENT, Strategy.LOW_MARGIN, Strategy.HIGH_WEIGHT, Strategy.RANDOM)


@dataclass(frozen=True)
class Shown:
    """One of the two answers."""

    id: str
    text: str


@dataclass(frozen=True)
class CheckablePair:
    """A pair with its words, and what makes it worth a look."""

    pair_id: str
    prompt_id: str
    prompt: str
    context: str | None
    """The text that was given with the prompt, where there was one."""
    left: Shown
    right: Shown
    dissent: float
    """Weighted share of the judges that side with the rejected answer, 0 to 1; 0 for ties."""
    margin: float
    """Of the label, 0 to 1; at most the tie margin for ties."""
    weight: float
    """What a wrong label would cost: its margin × the preferred pairs of the prompt; 0 for ties."""

    def shown_to(self, person: str) -> tuple[Shown, Shown]:
        """Both answers, left and right as on the screen.

        The order is drawn from pair and person, so it says nothing of the label, differs between
        people, and is the same when the pair is shown again.
        """
        drawn = unit_interval("spot check", self.left.id, self.right.id, person)
        return (self.left, self.right) if drawn < 0.5 else (self.right, self.left)

    def verdict(self, said: HumanVerdict, person: str) -> HumanVerdict:
        """What a verdict about the screen says of the pair's own left and right."""
        is_swapped = self.shown_to(person)[0] is not self.left
        mirrored = {
            HumanVerdict.LEFT: HumanVerdict.RIGHT,
            HumanVerdict.RIGHT: HumanVerdict.LEFT,
        }
        return mirrored.get(said, said) if is_swapped else said


@dataclass(frozen=True)
class Check:
    """A pair to be put before a person, and why."""

    pair: CheckablePair
    strategy: Strategy


def choose(
    pairs: Sequence[CheckablePair], count: int, strategy: Strategy | str, seed: int
) -> list[Check]:
    """The pairs a person is asked next, in the order they are asked.

    `disagreement` takes those that most judges dissent from, `low_margin` those nearest to a tie,
    `high_weight` those whose label weighs most in training, and `random` any: only they speak for
    all pairs. `mixed` takes turns between the four. Where a strategy finds nothing more (no judge
    dissents), random ones take its place, and are marked so. No two words are shown twice.

    Args:
        pairs: What `checkable` found.
        count: At most so many.
        strategy: A strategy, or "mixed".
        seed: Draws the random ones, and between equals.
    """
    shuffled = list(pairs)
    random.Random(seed).shuffle(shuffled)
    wanted = MIXTURE if strategy == MIXED else (Strategy(strategy),)
    queues = {each: _queue(shuffled, each) for each in (*wanted, Strategy.RANDOM)}
    chosen: list[Check] = []
    taken: set[tuple[str, frozenset[str]]] = set()
    while len(chosen) < count:
        turn = wanted[len(chosen) % len(wanted)]
        found = _next(queues[turn], taken)
        if found is None:
            turn, found = Strategy.RANDOM, _next(queues[Strategy.RANDOM], taken)
        if found is None:
            break
        taken.add(_words(found))
        chosen.append(Check(found, turn))
    return chosen


_WORTH: dict[Strategy, Callable[[CheckablePair], float]] = {
    Strategy.DISAGREEMENT: lambda pair: pair.dissent,
    Strategy.LOW_MARGIN: lambda pair: 1 - pair.margin,
    Strategy.HIGH_WEIGHT: lambda pair: pair.weight,
    Strategy.RANDOM: lambda pair: 1,
}


def _queue(shuffled: Sequence[CheckablePair], strategy: Strategy) -> list[CheckablePair]:
    """What a strategy would ask, the best last; sorting is stable, so equals stay shuffled."""
    worth = _WORTH[strategy]
    return sorted((pair for pair in shuffled if worth(pair) > 0), key=worth)


def _next(
    queue: list[CheckablePair], taken: set[tuple[str, frozenset[str]]]
) -> CheckablePair | None:
    while queue:
        pair = queue.pop()
        if len(_words(pair)[1]) == 2 and _words(pair) not in taken:
            return pair
    return None


def _words(pair: CheckablePair) -> tuple[str, frozenset[str]]:
    """What the person reads: two answers that are one text ask nothing."""
    return pair.prompt_id, frozenset((pair.left.text.strip(), pair.right.text.strip()))
