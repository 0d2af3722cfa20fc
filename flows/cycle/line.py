"""A policy line: its next cycle, its champion, and whether an edited config continues it.

Cycles, decisions and champion belong to the line's name. After an edit of the config the line
continues from its champion, on the SFT model of that champion. If the edit makes another SFT model,
the champion cannot be continued: nothing runs until the user chooses.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flows.cycle import versions
from flows.cycle.abstention import build_seeder
from flows.cycle.cycle import ended_cycles
from flows.cycle.revision import build_reviser
from judges import Ledger
from rlhf_core.config import Config, default_line
from rlhf_core.errors import ConfigError
from rlhf_core.records import ModelVersion
from rlhf_core.store import Store, champions, line_queries, queries, store_exists

CHANGES_SHOWN = 5
NOTHING = object()


@dataclass(frozen=True)
class Champion:
    """The model that a line continues from, and the SFT model that it stands on."""

    id: str
    cycle: int
    """The cycle that promoted it; 0 for an SFT model that the line was rolled back to."""
    sft: ModelVersion

    def __str__(self) -> str:
        since = f"promoted in cycle {self.cycle}" if self.cycle else "to which it was rolled back"
        return f"{self.id}, {since}"


@dataclass(frozen=True)
class LineState:
    """The state of a line before its next cycle."""

    line: str
    cycle: int
    """Number of the next cycle."""
    champion: Champion | None
    is_restarted: bool
    """True if the config gives up the champion for a new SFT model."""
    others: tuple[str, ...]
    """Other lines of the store; empty unless this line is new in it."""

    def __str__(self) -> str:
        text = f"line {self.line}: cycle {self.cycle}"
        if self.champion is None:
            text += ", from the SFT model"
        elif self.is_restarted:
            text += f", from a new SFT model; gives up {self.champion.id}"
        else:
            text += f", from {self.champion}"
        if self.others:
            text += (
                f"; new in this store, which also holds {', '.join(self.others)} (to continue one "
                "of them, set `name`)"
            )
        return text


def check_line(config: Config, source: Path | None = None) -> LineState:
    """Return the state of a line, or refuse to continue it, before anything runs.

    Args:
        config: Config of the line.
        source: File that the config was read from.

    Raises:
        ConfigError: If another config file has the same name in this store, or the config makes
            another SFT model than the champion's and does not give up the champion.
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
        reviser = build_reviser(config.revision, Ledger()).version if config.revision else None
        is_restarted = not continues(config, champion, reviser)
    known = [row["line"] for row in store.query("SELECT DISTINCT line FROM cycle_runs ORDER BY 1")]
    others = () if config.name in known else tuple(known)
    return LineState(config.name, cycle, champion, is_restarted, others)


def champion_before(store: Store, line: str, cycle: int) -> Champion | None:
    """Return the champion of a line before a cycle, on any SFT model.

    Args:
        store: Store with the line's decisions.
        line: Name of the line.
        cycle: Number of the cycle.

    Returns:
        The champion, which is an SFT model after a rollback to it; None if nothing was promoted.
    """
    policy = champions.champion(store, line, cycle)
    if policy is not None:
        sft = line_queries.sft_behind(store, policy.policy_id)
        return Champion(policy.policy_id, policy.cycle, sft) if sft else None
    former = [each for each in champions.rollbacks_of(store, line) if each.after_cycle < cycle]
    sft = line_queries.model(store, former[-1].to_id) if former else None
    return Champion(sft.id, 0, sft) if sft else None


def continues(config: Config, champion: Champion, reviser: str | None) -> bool:
    """Return True if a config continues from its line's champion, False if it gives it up.

    Prompts and seed do not matter: the line keeps its SFT model when they change.

    Args:
        config: Config of the line.
        champion: Champion of the line.
        reviser: Version of the reviser; None without revision.

    Raises:
        ConfigError: If the config makes another SFT model and does not give up the champion.
    """
    wanted = _sft_with_seed(config, champion.sft.seed, reviser)
    changes = [
        *(
            [f"policy.model {champion.sft.base} → {wanted.base}"]
            * (wanted.base != champion.sft.base)
        ),
        *_changes(_comparable_recipe(champion.sft), _comparable_recipe(wanted)),
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
        "change; or set `name` to begin another line; or, to continue this line from a new SFT "
        f"model, set abandoned_champion: {champion.id}"
    )


def current_sft(
    config: Config, store: Store, cycle: int, reviser: str | None, seeder: str | None
) -> ModelVersion:
    """Return the SFT model of a line that depends on nothing retracted, trained already or not.

    Args:
        config: Config of the line.
        store: Store with the line's history.
        cycle: Number of the cycle that starts from the model.
        reviser: Version of the reviser; None without revision.
        seeder: Name of the seeder of abstentions; None without abstentions.

    Raises:
        ConfigError: If the config makes another SFT model than the champion's and does not give up
            the champion.
    """
    champion = champion_before(store, config.name, cycle)
    if champion is not None and continues(config, champion, reviser):
        kept = _without_retracted(
            store, lambda left_out: versions.leave_out(champion.sft, left_out)
        )
        if line_queries.model(store, kept.id) is not None:
            return kept
    return _without_retracted(
        store, lambda left_out: versions.sft(config, reviser, seeder, left_out)
    )


def _without_retracted(
    store: Store, version_of: Callable[[Sequence[tuple[str, str]]], ModelVersion]
) -> ModelVersion:
    """Return the first of a chain of models that depends on nothing retracted.

    Each model of the chain leaves out the retracted inputs of the ones before it. After a
    retraction is withdrawn, the model that learnt from that input is valid again.
    """
    left_out: set[tuple[str, str]] = set()
    while True:
        version = version_of(sorted(left_out))
        retracted = set(queries.retracted_under(store, version.id))
        if retracted <= left_out:
            return version
        left_out |= retracted


def _sft_with_seed(config: Config, seed: int, reviser: str | None) -> ModelVersion:
    """Return the SFT model that the config would make with that seed."""
    seeded = config.model_copy(update={"seed": seed})
    seeder = build_seeder(seeded)
    return versions.sft(seeded, reviser, seeder.name if seeder else None)


def _comparable_recipe(version: ModelVersion) -> dict[str, Any]:
    """Return the parts of a recipe that must not change while a champion is continued."""
    recipe = json.loads(version.recipe)
    return {key: recipe[key] for key in recipe if key != versions.PROMPTS}


def _changes(former: Any, present: Any, at: str = "") -> list[str]:
    """List the differences of two trees, each as in `sft.epochs 1 → 2`."""
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
    """Refuse a second config file of the same name: in one store, a line is the history of one."""
    here = source.resolve()
    for run in line_queries.cycle_runs_of(store, config.name):
        other = Path(run.source)
        if run.source and other != here and _line_of(other) == config.name:
            raise ConfigError(
                f"the name {config.name!r} is also that of {other}, whose line is in "
                f"{config.store}: give {source} a `name` of its own, or another store"
            )


def _line_of(path: Path) -> str | None:
    """Return the name of the line of a config file; None if the file is gone or unreadable."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    named = tree.get("name") if isinstance(tree, dict) else None
    return str(named) if named is not None else default_line(path)
