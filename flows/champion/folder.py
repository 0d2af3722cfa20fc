"""artifacts/champion/LINE: the line's champion as a folder that model servers load as it is.

The name is a symlink to a folder that is whole, and is replaced by a rename: a reader finds the
former champion or the new one, never a part of one. A reader that has resolved the link keeps its
folder, since the former one stays.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from flows.champion.card import write_card
from rlhf_core.config import Config
from rlhf_core.files.links import switch_link
from rlhf_core.files.whole import remove_whole, whole_folder, whole_text
from rlhf_core.models.adapter_files import ADAPTER_CONFIG, BASE, adapter_base, base_name_from
from rlhf_core.models.device import Compute, choose_compute
from rlhf_core.models.joined_adapters import write_joined
from rlhf_core.models.merging import merge_saved
from rlhf_core.records import ModelKind, ModelVersion
from rlhf_core.store import Store, champions, line_queries

GIGABYTE = 1e9
VERSIONS = ".versions"
MERGED, ADAPTER = "merged", "adapter"


def present_champion(store: Store, line: str) -> ModelVersion | None:
    """Return the champion of a line, which is an SFT model after a rollback to it.

    Returns:
        The model; None before the first promotion.
    """
    policy = champions.champion(store, line)
    if policy is not None:
        return line_queries.model(store, policy.policy_id)
    rollbacks = champions.rollbacks_of(store, line)
    return line_queries.model(store, rollbacks[-1].to_id) if rollbacks else None


def place_champion(config: Config, store: Store) -> Path | None:
    """Make artifacts/champion/LINE the line's present champion; nothing if it is that already.

    Args:
        config: Config of the line.
        store: Store with the line's decisions.

    Returns:
        The link; None if nothing was promoted yet, or service.champion.form is none.

    Raises:
        DataFileError: If the folder cannot be written.
        ModelNotFoundError: If a part of the model is missing.
    """
    settings, home = config.service.champion, config.artifacts / "champion"
    if settings.form == "none" or present_champion(store, config.name) is None:
        return None
    with _locked(home, config.name):
        # Read under the lock: a rollback may have come while another process held it.
        model = present_champion(store, config.name)
        if model is None:
            return None
        source = config.artifacts / "models" / model.id
        form = _form(config, source)
        folder = home / VERSIONS / config.name / f"{model.id}-{form}"
        if not folder.is_dir():
            with whole_folder(folder) as unfinished:
                _write(source, unfinished, form, _compute(config))
        write_card(store, config, model, form, folder)
        switch_link(home / config.name, folder)
        _remove_former(folder, settings.keep)
    return home / config.name


def _form(config: Config, source: Path) -> str:
    """Return the form of the champion's folder: merged, or the adapter alone."""
    settings = config.service.champion
    if settings.form in (MERGED, ADAPTER):
        return settings.form if (source / ADAPTER_CONFIG).exists() else MERGED
    base = Path(adapter_base(source)) if (source / ADAPTER_CONFIG).exists() else source
    size = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    is_small = size <= settings.merged_up_to_gb * GIGABYTE
    return MERGED if is_small or base == source else ADAPTER


def _compute(config: Config) -> Compute:
    """Return the CPU, with the configured precision: a merge keeps no GPU from a training."""
    return replace(
        choose_compute(config.compute), device=torch.device("cpu"), shard=False, attention="auto"
    )


def _write(source: Path, folder: Path, form: str, compute: Compute) -> None:
    """Write the files of a model.

    Args:
        source: Folder of the policy, or of an SFT model.
        folder: An existing folder.
        form: merged or adapter.
        compute: Device and precision of the merged model.
    """
    is_adapter = (source / ADAPTER_CONFIG).exists()
    if form == MERGED and source.name.startswith(ModelKind.SFT):
        _link_files(source, folder)
    elif form == MERGED:
        merge_saved(source, folder / "model", compute)
        for file in (folder / "model").iterdir():
            file.rename(folder / file.name)
        (folder / "model").rmdir()
    elif is_adapter:
        write_joined(source, folder / "joined", compute=None)
        for file in (folder / "joined").iterdir():
            file.rename(folder / file.name)
        (folder / "joined").rmdir()
    if is_adapter:
        own = folder / "adapter"
        own.mkdir()
        _link_files(source, own)
        _name_base(own, Path(adapter_base(source)))


def _link_files(source: Path, folder: Path) -> None:
    """Give the files of a model a second name; where that is impossible, copy them."""
    for file in source.iterdir():
        if file.is_file():
            try:
                (folder / file.name).hardlink_to(file)
            except OSError:
                shutil.copy2(file, folder / file.name)


def _name_base(folder: Path, base: Path) -> None:
    """Let a copied adapter name its base from where it lies now."""
    path = folder / ADAPTER_CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    config[BASE] = base_name_from(folder, base)
    with whole_text(path) as stream:  # replaces the file, and leaves the original as it is
        json.dump(config, stream, indent=2, sort_keys=True)


def _remove_former(folder: Path, keep: int) -> None:
    """Remove the oldest folders of former champions."""
    os.utime(folder)  # the order in which they were champions
    former = [each for each in folder.parent.iterdir() if each != folder and each.is_dir()]
    former = [each for each in former if not each.name.startswith(".")]
    for each in sorted(former, key=lambda path: -path.stat().st_mtime)[keep - 1 :]:
        remove_whole(each)


@contextmanager
def _locked(home: Path, line: str) -> Iterator[None]:
    """Let one process at a time change the champion's folder of a line."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / f".{line}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
