"""The risks of a cycle and what changed since the last one, for a reader in a hurry."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from rlhf_core.evaluation.exploitation import judges_misled
from rlhf_core.records import Evaluation

LENGTH_CHANGE = 0.25
"""Share by which answers may grow or shrink before the page mentions it."""
UNSCORED_SHARE = 0.02
"""Share of comparisons without an opinion that the page mentions."""


class Change(NamedTuple):
    """A setting that differs from the last cycle's, by its path in the config."""

    path: str
    before: Any
    after: Any


def risks(
    deciding: Evaluation, trained_on: list[Evaluation], alarms: int, length_controlled: float | None
) -> list[str]:
    """Return what speaks against trusting the win rate, in words; empty if nothing does.

    Args:
        deciding: The deciding evaluation.
        trained_on: Evaluations of the same comparisons by the judges that the policy was trained
            on, and by the reward model.
        alarms: Alarms of the guard about the policy.
        length_controlled: Win rate at equal length; None if it is not defined.
    """
    found = []
    if alarms:
        found.append(f"the guard against reward hacking raised {_count(alarms, 'alarm')}")
    for judge in judges_misled(deciding, trained_on):
        found.append(
            f"{judge.judge}, which it was trained on, is sure that it is better, and "
            f"{deciding.judge}, which decides, is not"
        )
    before = deciding.baseline_tokens
    change = deciding.policy_tokens / before - 1 if before else 0.0
    if abs(change) > LENGTH_CHANGE:
        longer = "longer" if change > 0 else "shorter"
        found.append(f"answers are {abs(change):.0%} {longer}{_at_equal_length(length_controlled)}")
    if deciding.unscored > UNSCORED_SHARE * deciding.comparisons:
        found.append(
            f"{deciding.judge} had no opinion on {deciding.unscored} of {deciding.comparisons} "
            "comparisons"
        )
    return found


def changed_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return the settings that differ between two configs, as dumped to JSON.

    Args:
        before: The config of the cycle before.
        after: The config of this cycle.
    """
    old, new = _flat(before), _flat(after)
    return [
        Change(path, old.get(path), new.get(path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]


def _at_equal_length(rate: float | None) -> str:
    return "" if rate is None else f"; at equal length the win rate would be {rate:.1%}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _flat(settings: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return the values of nested settings by their dotted paths; lists stay whole."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        here = f"{path}.{name}" if path else name
        flat |= _flat(value, here) if isinstance(value, Mapping) else {here: value}
    return flat
