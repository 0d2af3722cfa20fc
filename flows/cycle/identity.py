"""The hash of a config: of what decides results, and of nothing else."""

from typing import Any

from judges.panel.identity import judge_identity
from rlhf_core.config import Config
from rlhf_core.config.deciding import deciding
from rlhf_core.identity import content_id


def deciding_part(settings: Any) -> Any:
    """Return what decides results of a config or of a part of it, as JSON holds it."""
    return deciding(settings, judge_identity)


def config_hash(config: Config) -> str:
    """Return the id of everything that decides the results of a config."""
    return content_id(deciding_part(config))
