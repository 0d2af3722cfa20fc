"""The lineage of a fact, up or down, as a tree with counts and samples.

Groups of rows are counted for all models at once, with a few ids of each group. Models, which are
few, then get a branch each, with all its own branches where it first appears.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlhf_core.store.ids import LISTED, match_id
from rlhf_core.store.lineage.relations import ALL_BEHIND, DOWN, MINE, MODELS, UP
from rlhf_core.store.lineage.steps import USED, WITH_JUDGEMENTS, Step
from rlhf_core.store.snapshot import Snapshot

TAINTED = {
    "rankings": "SELECT ranking_id FROM tainted_rankings",
    "pairs": "SELECT pair_id FROM tainted_pairs",
    "judgements": "SELECT judgement_id FROM retracted_judgements",
    "candidates": "SELECT subject_id FROM retracted WHERE subject_table = 'candidates'",
    "prompts": "SELECT subject_id FROM retracted WHERE subject_table = 'prompts'",
    "judge_versions": "SELECT subject_id FROM retracted WHERE subject_table = 'judge_versions'",
}
"""Ids of a table's rows that are retracted, or rest on something that is."""
TAINTED_ROWS = "SELECT model_id, own_rows + inherited_rows FROM tainted_models"
EDGES = (
    "SELECT model_id, source_id, relation FROM model_sources "
    "JOIN models ON models.id = model_id ORDER BY created_at, model_id, source_id"
)
MADE = (
    "SELECT model_id, concat_ws(', ', 'line ' || line, 'cycle ' || cycle, "
    "strftime(created_at, '%Y-%m-%d')) FROM model_runs"
)
JUDGE_VERSIONS = (
    "SELECT judge_version AS id FROM judgements WHERE judge <> 'proxy' "
    "UNION SELECT judge_version FROM model_judges WHERE role = 'reward'"
)
"""Judge versions, without reward models, which count as models."""


@dataclass(frozen=True)
class Subject:
    """The fact that an id identifies."""

    table: str
    """Table of the row; judge_versions for a judge's version, which has no row."""
    id: str


@dataclass(frozen=True)
class Branch:
    """Rows of one table that have one relation to the branch above."""

    relation: str
    table: str
    note: str
    """The judge, model, outcome or kind that the rows share."""
    count: int
    ids: tuple[str, ...]
    """Ids of the first rows; a model's own id."""
    tainted: int = 0
    """Number of rows that are retracted or rest on something retracted. For a model, the number
    among the rows that it and those behind it learnt from; its branches do not count them."""
    made: str = ""
    """Line and cycle in which a model was made, and the date; empty for other rows."""
    is_repeated: bool = False
    """True if this model's own branches are shown further up."""
    branches: tuple["Branch", ...] = ()


def subject_of(snapshot: Snapshot, wanted: str, tables: Sequence[str] = tuple(MINE)) -> Subject:
    """Return the fact that an id, or the beginning of one, identifies.

    Args:
        snapshot: The store's snapshot.
        wanted: A row's id, a judge's version, or the beginning of either.
        tables: Tables to search; by default all that have lineage.

    Returns:
        The fact's table and its whole id.

    Raises:
        IdError: If nothing or several things match.
    """
    looks = [
        f"SELECT '{table}' AS name, id FROM ({_ids(table)}) WHERE starts_with(id, $wanted)"
        for table in tables
    ]
    sql = f"SELECT * FROM ({' UNION ALL '.join(looks)}) ORDER BY id <> $wanted, name, id LIMIT $n"
    matches = snapshot.query(sql, {"wanted": wanted, "n": LISTED + 1}).rows if wanted else []
    where = "among " + ", ".join(name.replace("_", " ") for name in tables)
    hint = 'List some with `solon sql "SELECT id FROM pairs LIMIT 5"`'
    return Subject(*match_id(wanted, matches, where, hint))


def anything_retracted(snapshot: Snapshot) -> bool:
    """Return True if anything is retracted; finding what rests on it reads whole tables."""
    return bool(snapshot.query("SELECT 1 FROM retracted LIMIT 1").rows)


def lineage_up(snapshot: Snapshot, subject: Subject, limit: int = 3) -> tuple[Branch, ...]:
    """Return what a fact came from, up to base models and prompts.

    The last branch counts the rankings of all models together, with what is behind them.

    Args:
        snapshot: The store's snapshot.
        subject: The fact.
        limit: Most ids of each group.
    """
    walk = _Walk(snapshot, UP, limit)
    for model_id, source_id, relation in snapshot.query(EDGES).rows:
        walk.edges.setdefault(model_id, []).append((source_id, relation))
    branches = walk.branches_of(subject)
    return (*branches, *walk.all_rankings()) if walk.visited else branches


def lineage_down(snapshot: Snapshot, subject: Subject, limit: int = 3) -> tuple[Branch, ...]:
    """Return what came of a fact, down to the last policy.

    Args:
        snapshot: The store's snapshot.
        subject: The fact.
        limit: Most ids of each group.
    """
    walk = _Walk(snapshot, DOWN, limit)
    for model_id, source_id, relation in snapshot.query(EDGES).rows:
        walk.edges.setdefault(source_id, []).append((model_id, relation))
    return walk.branches_of(subject)


def _ids(table: str) -> str:
    return JUDGE_VERSIONS if table == "judge_versions" else f"SELECT id FROM {table}"


