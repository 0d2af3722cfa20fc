"""What a fact came from, and what came of it, as a tree with counts and samples.

Groups of rows are counted, with a few ids of each; models are followed one by one, and each of them
is told in full where it comes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlhf_core.errors import IdError
from rlhf_core.store._lineage_steps import DOWN, MINE, UP, Step
from rlhf_core.store.audit import Snapshot

LISTED = 10
"""How many of several things that an id may mean are named."""
TAINTED = {
    "rankings": "SELECT ranking_id FROM tainted_rankings",
    "pairs": "SELECT pair_id FROM tainted_pairs",
    "judgements": "SELECT judgement_id FROM retracted_judgements",
    "candidates": "SELECT subject_id FROM retracted WHERE subject_table = 'candidates'",
    "prompts": "SELECT subject_id FROM retracted WHERE subject_table = 'prompts'",
    "judge_versions": "SELECT subject_id FROM retracted WHERE subject_table = 'judge_versions'",
    "models": "SELECT model_id FROM tainted_models",
}
"""Ids of a table's rows that are retracted, or rest on something that is."""
JUDGE_VERSIONS = (
    "SELECT judge_version AS id FROM judgements WHERE judge <> 'proxy' "
    "UNION SELECT judge_version FROM model_judges WHERE role = 'reward'"
)
"""Without reward models, which are models."""


@dataclass(frozen=True)
class Subject:
    """What an id means."""

    table: str
    """Where the row is; judge_versions for a judge's version, which has no row."""
    id: str


@dataclass(frozen=True)
class Branch:
    """Some rows of one table that stand in one relation to those above them."""

    relation: str
    table: str
    note: str
    """What they have in common: their judge, model, outcome, kind."""
    count: int
    ids: tuple[str, ...]
    """Of the first of them; of a model its one."""
    tainted: int = 0
    """How many are retracted, or rest on something that is."""
    is_repeated: bool = False
    """Whether this model's own branches stand further up."""
    branches: tuple["Branch", ...] = ()


def subject_of(snapshot: Snapshot, wanted: str, tables: Sequence[str] = tuple(MINE)) -> Subject:
    """What an id means, or the beginning of one that only one thing has.

    Args:
        snapshot: Of the store.
        wanted: A row's id, a judge's version, or how it begins.
        tables: Where to look; by default wherever there is lineage.

    Raises:
        IdError: If nothing has it, or several things.
    """
    looks = [
        f"SELECT '{table}' AS name, id FROM ({_ids(table)}) WHERE starts_with(id, $wanted)"
        for table in tables
    ]
    sql = f"SELECT * FROM ({' UNION ALL '.join(looks)}) ORDER BY id <> $wanted, name, id LIMIT $n"
    found = snapshot.ask(sql, {"wanted": wanted, "n": LISTED + 1}).rows if wanted else []
    if not found:
        where = ", ".join(name.replace("_", " ") for name in tables)
        raise IdError(
            f"no id begins with {wanted!r}; looked among {where}. "
            'List some with `solon sql "SELECT id FROM pairs LIMIT 5"`'
        )
    if len(found) > 1 and found[0][1] != wanted:
        named = ", ".join(f"{identity} ({name})" for name, identity in found[:LISTED])
        more = ", and more" if len(found) > LISTED else ""
        raise IdError(f"{wanted!r} begins several ids: {named}{more}; write more of it")
    return Subject(*found[0])


def lineage_up(snapshot: Snapshot, subject: Subject, limit: int = 3) -> tuple[Branch, ...]:
    """What a fact came from, up to base models and prompts; up to `limit` ids of each group."""
    return _Walk(snapshot, UP, "source_id", "model_id", limit).of(subject)


def lineage_down(snapshot: Snapshot, subject: Subject, limit: int = 3) -> tuple[Branch, ...]:
    """What came of a fact, down to the last policy; up to `limit` ids of each group."""
    return _Walk(snapshot, DOWN, "model_id", "source_id", limit).of(subject)


