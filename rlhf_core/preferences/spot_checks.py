"""Spot checks by people: the choice of pairs worth checking, and the order of their answers.

The terminal and the audit page both use it; rlhf_core/store/audit/spot_checks.py reads and writes
the store:

    pairs = checkable(store, person, split)          # pairs this person has not checked yet
    for check in choose(pairs, count, strategy, seed):
        left, right = check.pair.shown_to(person)    # show prompt, left.text, right.text
        record(store, check, person, said, seconds)  # said: left or right as on the screen

Nothing else of a pair is shown: no judge, score, outcome or strategy.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rlhf_core.identity import unit_interval
from rlhf_core.records import HumanVerdict, Strategy
from rlhf_core.records.turns import Turn

MIXED = "mixed"
MIXTURE = (Strategy.DISAGREEMENT, Strategy.LOW_MARGIN, Strategy.HIGH_WEIGHT, Strategy.RANDOM)


@dataclass(frozen=True)
class Shown:
    """One of the two answers of a pair."""

    id: str
    text: str


@dataclass(frozen=True)
class CheckablePair:
    """A pair with its texts, and the figures that make it worth checking."""

    pair_id: str
    prompt_id: str
    prompt: str
    context: str | None
    """The text given with the prompt, if any."""
    left: Shown
    right: Shown
    dissent: float
    """Weighted share of the judges that prefer the rejected answer, 0 to 1; 0 for ties."""
    margin: float
    """Margin of the label, 0 to 1; at most the tie margin for ties."""
    weight: float
    """Cost of a wrong label: its margin × the preferred pairs of the prompt; 0 for ties."""
    turns: Sequence[Turn] = ()
    """The turns of the prompt, if it is a conversation."""

    def shown_to(self, person: str) -> tuple[Shown, Shown]:
        """Return both answers, left and right as on the screen.

        The order is drawn from pair and person: it reveals no label, differs between people, and
        stays the same when the pair is shown again.
        """
        drawn = unit_interval("spot check", self.left.id, self.right.id, person)
        return (self.left, self.right) if drawn < 0.5 else (self.right, self.left)

    def verdict(self, on_screen: HumanVerdict, person: str) -> HumanVerdict:
        """Translate a verdict on the screen's left and right to the pair's own left and right."""
        is_swapped = self.shown_to(person)[0] is not self.left
        mirrored = {
            HumanVerdict.LEFT: HumanVerdict.RIGHT,
            HumanVerdict.RIGHT: HumanVerdict.LEFT,
        }
        return mirrored.get(on_screen, on_screen) if is_swapped else on_screen


@dataclass(frozen=True)
class PairToCheck:
    """A pair to show to a person, and the strategy that chose it."""

    pair: CheckablePair
    strategy: Strategy


def choose(
    pairs: Sequence[CheckablePair], count: int, strategy: Strategy | str, seed: int
) -> list[PairToCheck]:
    """Choose the next pairs to show to a person, in order.

    `disagreement` takes the pairs with the most dissent among judges, `low_margin` those nearest to
    a tie, `high_weight` those whose label weighs most in training, and `random` any pair: only
    random pairs represent all pairs. `mixed` alternates between the four. When a strategy runs out
    of pairs (no judge dissents), random pairs replace it and are marked as such. The same two texts
    are never shown twice.

    Args:
        pairs: Pairs that `checkable` returned.
        count: Most pairs to choose.
        strategy: A strategy, or "mixed".
        seed: Seed of the random choices, and of the order among equals.

    Returns:
        At most `count` pairs, with the strategy that chose each.
    """
    shuffled = list(pairs)
    random.Random(seed).shuffle(shuffled)
    wanted = MIXTURE if strategy == MIXED else (Strategy(strategy),)
    queues = {each: _queue(shuffled, each) for each in (*wanted, Strategy.RANDOM)}
    chosen: list[PairToCheck] = []
    taken: set[tuple[str, frozenset[str]]] = set()
    while len(chosen) < count:
        turn = wanted[len(chosen) % len(wanted)]
        pair = _next(queues[turn], taken)
        if pair is None:
            turn, pair = Strategy.RANDOM, _next(queues[Strategy.RANDOM], taken)
        if pair is None:
            break
        taken.add(_words(pair))
        chosen.append(PairToCheck(pair, turn))
    return chosen


_WORTH: dict[Strategy, Callable[[CheckablePair], float]] = {
    Strategy.DISAGREEMENT: lambda pair: pair.dissent,
    Strategy.LOW_MARGIN: lambda pair: 1 - pair.margin,
    Strategy.HIGH_WEIGHT: lambda pair: pair.weight,
    Strategy.RANDOM: lambda pair: 1,
}


def _queue(shuffled: Sequence[CheckablePair], strategy: Strategy) -> list[CheckablePair]:
    """Return a strategy's pairs, the best last; sorting is stable, so equals stay shuffled."""
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
    """Return the texts that the person compares; two equal answers collapse to one."""
    return pair.prompt_id, frozenset((pair.left.text.strip(), pair.right.text.strip()))