class _Walk:
    """A walk in one direction, and the models that it has visited."""

    def __init__(self, snapshot: Snapshot, steps: dict[str, tuple[Step, ...]], limit: int) -> None:
        self.snapshot, self.steps, self.limit = snapshot, steps, limit
        self.edges: dict[str, list[tuple[str, str]]] = {}
        self.kinds = dict(snapshot.query("SELECT id, kind FROM models").rows)
        self.made: dict[str, str] = dict(snapshot.query(MADE).rows)
        self.has_retracted = anything_retracted(snapshot)
        tainted = snapshot.query(TAINTED_ROWS).rows if self.has_retracted else []
        self.tainted_rows: dict[str, int] = dict(tainted)
        self.visited: set[str] = set()
        self.known: dict[str, list[Branch]] = {}
        """The branches of each model, without those that are models."""

    def branches_of(self, subject: Subject) -> tuple[Branch, ...]:
        """Return the branches of the subject."""
        if subject.table == "models":
            self._learn([subject.id])
            return self._of_model(subject.id)
        mine, values = MINE[subject.table], {"id": subject.id}
        branches: list[Branch] = []
        for step in self.steps[subject.table]:
            if step.table == "models":
                branches += self._models(step, mine, values)
            else:
                branches += self._branches(
                    [step], subject.table, mine, values, counts_tainted=self.has_retracted
                )
        return tuple(branches)

    def all_rankings(self) -> list[Branch]:
        """Return the rankings of all visited models, with what is behind them."""
        values = {"models": sorted(self.visited)}
        return self._branches(
            [ALL_BEHIND], "models", "SELECT 1", values, counts_tainted=self.has_retracted
        )

    def _learn(self, models: Sequence[str]) -> None:
        """Query the branches of some models, and of all models they lead to, step by step."""
        new, ahead = set[str](), [model for model in models if model not in self.known]
        while ahead:
            new.add(model := ahead.pop())
            ahead += [other for other, _ in self.edges.get(model, ()) if other not in new]
        new -= set(self.known)
        self.known |= {model: [] for model in new}
        for step in self.steps["models"]:
            sql = (
                f"WITH mine AS ({MODELS}) SELECT model_id, note, count(*), min(id, $limit) "
                f"FROM ({step.sql}) GROUP BY model_id, note ORDER BY count(*) DESC, note"
            )
            values = {"models": sorted(new), "limit": max(self.limit, 1)}
            for model, note, count, ids in self.snapshot.query(sql, values).rows:
                further: tuple[Branch, ...] = ()
                if step.further:
                    further = self._further(step, "models", MINE["models"], {"id": model}, False)
                self.known[model].append(
                    Branch(
                        step.relation,
                        step.table,
                        note,
                        count,
                        tuple(ids[: self.limit]),
                        branches=further,
                    )
                )

    def _of_model(self, model_id: str) -> tuple[Branch, ...]:
        self.visited.add(model_id)
        branches = list(self.known[model_id])
        relations: dict[str, list[str]] = {}
        for other, relation in sorted(self.edges.get(model_id, ()), key=lambda edge: edge[1]):
            relations.setdefault(other, []).append(relation)
        branches += [self._model(other, ", ".join(names)) for other, names in relations.items()]
        return tuple(branches)

    def _models(self, step: Step, mine: str, values: dict[str, Any]) -> list[Branch]:
        sql = (
            f"WITH mine AS ({mine}), found AS ({step.sql}) "
            "SELECT id FROM found LEFT JOIN models USING (id) GROUP BY id "
            "ORDER BY min(created_at), id"
        )
        models = [row[0] for row in self.snapshot.query(sql, values).rows]
        self._learn(models)
        return [self._model(model, step.relation) for model in models]

    def _model(self, model_id: str, relation: str) -> Branch:
        kind, tainted = self.kinds.get(model_id, ""), self.tainted_rows.get(model_id, 0)
        is_repeated = model_id in self.visited
        branches = () if is_repeated else self._of_model(model_id)
        made = self.made.get(model_id, "")
        return Branch(
            relation, "models", kind, 1, (model_id,), tainted, made, is_repeated, branches
        )

    def _branches(
        self,
        steps: Sequence[Step],
        table: str,
        mine: str,
        values: dict[str, Any],
        counts_tainted: bool,
    ) -> list[Branch]:
        """Return the branches that some steps from the same rows lead to, by one query."""
        found = " UNION ALL ".join(
            f"SELECT {place} AS place, note, count(*) AS count, min(id, $limit) AS ids, "
            f"count(*) FILTER ({_is_tainted(step, counts_tainted)}) AS tainted "
            f"FROM ({step.sql}) GROUP BY note"
            for place, step in enumerate(steps)
        )
        used = f", used AS MATERIALIZED ({USED})" if table in WITH_JUDGEMENTS else ""
        rows = self.snapshot.query(
            f"WITH mine AS MATERIALIZED ({mine}){used} {found} ORDER BY place, count DESC, note",
            # DuckDB takes no limit of 0.
            {**values, "limit": max(self.limit, 1)},
        ).rows
        further = {
            place: self._further(steps[place], table, mine, values, counts_tainted)
            for place in {row[0] for row in rows}
        }
        return [
            Branch(
                steps[place].relation,
                steps[place].table,
                note,
                count,
                tuple(ids[: self.limit]),
                tainted,
                branches=further[place],
            )
            for place, note, count, ids, tainted in rows
        ]

    def _further(
        self, step: Step, table: str, mine: str, values: dict[str, Any], counts_tainted: bool
    ) -> tuple[Branch, ...]:
        if not step.further:
            return ()
        used = f", used AS ({USED})" if table in WITH_JUDGEMENTS else ""
        reached = (
            f"WITH mine AS ({mine}){used} SELECT * FROM {step.table} "
            f"SEMI JOIN ({step.sql}) AS found USING (id)"
        )
        return tuple(self._branches(step.further, step.table, reached, values, counts_tainted))


def _is_tainted(step: Step, counts_tainted: bool) -> str:
    is_counted = counts_tainted and step.table in TAINTED
    return f"id IN ({TAINTED[step.table]})" if is_counted else "false"
