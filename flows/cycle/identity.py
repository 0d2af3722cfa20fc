"""The hash of a config, over the settings that decide results and no others."""

from typing import Any

from judges.panel.identity import judge_identity
from rlhf_core.config import Config
from rlhf_core.config.deciding import deciding
from rlhf_core.identity import content_id


def deciding_part(settings: Any) -> Any:
    """Return the settings of a config, or of a part of it, that decide results, as JSON values."""
    return deciding(settings, judge_identity)


def config_hash(config: Config) -> str:
    """Return the hash of all settings of a config that decide results."""
    return content_id(deciding_part(config))
