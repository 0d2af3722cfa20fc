"""Adding a model with its lineage: what it learnt from, and the models behind that."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

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
from rlhf_core.store import Store, queries

Roles = Mapping[InputRole, Sequence[Record]]
"""Rows that a model rests on in other ways than learning from them."""


def add_model(
    store: Store,
    version: ModelVersion,
    learnt_from: Sequence[Record],
    others: Roles = MappingProxyType({}),
    files: Sequence[Path] = (),
    judge_versions: Sequence[str] = (),
) -> None:
    """Add a model whose files are in place, and its lineage, in one transaction.

    Args:
        store: Where to.
        version: The model.
        learnt_from: Rows.
        others: Further rows, by how the model rests on them.
        files: Texts that are in no row; they are kept by name and the hash of what they hold.
        judge_versions: Judges inside the reward.
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
    """Models of this store that sampled, judged or wrote what is learnt from, or were its base."""
    rankings = [row.id for row in learnt_from if row.table == "rankings"]
    judges |= {row.judge_version for row in learnt_from if isinstance(row, Judgement)}
    judges |= queries.judges_of_rankings(store, rankings)
    revisers = {Path(row.model).name for row in learnt_from if isinstance(row, Revision)}
    begun = {Path(version.base).name} if version.kind is ModelKind.SFT else set[str]()
    return {
        InputRole.SAMPLER: queries.samplers_of(store, rankings),
        InputRole.JUDGE: queries.models_of_judges(store, judges),
        InputRole.REVISER: queries.known_ids(store, "models", revisers),
        InputRole.BASE: queries.known_ids(store, "models", begun),
    }
