"""The retention of a line: `solon gc` removes files of old cycles that no kept champion needs.

Kept are all files of the last `keep_cycles` ended cycles and of the cycle under way; the champion
and the policy promoted before it, with what they rest on; the models that any other line of the
store uses, that judges call, or that a config names. Files that the store does not know stay too.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from flows.cycle.cycle import cycle_of, ended_cycles, new_run_id
from flows.keeping.lock import keeping
from flows.keeping.sizes import bytes_of
from rlhf_core.config import Config
from rlhf_core.files.whole import UNFINISHED, remove_whole, sweep
from rlhf_core.identity import login_name
from rlhf_core.records import ArtifactRemoval, ModelKind
from rlhf_core.store import Store
from rlhf_core.store.retention import RetentionFacts, drop_rollout_texts, rollout_bytes

MODELS, CURVES, REPORTS = "models", "tensorboard", "reports"


class Kind(StrEnum):
    """Kinds of what a cycle leaves behind."""

    MODEL = "model"
    CHECKPOINT = "checkpoint"
    CURVES = "curves"
    REPORT = "report"
    ROLLOUTS = "rollouts"


@dataclass(frozen=True)
class Artifact:
    """A file or folder, or the texts of a policy's rollouts, and the cycle that made it."""

    kind: Kind
    name: str
    """Path in the artifacts; the policy's id for rollouts."""
    model_id: str | None
    cycle: int
    bytes: int


@dataclass(frozen=True)
class RetentionPlan:
    """The artifacts that a retention keeps and removes of a line."""

    line: str
    keep_cycles: int | None
    ended: int
    """Number of ended cycles."""
    kept: tuple[Artifact, ...]
    removed: tuple[Artifact, ...]
    others: tuple[str, ...]
    """Names of files that no cycle of this line made; they stay."""


def plan_retention(config: Config) -> RetentionPlan:
    """Return what the retention of a line keeps and removes now; change nothing."""
    return _Retention(config).plan()


def apply_retention(config: Config) -> RetentionPlan:
    """Remove what the retention of a line does not keep; each removal is first a fact.

    A file or folder leaves its name at once, and a kill leaves none in part.

    Returns:
        The plan, as it was carried out.

    Raises:
        StoreBusyError: If a backup or another removal runs.
    """
    with keeping(config.artifacts):
        for folder in (MODELS, CURVES, f"{REPORTS}/{config.name}"):
            sweep(config.artifacts / folder)
        retention = _Retention(config)
        plan, removal = retention.plan(), new_run_id()
        for artifact in plan.removed:
            retention.store.append([_fact(plan, artifact, removal)])
            if artifact.kind is not Kind.ROLLOUTS:
                remove_whole(config.artifacts / artifact.name)
        policies = [each.name for each in plan.removed if each.kind is Kind.ROLLOUTS]
        if policies:
            drop_rollout_texts(retention.store, policies)
        else:
            retention.store.publish()
    return plan


def _fact(plan: RetentionPlan, artifact: Artifact, removal: str) -> ArtifactRemoval:
    assert plan.keep_cycles is not None, "without a limit nothing is removed"
    return ArtifactRemoval(
        kind=artifact.kind,
        name=artifact.name,
        model_id=artifact.model_id,
        line=plan.line,
        cycle=artifact.cycle,
        keep_cycles=plan.keep_cycles,
        bytes=artifact.bytes,
        removed_by=login_name(),
        removal=removal,
    )


