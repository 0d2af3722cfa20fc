"""What of a judge's settings decides its verdicts, as configs and recipes are told apart by."""

from typing import Any

from judges.panel.registry import load
from rlhf_core.config import JudgeSettings
from rlhf_core.config.deciding import deciding_fields


def judge_identity(settings: JudgeSettings) -> dict[str, Any]:
    """Return an entry of a config without what changes no verdict, and with its defaults.

    Raises:
        ConfigError: If the judge or an option is unknown.
    """
    options = load(settings).options
    return {
        **deciding_fields(settings, judge_identity),
        "options": deciding_fields(options, judge_identity),
    }