def _ids(table: str) -> str:
    return JUDGE_VERSIONS if table == "judge_versions" else f"SELECT id FROM {table}"


class _Walk:
    """One direction, and the models met on it."""

    def __init__(
        self,
        snapshot: Snapshot,
        steps: dict[str, tuple[Step, ...]],
        following: str,
        standing: str,
        limit: int,
    ) -> None:
        self.snapshot, self.steps, self.limit = snapshot, steps, limit
        self.models_sql = (
            f"SELECT {following}, string_agg(DISTINCT relation, ', ' ORDER BY relation), "
            f"any_value(kind) FROM model_sources JOIN models ON models.id = {following} "
            f"WHERE {standing} = $id GROUP BY {following} ORDER BY min(created_at), {following}"
        )
        self.has_retracted = bool(snapshot.ask("SELECT 1 FROM retracted LIMIT 1").rows)
        self.tainted_models = self._tainted_models()
        self.met: set[str] = set()

    def of(self, subject: Subject) -> tuple[Branch, ...]:
        if subject.table == "models":
            self.met.add(subject.id)
        found: list[Branch] = []
        for step in self.steps[subject.table]:
            found += self._branches(step, MINE[subject.table], subject.id)
        if subject.table == "models":
            found += [
                self._model(model_id, relation, kind)
                for model_id, relation, kind in self._ask(self.models_sql, subject.id)
            ]
        return tuple(found)

    def _branches(self, step: Step, mine: str, identity: str) -> list[Branch]:
        if step.table == "models":
            return self._models(step, mine, identity)
        tainted = "id IN (" + TAINTED[step.table] + ")" if self._is_tainting(step) else "false"
        rows = self._ask(
            f"WITH mine AS ({mine}), found AS ({step.sql}) "
            f"SELECT note, count(*), list(id ORDER BY id)[:$limit], "
            f"count(*) FILTER (is_tainted) FROM (SELECT *, {tainted} AS is_tainted FROM found) "
            "GROUP BY note ORDER BY count(*) DESC, note",
            identity,
            {"limit": self.limit},
        )
        further: tuple[Branch, ...] = ()
        if step.further and rows:
            reached = (
                f"WITH mine AS ({mine}) SELECT * FROM {step.table} "
                f"SEMI JOIN ({step.sql}) AS found USING (id)"
            )
            further = tuple(
                branch for one in step.further for branch in self._branches(one, reached, identity)
            )
        return [
            Branch(step.relation, step.table, note, count, tuple(ids), tainted, branches=further)
            for note, count, ids, tainted in rows
        ]

    def _models(self, step: Step, mine: str, identity: str) -> list[Branch]:
        sql = (
            f"WITH mine AS ({mine}), found AS ({step.sql}) "
            "SELECT id, any_value(kind) FROM found LEFT JOIN models USING (id) "
            "GROUP BY id ORDER BY min(created_at), id"
        )
        return [
            self._model(model_id, step.relation, kind or "not in this store")
            for model_id, kind in self._ask(sql, identity)
        ]

    def _model(self, model_id: str, relation: str, kind: str) -> Branch:
        is_repeated = model_id in self.met
        branches = () if is_repeated else self.of(Subject("models", model_id))
        tainted = self.tainted_models.get(model_id, 0)
        return Branch(relation, "models", kind, 1, (model_id,), tainted, is_repeated, branches)

    def _tainted_models(self) -> dict[str, int]:
        if not self.has_retracted:
            return {}
        return {model_id: 1 for (model_id,) in self.snapshot.ask(TAINTED["models"]).rows}

    def _is_tainting(self, step: Step) -> bool:
        return self.has_retracted and step.table in TAINTED

    def _ask(
        self, sql: str, identity: str, values: dict[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        return self.snapshot.ask(sql, {"id": identity, **(values or {})}).rows