class _Retention:
    """The files of one line, and the models that must stay.

    Args:
        config: Config of the line.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.store = config, Store(config.store)
        self.settings = config.service.retention
        self.facts = RetentionFacts(self.store)
        self.ended = ended_cycles(config)
        keep = self.settings.keep_cycles
        self.oldest = 1 if keep is None else max(1, self.ended - keep + 1)
        """The oldest cycle of which everything is kept."""
        self.began = self.facts.began(config.name, self.ended + 1)
        self.needed = self._needed()

    def plan(self) -> RetentionPlan:
        kept, removed, others = [], [], []
        for artifact, is_removable in self._artifacts():
            if artifact.cycle == 0:
                others.append(artifact.name)
            elif is_removable and artifact.cycle < self.oldest:
                removed.append(artifact)
            else:
                kept.append(artifact)
        return RetentionPlan(
            self.config.name,
            self.settings.keep_cycles,
            self.ended,
            tuple(kept),
            tuple(removed),
            tuple(others),
        )

    def _needed(self) -> set[str]:
        """Return the models whose files must stay, whatever cycle made them."""
        facts, line = self.facts, self.config.name
        others = [other for other in facts.lines() if other != line]
        champions = {each for name in (line, *others) for each in facts.champions(name)}
        recent = {
            use.model_id for use in facts.uses if use.line == line and use.cycle >= self.oldest
        }
        elsewhere = {use.model_id for use in facts.uses if use.line != line}
        named = facts.named_in([json.dumps(self.config.model_dump(mode="json"))])
        needed = facts.to_load({*champions, *recent, *elsewhere, *facts.judges(), *named})
        if self.settings.keep_lineage:
            return needed | facts.behind(champions)
        return needed | facts.rewarding(champions)

    def _artifacts(self) -> Iterator[tuple[Artifact, bool]]:
        """Yield what is there of this line, and whether its age alone keeps it."""
        yield from self._model_folders()
        yield from self._curves()
        yield from self._reports()
        for model_id, size in rollout_bytes(self.store).items():
            if cycle := self._cycle_of(model_id):
                artifact = Artifact(Kind.ROLLOUTS, model_id, model_id, cycle, size)
                yield artifact, model_id not in self.needed

    def _model_folders(self) -> Iterator[tuple[Artifact, bool]]:
        unfinished = self.facts.unfinished()
        for path in _entries(self.config.artifacts / MODELS):
            name, model_id = f"{MODELS}/{path.name}", path.name
            kind, is_removable = Kind.MODEL, model_id not in self.needed
            cycle = self._cycle_of(model_id)
            if path.name.startswith(".") and path.name.endswith(".training"):
                kind, model_id = Kind.CHECKPOINT, path.name[1 : -len(".training")]
                line, last = unfinished.get(model_id, ("", 0))
                cycle = last if line == self.config.name else self._cycle_of(model_id)
                is_removable = True  # no later cycle resumes it
            known = model_id if model_id in self.facts.models else None
            artifact = Artifact(kind, name, known, cycle, bytes_of(path))
            yield artifact, is_removable and not self._is_new(path)

    def _curves(self) -> Iterator[tuple[Artifact, bool]]:
        for path in _entries(self.config.artifacts / CURVES):
            model_id = path.name.rpartition("-cycle-")[2].partition("-")[2]
            cycle = self._cycle_of(model_id)
            if cycle and path.name == f"{self.config.name}-cycle-{cycle}-{model_id}":
                name = f"{CURVES}/{path.name}"
                artifact = Artifact(Kind.CURVES, name, model_id, cycle, bytes_of(path))
                yield artifact, model_id not in self.needed

    def _reports(self) -> Iterator[tuple[Artifact, bool]]:
        promoted = {
            model.cycle
            for model in self.facts.models.values()
            if model.id in self.needed
            and model.line == self.config.name
            and model.kind == ModelKind.POLICY
        }
        for cycle in range(1, self.ended + 1):
            path = cycle_of(self.config, cycle).report_path
            if path.is_file():
                name = str(path.relative_to(self.config.artifacts))
                artifact = Artifact(Kind.REPORT, name, None, cycle, bytes_of(path))
                yield artifact, cycle not in promoted

    def _cycle_of(self, model_id: str) -> int:
        """Return the cycle of this line that made a model; 0 if none did."""
        model = self.facts.models.get(model_id)
        if model is None or model.line != self.config.name:
            return 0
        return model.cycle or 0

    def _is_new(self, path: Path) -> bool:
        """Return True if the cycle under way may have written a folder."""
        if self.began is None:
            return False
        try:
            return datetime.fromtimestamp(path.stat().st_mtime, UTC) >= self.began
        except FileNotFoundError:  # that cycle has just replaced or removed it
            return True


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not UNFINISHED.fullmatch(path.name))
