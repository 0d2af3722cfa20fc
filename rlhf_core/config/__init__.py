"""The config: tree.py defines its settings, loading.py reads and validates files."""

from rlhf_core.config.base import Settings
from rlhf_core.config.judge import JudgeSettings
from rlhf_core.config.loading import (
    artifacts_path,
    default_line,
    import_rules,
    load_config,
    load_panel,
    read_options,
    store_path,
    validate,
)
from rlhf_core.config.tree import Config, Panel

__all__ = [
    "Config",
    "JudgeSettings",
    "Panel",
    "Settings",
    "artifacts_path",
    "default_line",
    "import_rules",
    "load_config",
    "load_panel",
    "read_options",
    "store_path",
    "validate",
]
