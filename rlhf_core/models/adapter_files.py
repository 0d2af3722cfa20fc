"""Names in the folder of an adapter, and the base that it names."""

import json
import os
from pathlib import Path

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
BASE = "base_model_name_or_path"
OWN_ADAPTER = "adapter"
"""Folder, within that of an SFT model, of the adapter that was merged into it."""


def base_name_from(folder: Path, base: Path) -> str:
    """Return the name under which an adapter saved in `folder` records its base.

    A base inside the adapter's folder or beside it gets a relative path, so that the two can be
    moved together. Any other folder gets its absolute path, so that the adapter can be moved alone.
    A hub id or a bundled name stays as it is.
    """
    if not base.is_dir():
        return str(base)
    whole, own = base.resolve(), folder.resolve()
    if whole.is_relative_to(own):
        return f"./{whole.relative_to(own).as_posix()}"
    return f"../{whole.name}" if whole.parent == own.parent else str(whole)


def adapter_base(folder: Path) -> str:
    """Return the base model of the adapter in a folder, as a name that the loader accepts."""
    name = str(json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))[BASE])
    is_relative = name.startswith(("./", "../"))
    return os.path.normpath(folder.resolve() / name) if is_relative else name
