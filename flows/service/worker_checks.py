"""Checks of a worker beside those of `solon doctor`: its pool, a GPU, shared artifacts."""

import os
from collections.abc import Iterator
from functools import partial

from flows.service.readiness import Check, guarded, note, ok, wrong
from rlhf_core.config import Config

MODELS_LOOKED_FOR = 10


def pool_checks(pool: str, needs_gpu: bool) -> Iterator[Check]:
    """Yield the checks of a worker's server, pool and GPU.

    Args:
        pool: Name of its work pool.
        needs_gpu: True if the pool's stages need a GPU.
    """
    if not os.environ.get("PREFECT_API_URL"):
        mend = "set it to the API of your Prefect server, such as http://HOST:4200/api"
        yield wrong("Prefect server", "PREFECT_API_URL is not set", mend)
    else:
        yield guarded(f"work pool {pool}", partial(check_pool, pool))
    if needs_gpu:
        yield guarded("GPU for trainings", check_gpu)


def check_pool(pool: str) -> Check:
    """Check that a work pool of processes exists and is not paused."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    name = f"work pool {pool}"
    try:
        with get_client(sync_client=True) as client:
            known = client.read_work_pool(pool)
    except ObjectNotFound:
        return wrong(name, "is not there", f"prefect work-pool create {pool} --type process")
    if known.type != "process":
        return wrong(name, f"its type is {known.type}", "name a pool of the type process")
    if known.is_paused:
        return note(name, "is paused", f"prefect work-pool resume {pool}")
    return ok(name, f"{known.concurrency_limit or 'any number of'} runs at once")


def check_gpu() -> Check:
    """Check that PyTorch sees a GPU, which `solon doctor` does not ask for."""
    import torch

    if not torch.cuda.is_available():
        mend = "install its driver and the PyTorch for it, or work for the pool for CPUs"
        return wrong("GPU for trainings", f"PyTorch {torch.__version__} sees none", mend)
    return ok("GPU for trainings", torch.cuda.get_device_name(0))


def check_sharing(config: Config) -> Check:
    """Check that the folder of artifacts holds the newest models that the store names.

    A worker with a folder of its own would train models that other machines do not find.
    """
    from rlhf_core.store import Store, store_exists

    name, folder = "shared artifacts", config.artifacts.resolve()
    if not store_exists(config.store):
        return ok(name, f"{folder}; the store is not there yet")
    newest = Store(config.store).query(
        "SELECT id FROM models WHERE kind IN ('sft', 'reward', 'policy') "
        f"ORDER BY created_at DESC LIMIT {MODELS_LOOKED_FOR}"
    )
    ids = [row["id"] for row in newest]
    present = [model_id for model_id in ids if (folder / "models" / model_id).is_dir()]
    if ids and not present:
        found = f"{folder} holds none of the newest models of the store, such as {ids[0]}"
        return wrong(name, found, "set `artifacts` to the folder that the machines share")
    return ok(name, f"{folder}: {len(present)} of the {len(ids)} newest models")
