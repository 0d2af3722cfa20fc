"""Queries of the retention: who made and uses each model, and what was removed."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rlhf_core.records import ArtifactRemoval
from rlhf_core.store import champions
from rlhf_core.store.store import Store

TRAINED_WITHOUT_END = """
SELECT model_id, line, max(cycle) AS cycle
FROM (SELECT DISTINCT model_id, run_id FROM metrics) AS steps
JOIN (SELECT DISTINCT run_id, line, cycle FROM cycle_runs) AS runs USING (run_id)
ANTI JOIN models ON models.id = steps.model_id
GROUP BY model_id, line
"""
NEWEST_CONFIGS = """
SELECT config FROM configs JOIN (
    SELECT DISTINCT ON (line) config_hash FROM cycle_runs ORDER BY line, created_at DESC
) AS newest USING (config_hash)
"""


@dataclass(frozen=True)
class MadeModel:
    """A model, and the cycle that made it; line and cycle are None if no cycle did."""

    id: str
    kind: str
    line: str | None
    cycle: int | None


@dataclass(frozen=True)
class ModelUse:
    """A cycle that made, read, trained, evaluated or promoted a model."""

    model_id: str
    line: str
    cycle: int


class RetentionFacts:
    """The facts about models that a retention depends on, read once.

    Args:
        store: The store of the line.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        rows = store.query("SELECT model_id AS id, kind, line, cycle FROM model_runs")
        self.models = {row["id"]: MadeModel(**row) for row in rows}
        self.sources: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for row in store.query("SELECT model_id, source_id, relation FROM model_sources"):
            self.sources[row["model_id"]].append((row["source_id"], row["relation"]))
        self.uses = tuple(self._uses())

    def champions(self, line: str) -> list[str]:
        """Return the champion of a line, and the policy that a rollback would return to."""
        return [each.policy_id for each in champions.standing(self.store, line)[-2:]]

    def lines(self) -> list[str]:
        """Return the names of all lines of the store."""
        return [row["line"] for row in self.store.query("SELECT DISTINCT line FROM cycle_runs")]

    def judges(self) -> set[str]:
        """Return the models that judges of this store call."""
        return {row["model_id"] for row in self.store.query("SELECT model_id FROM judge_models")}

    def named_in(self, configs: Iterable[str]) -> set[str]:
        """Return the models whose ids stand in the newest config of any line, or in one of these.

        Args:
            configs: Configs as JSON.
        """
        newest = [row["config"] for row in self.store.query(NEWEST_CONFIGS)]
        texts = [*newest, *configs]
        return {id for id in self.models if any(id in text for text in texts)}

    def unfinished(self) -> dict[str, tuple[str, int]]:
        """Return line and last cycle of each training that logged steps and made no model."""
        rows = self.store.query(TRAINED_WITHOUT_END)
        return {row["model_id"]: (row["line"], row["cycle"]) for row in rows}

    def began(self, line: str, cycle: int) -> datetime | None:
        """Return the time at which a cycle first began; None if it did not."""
        sql = "SELECT min(created_at) AS began FROM cycle_runs WHERE line = ? AND cycle = ?"
        began: datetime | None = self.store.query(sql, [line, cycle])[0]["began"]
        return began

    def behind(self, model_ids: Iterable[str]) -> set[str]:
        """Return models and all that they rest on, by any relation of model_sources."""
        known, ahead = set[str](), list(model_ids)
        while ahead:
            if (model := ahead.pop()) not in known:
                known.add(model)
                ahead += [source for source, _ in self.sources[model]]
        return known

    def to_load(self, model_ids: Iterable[str]) -> set[str]:
        """Return models and the SFT models that their adapters stand on."""
        wanted = set(model_ids)
        for model in tuple(wanted):
            parents = {model}
            while parents and not any(self._is_sft(parent) for parent in parents):
                parents = {source for parent in parents for source in self._parents(parent)}
            wanted |= parents
        return wanted

    def rewarding(self, model_ids: Iterable[str]) -> set[str]:
        """Return the reward models that models were trained against or selected by."""
        return {
            source
            for model in model_ids
            for source, relation in self.sources[model]
            if relation == "input"
        }

    def _is_sft(self, model_id: str) -> bool:
        return model_id in self.models and self.models[model_id].kind == "sft"

    def _parents(self, model_id: str) -> list[str]:
        return [source for source, relation in self.sources[model_id] if relation == "parent"]

    def _uses(self) -> Iterator[ModelUse]:
        for model in self.models.values():
            if model.line is not None and model.cycle is not None:
                yield ModelUse(model.id, model.line, model.cycle)
        for row in self.store.query("SELECT line, cycle, detail FROM stage_runs"):
            for value in _texts(json.loads(row["detail"])):
                if value in self.models:
                    yield ModelUse(value, row["line"], row["cycle"])
        for row in self.store.query("SELECT line, cycle, policy_id, baseline_id FROM promotions"):
            for model_id in (row["policy_id"], row["baseline_id"]):
                yield ModelUse(model_id, row["line"], row["cycle"])


def rollout_bytes(store: Store) -> dict[str, int]:
    """Return the bytes of the texts of each policy's rollouts, where they were not dropped."""
    rows = store.query(
        "SELECT model_id, sum(strlen(text))::BIGINT AS bytes FROM rollouts "
        "WHERE text IS NOT NULL GROUP BY model_id"
    )
    return {row["model_id"]: row["bytes"] for row in rows}


def drop_rollout_texts(store: Store, model_ids: Collection[str]) -> None:
    """Set the texts of some policies' rollouts to null, and rewrite the store without them.

    Raises:
        StoreBusyError: If the lock, or the catalog of a lake, was busy. Run it again.
    """
    with store._connection(store.read_timeout_seconds) as connection:
        connection.execute(
            "UPDATE rollouts SET text = NULL "
            "WHERE text IS NOT NULL AND model_id IN (SELECT unnest($1))",
            [list(model_ids)],
        )
    store.rewrite()


def was_removed(store: Store, model_id: str) -> bool:
    """Return True if `solon gc` removed the files of a model."""
    return bool(store.rows(ArtifactRemoval, "kind = 'model' AND model_id = ?", [model_id]))


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
