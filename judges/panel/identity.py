"""The identity of a judge's settings, by which configs and recipes are distinguished."""

from typing import Any

from judges.panel.registry import load
from rlhf_core.config import JudgeSettings
from rlhf_core.config.deciding import deciding_fields


def judge_identity(settings: JudgeSettings) -> dict[str, Any]:
    """Return a config entry with its defaults, reduced to what can change a verdict.

    Raises:
        ConfigError: If the judge or an option is unknown.
    """
    options = load(settings).options
    return {
        **deciding_fields(settings, judge_identity),
        "options": deciding_fields(options, judge_identity),
    }
