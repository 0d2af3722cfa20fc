"""The lineage of a new model: the rows that it learnt from, and the models behind them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from flows.cycle.claims import claim_work
from flows.cycle.cycle import Cycle
from flows.cycle.stage import StageWork
from rlhf_core.identity import digest
from rlhf_core.records import (
    InputRole,
    Judgement,
    ModelInput,
    ModelKind,
    ModelVersion,
    Record,
    Revision,
)
from rlhf_core.store import Store, line_queries, queries
from rlhf_core.store.retention import was_removed

InputsByRole = Mapping[InputRole, Sequence[Record]]
"""Rows that a model depends on without learning from them, by role."""


def is_trained(cycle: Cycle, store: Store, version: ModelVersion) -> bool:
    """Return True if a model needs no training.

    One whose files `solon gc` removed is trained again if a cycle needs it again.

    Args:
        cycle: The cycle under way.
        store: The store of models.
        version: The model.
    """
    if line_queries.model(store, version.id) is None:
        return False
    return cycle.folder(version.id).exists() or not was_removed(store, version.id)


@contextmanager
def making(cycle: Cycle, work: StageWork, version: ModelVersion) -> Iterator[bool]:
    """Yield True if a model is still to be trained, by nobody but this process.

    Lines with the same settings share models, and so may start one training at once.

    Args:
        cycle: The cycle under way.
        work: The work of the stage.
        version: The model.
    """
    if is_trained(cycle, work.store, version):
        yield False
        return
    with claim_work(work.store, f"model {version.id}", work.logger):
        yield not is_trained(cycle, work.store, version)


def add_model(
    store: Store,
    version: ModelVersion,
    learnt_from: Sequence[Record],
    others: InputsByRole = MappingProxyType({}),
    files: Sequence[Path] = (),
    judge_versions: Sequence[str] = (),
) -> None:
    """Add a model and its lineage in one transaction, once the model's files are in place.

    Args:
        store: Receives the model and its inputs.
        version: The model.
        learnt_from: Rows that it learnt from.
        others: Rows that it depends on otherwise, by role.
        files: Files of texts that it learnt from. The lineage has their names and content hashes.
        judge_versions: Judges that are part of the reward.
    """
    by_role = {InputRole.LEARNT: learnt_from, **others}
    inputs = [
        ModelInput(model_id=version.id, input_table=row.table, input_id=row.id, role=role)
        for role, rows in by_role.items()
        for row in rows
    ]
    inputs += [
        ModelInput(
            model_id=version.id,
            input_table="files",
            input_id=f"{path}@{digest(path.read_bytes())}",
        )
        for path in files
    ]
    behind = _models_behind(store, version, learnt_from, set(judge_versions))
    inputs += [
        ModelInput(model_id=version.id, input_table="models", input_id=model, role=role)
        for role, models in behind.items()
        for model in sorted(models)
    ]
    store.append([version, *inputs])


def _models_behind(
    store: Store, version: ModelVersion, learnt_from: Sequence[Record], judges: set[str]
) -> dict[InputRole, set[str]]:
    """Return the models of this store that sampled, judged, wrote or initialised, by role."""
    rankings = [row.id for row in learnt_from if row.table == "rankings"]
    judges |= {row.judge_version for row in learnt_from if isinstance(row, Judgement)}
    judges |= queries.judges_of_rankings(store, rankings)
    revisers = {Path(row.model).name for row in learnt_from if isinstance(row, Revision)}
    bases = {Path(version.base).name} if version.kind is ModelKind.SFT else set[str]()
    return {
        InputRole.SAMPLER: queries.samplers_of(store, rankings),
        InputRole.JUDGE: queries.models_of_judges(store, judges),
        InputRole.REVISER: queries.known_ids(store, "models", revisers),
        InputRole.BASE: queries.known_ids(store, "models", bases),
    }
