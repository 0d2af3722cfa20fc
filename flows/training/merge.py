"""`solon merge`: a trained model as one folder, for anything that serves models."""

from pathlib import Path
from typing import Any

from flows.cycle.cycle import Cycle
from rlhf_core.config import Config
from rlhf_core.errors import InputError, ModelNotFoundError
from rlhf_core.models.device import choose_compute
from rlhf_core.models.joined_adapters import write_joined
from rlhf_core.models.merging import merge_saved
from rlhf_core.records import ModelKind, ModelVersion
from rlhf_core.store import Store, champions, line_queries, store_exists
from rlhf_core.store.ids import whole_id

MERGEABLE = (ModelKind.SFT, ModelKind.POLICY)


def merge_model(config: Config, model_id: str | None, out: Path) -> dict[str, Any]:
    """Write a model to a plain folder; see `_saved` for what it raises.

    Args:
        config: Config of the line.
        model_id: Id of the model, or a prefix of it; None takes the champion.
        out: The folder, which must be empty or absent.

    Returns:
        Id, folder and figures of the merged model.
    """
    folder = _saved(config, model_id, out)
    merged = merge_saved(folder, out, choose_compute(config.compute))
    return {"model": folder.name, "folder": str(out), **vars(merged)}


def join_model(config: Config, model_id: str | None, out: Path, base: str | None) -> dict[str, Any]:
    """Write a model as one adapter on policy.model; see `_saved` for what it raises.

    Args:
        config: Config of the line.
        model_id: Id of the model, or a prefix of it; None takes the champion.
        out: The folder, which must be empty or absent.
        base: Name for the base in the adapter's config; None is policy.model.

    Returns:
        Id, folder and figures of the adapter.
    """
    folder = _saved(config, model_id, out)
    joined = write_joined(folder, out, choose_compute(config.compute), base)
    return {"model": folder.name, "folder": str(out), **vars(joined)}


def _saved(config: Config, model_id: str | None, out: Path) -> Path:
    """Return the folder of a model that is to be written elsewhere.

    Raises:
        InputError: If there is no such model, or `out` is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: the folder is not empty; name a new one")
    if not store_exists(config.store):
        raise ModelNotFoundError(
            f"no store at {config.store}: nothing was trained; run the config first"
        )
    store = Store(config.store)
    version = _version(config, store, model_id)
    folder = Cycle(config=config, number=1, run_id="").folder(version.id)
    if not folder.is_dir():
        raise ModelNotFoundError(f"model {version.id!r}: its folder {folder} is missing")
    return folder


def _version(config: Config, store: Store, model_id: str | None) -> ModelVersion:
    champion = champions.champion(store, config.name)
    wanted = model_id or (champion.policy_id if champion else None)
    if wanted is None:
        raise ModelNotFoundError(
            f"no policy of the line {config.name} was promoted; name another model with --model, "
            f"one of {_known(store)}"
        )
    known = [row["id"] for row in store.query("SELECT id FROM models")]
    version = line_queries.model(store, whole_id(wanted, known, "model"))
    if version is None or version.kind not in MERGEABLE:
        kind = version.kind if version else "lost"
        raise ModelNotFoundError(f"--model {wanted} is a {kind} model; name one of {_known(store)}")
    return version


def _known(store: Store) -> str:
    ids = [v.id for v in store.rows(ModelVersion, "kind IN ('sft', 'policy')", [])]
    return ", ".join(sorted(ids)) or "none: nothing was trained"
