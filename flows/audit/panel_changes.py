"""The panel of a config, and the same panel with judges swapped, dropped or weighted anew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from judges.panel.panel import Panelist
from rlhf_core.config import Config
from rlhf_core.config.judge import DEFAULT_SCALE
from rlhf_core.errors import ConfigError
from rlhf_core.preferences.votes import Combination
from rlhf_core.records import Mode
from rlhf_core.store import Snapshot
from rlhf_core.store.audit.counterfactual import known_judges, spending, versions_of


@dataclass(frozen=True)
class PanelMember:
    """A judge version on the panel, with its weight and modes."""

    judge: str
    version: str
    weight: float
    modes: tuple[Mode, ...]
    is_pairwise: bool
    scale: float = DEFAULT_SCALE


@dataclass(frozen=True)
class PanelChanges:
    """Changes of the config's panel as the command line writes them: A=B, JUDGE, JUDGE=0.5."""

    swaps: Sequence[str] = ()
    drops: Sequence[str] = ()
    weights: Sequence[str] = ()


def panel_of(config: Config) -> list[PanelMember]:
    """Return the panel of a config."""
    return [
        PanelMember(
            panelist.settings.name,
            panelist.version,
            panelist.settings.weight,
            panelist.settings.modes,
            panelist.is_pairwise,
            panelist.settings.scale,
        )
        for panelist in (Panelist(settings) for settings in config.judges)
    ]


def combination_of(members: Sequence[PanelMember], config: Config) -> Combination:
    judges = [(member.version, member.weight, member.scale) for member in members]
    return Combination.of(judges, config.preferences.tie_margin, config.preferences.missing)


def apply_changes(
    members: Sequence[PanelMember], changes: PanelChanges, snapshot: Snapshot
) -> list[PanelMember]:
    """Return the panel after all changes.

    A judge that is swapped in takes over weight and modes, and keeps its own scale, or the default
    scale if the config does not name it. If it was on the panel already, its former place goes.

    Args:
        members: The panel of the config.
        changes: Swaps, drops and weights.
        snapshot: Store with the judges that can be swapped in.

    Raises:
        ConfigError: If a change is malformed, names no judge of the config, or leaves no judge to
            decide; if the judge to swap in is not in the store, or has several versions.
    """
    if not (changes.swaps or changes.drops or changes.weights):
        raise ConfigError("name a change: --swap A=B, --drop JUDGE or --weight JUDGE=0.5")
    by_name = {member.judge: member for member in members}
    for word in changes.weights:
        name, value = _split_option(word, "--weight", "JUDGE=0.5")
        member = by_name[_member(by_name, name)]
        by_name[name] = replace(member, weight=_weight(value))
    for name in changes.drops:
        del by_name[_member(by_name, name)]
    panel = dict(by_name)
    for word in changes.swaps:
        name, other = _split_option(word, "--swap", "A=B")
        member = by_name[_member(by_name, name)]
        panel[name] = _swapped_in(member, other, members, snapshot)
    moved = {panel[name].version for name in panel if panel[name] is not by_name[name]}
    kept = [
        member
        for name, member in panel.items()
        if member is not by_name[name] or member.version not in moved
    ]
    if not any(member.weight > 0 for member in kept):
        raise ConfigError("no judge with a weight above 0 would be left to decide")
    return kept


def _swapped_in(
    member: PanelMember, other: str, members: Sequence[PanelMember], snapshot: Snapshot
) -> PanelMember:
    for other_member in members:
        if other in (other_member.judge, other_member.version):
            return replace(
                member,
                judge=other_member.judge,
                version=other_member.version,
                is_pairwise=other_member.is_pairwise,
                scale=other_member.scale,
            )
    versions = versions_of(snapshot, other)
    if not versions:
        known = ", ".join(known_judges(snapshot))
        raise ConfigError(f"no judgement by {other!r} in the store; it has those of {known}")
    if len(versions) > 1:
        raise ConfigError(f"{other!r} judged in several versions; name one: {', '.join(versions)}")
    (version,) = versions
    is_pairwise = spending(snapshot, version).is_pairwise
    return replace(
        member, judge=other, version=version, is_pairwise=is_pairwise, scale=DEFAULT_SCALE
    )


def _member(by_name: dict[str, PanelMember], name: str) -> str:
    if name not in by_name:
        raise ConfigError(f"no judge {name!r} on the panel; it has {', '.join(by_name) or 'none'}")
    return name


def _split_option(word: str, option: str, wanted: str) -> tuple[str, str]:
    name, sign, value = word.partition("=")
    if not (name and sign and value):
        raise ConfigError(f"{option} {word}: write {option} {wanted}")
    return name, value


def _weight(value: str) -> float:
    try:
        weight = float(value)
    except ValueError:
        weight = -1.0
    if not 0 <= weight < float("inf"):
        raise ConfigError(f"--weight: {value!r} is no weight; write a number of at least 0")
    return weight
