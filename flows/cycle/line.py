"""A policy line: where it stands, and whether what its config makes now continues it.

Cycles, decisions and champion hang on the line's name. An edit of the config continues the line
from its champion, on the SFT model that the champion stands on. Only where the edit makes another
SFT model can the champion not be continued: then the user chooses, and nothing runs before.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flows.cycle import versions
from flows.cycle.abstention import open_seeder
from flows.cycle.cycle import ended_cycles
from flows.cycle.revision import open_reviser
from judges import Ledger
from rlhf_core.config import Config, default_line
from rlhf_core.errors import ConfigError
from rlhf_core.records import ModelVersion
from rlhf_core.store import Store, queries, store_exists

CHANGES_SHOWN = 5
NOTHING = object()


@dataclass(frozen=True)
class Champion:
    """The policy that a line promoted last, and the SFT model that it stands on."""

    id: str
    cycle: int
    sft: ModelVersion


@dataclass(frozen=True)
class LineState:
    """Where a line stands before its next cycle."""

    line: str
    cycle: int
    """Number of the next cycle."""
    champion: Champion | None
    is_restarted: bool
    """Whether the config gives its champion up for a new SFT model."""
    others: tuple[str, ...]
    """Lines of the same store, where this one is new there."""

    def __str__(self) -> str:
        said = f"line {self.line}: cycle {self.cycle}"
        if self.champion is None:
            said += ", from the SFT model"
        elif self.is_restarted:
            said += f", from a new SFT model; gives up {self.champion.id}"
        else:
            said += f", from {self.champion.id}, promoted in cycle {self.champion.cycle}"
        if self.others:
            said += (
                f"; new in this store, which also holds {', '.join(self.others)} (to continue one "
                "of them, set `name`)"
            )
        return said


def check_line(config: Config, source: Path | None = None) -> LineState:
    """Say where a line stands, or refuse to continue it; before anything runs.

    Args:
        config: Of the line.
        source: The file that it was read from.

    Raises:
        ConfigError: If another config file has the same name in this store, or the config makes
            another SFT model than the champion's and does not give the champion up.
    """
    if not store_exists(config.store):
        return LineState(config.name, 1, None, False, ())
    store = Store(config.store)
    if source is not None:
        _refuse_other_source(store, config, source)
    cycle = ended_cycles(config) + 1
    champion = champion_before(store, config.name, cycle)
    is_restarted = False
    if champion is not None:
        reviser = open_reviser(config.revision, Ledger()).version if config.revision else None
        is_restarted = not continues(config, champion, reviser)
    known = [row["line"] for row in store.query("SELECT DISTINCT line FROM cycle_runs ORDER BY 1")]
    others = () if config.name in known else tuple(known)
    return LineState(config.name, cycle, champion, is_restarted, others)


def champion_before(store: Store, line: str, cycle: int) -> Champion | None:
    """Return the policy that a line promoted last before a cycle, on whatever SFT model."""
    promotions = queries.promotions_of(store, line)
    won = [n for n, promotion in promotions.items() if n < cycle and promotion.promoted]
    if not won:
        return None
    policy_id = promotions[max(won)].policy_id
    sft = queries.sft_behind(store, policy_id)
    return Champion(policy_id, max(won), sft) if sft else None


def continues(config: Config, champion: Champion, reviser: str | None) -> bool:
    """Return whether a config continues from a line's champion; False where it gives it up.

    Prompts and seed do not matter: the line's SFT model stays where they change.

    Args:
        config: Of the line.
        champion: Of the line.
        reviser: Version of the model that revises, if any.

    Raises:
        ConfigError: If it makes another SFT model, and does not say that the champion is given up.
    """
    wanted = _as_seeded(config, champion.sft.seed, reviser)
    changes = [
        *(
            [f"policy.model {champion.sft.base} → {wanted.base}"]
            * (wanted.base != champion.sft.base)
        ),
        *_changes(_compared(champion.sft), _compared(wanted)),
    ]
    if not changes:
        return True
    given_up = config.abandoned_champion
    if given_up and champion.id.startswith(given_up):
        return False
    more = f" and {len(changes) - CHANGES_SHOWN} more" if len(changes) > CHANGES_SHOWN else ""
    raise ConfigError(
        f"line {config.name}: its champion {champion.id} (cycle {champion.cycle}) stands on the "
        f"SFT model {champion.sft.id}, and this config makes another one "
        f"({'; '.join(changes[:CHANGES_SHOWN])}{more}), on which it cannot be continued. Undo the "
        "change; or set `name` to begin another line; or, to go on in this line from a new SFT "
        f"model, set abandoned_champion: {champion.id}"
    )


def standing_sft(
    config: Config, store: Store, cycle: int, reviser: str | None, seeder: str | None
) -> ModelVersion:
    """Return the SFT model of a line that rests on nothing retracted, made already or not.

    Args:
        config: Of the line.
        store: Holds its history.
        cycle: Which cycle stands on it.
        reviser: Version of the model that revises, if any.
        seeder: Name of what seeds abstentions, if anything does.

    Raises:
        ConfigError: As `continues`.
    """
    champion = champion_before(store, config.name, cycle)
    if champion is not None and continues(config, champion, reviser):
        kept = _untainted(store, lambda left_out: versions.again(champion.sft, left_out))
        if queries.model(store, kept.id) is not None:
            return kept
    return _untainted(store, lambda left_out: versions.sft(config, reviser, seeder, left_out))


def _untainted(
    store: Store, version_of: Callable[[Sequence[tuple[str, str]]], ModelVersion]
) -> ModelVersion:
    """Each of a chain of models leaves out what made the ones before it useless.

    Once a retraction is withdrawn, the one that learnt from it is good again.
    """
    left_out: set[tuple[str, str]] = set()
    while True:
        version = version_of(sorted(left_out))
        found = set(queries.retracted_under(store, version.id))
        if found <= left_out:
            return version
        left_out |= found


def _as_seeded(config: Config, seed: int, reviser: str | None) -> ModelVersion:
    """The SFT model that the config would make with that seed."""
    seeded = config.model_copy(update={"seed": seed})
    seeder = open_seeder(seeded)
    return versions.sft(seeded, reviser, seeder.name if seeder else None)


def _compared(version: ModelVersion) -> dict[str, Any]:
    recipe = json.loads(version.recipe)
    return {key: recipe[key] for key in recipe if key != versions.PROMPTS}


def _changes(former: Any, present: Any, at: str = "") -> list[str]:
    """What differs between two trees, as `sft.epochs 1 → 2`."""
    if isinstance(former, Mapping) and isinstance(present, Mapping):
        return [
            line
            for key in sorted({*former, *present})
            for line in _changes(
                former.get(key, NOTHING), present.get(key, NOTHING), f"{at}.{key}" if at else key
            )
        ]
    if former == present:
        return []
    shown = ["nothing" if side is NOTHING else json.dumps(side) for side in (former, present)]
    return [f"{at} {shown[0]} → {shown[1]}"]


def _refuse_other_source(store: Store, config: Config, source: Path) -> None:
    """In one store, one line is one history: of one config file."""
    here = source.resolve()
    for run in queries.cycle_runs_of(store, config.name):
        other = Path(run.source)
        if run.source and other != here and _line_of(other) == config.name:
            raise ConfigError(
                f"the name {config.name!r} is also that of {other}, whose line is in "
                f"{config.store}: give {source} a `name` of its own, or another store"
            )


def _line_of(path: Path) -> str | None:
    """The line's name that a config file gives; None where there is no such file any more."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    named = tree.get("name") if isinstance(tree, dict) else None
    return str(named) if named is not None else default_line(path)
