"""`solon rollback`: an earlier policy of a line becomes its champion again."""

from pathlib import Path

from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.adapter_files import ADAPTER, ADAPTER_CONFIG, adapter_base
from rlhf_core.records import Rollback
from rlhf_core.store import Store, champions


def roll_back(
    store: Store, models: Path, line: str, to: str | None, decided_by: str, reason: str
) -> Rollback:
    """Make an earlier policy of a line its champion again, or its SFT model.

    Args:
        store: Store with the line's decisions.
        models: Folder of the models of the artifacts.
        line: Name of the line.
        to: Id to return to, or its beginning; None returns to the champion before.
        decided_by: Name of the person who decides.
        reason: Why, for readers.

    Returns:
        The decision, which is stored.

    Raises:
        IdError: If there is nothing to return to, or the line never promoted that policy.
        ModelNotFoundError: If the files of the model, or of its base, are gone.
        StoreError: If the store was busy, or another rollback was made at the same time.
    """
    decision = champions.plan_rollback(store, line, to, decided_by, reason)
    check_files(models / decision.to_id)
    champions.add_rollback(store, decision)
    store.publish()
    return decision


def check_files(folder: Path) -> None:
    """Refuse a model whose files are not all there.

    Raises:
        ModelNotFoundError: If the folder, its weights or the base of its adapter are missing.
    """
    if (folder / ADAPTER_CONFIG).exists():
        base = Path(adapter_base(folder))
        # A base of another form than a folder is a hub id, which the loader looks for.
        missing = [path for path in (folder / ADAPTER,) if not path.exists()]
        missing += [base] if base.is_absolute() and not _is_complete(base) else []
    else:
        missing = [] if _is_complete(folder) else [folder]
    if missing:
        raise ModelNotFoundError(
            f"{folder.name}: {missing[0]} is gone, so it cannot be the champion; restore it from a "
            "backup, or name another policy"
        )


def _is_complete(folder: Path) -> bool:
    return (folder / "config.json").exists() and any(folder.glob("*.safetensors"))
