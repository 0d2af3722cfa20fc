"""The part of a config that decides results; hashes, recipes and judge versions are made from it.

The mark `ASIDE` excludes a field, where the field is defined; `UNLESS_SET` excludes a default.
"""

from collections.abc import Callable, Mapping
from datetime import date
from enum import Enum
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from rlhf_core.config.base import is_left_out
from rlhf_core.config.judge import JudgeSettings

JudgeIdentity = Callable[[JudgeSettings], Any]
"""Returns what decides a judge's verdicts; only the judge's own file knows its options."""


def deciding(value: Any, judge: JudgeIdentity) -> Any:
    """Return the part of some settings that decides results, as JSON values.

    Args:
        value: Settings, or any value within settings.
        judge: Returns the deciding part of a judge's settings.
    """
    if isinstance(value, JudgeSettings):
        return judge(value)
    if isinstance(value, BaseModel):
        return deciding_fields(value, judge)
    if isinstance(value, Mapping):
        return {str(key): deciding(each, judge) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [deciding(each, judge) for each in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, PurePath | date) else value


def deciding_fields(settings: BaseModel, judge: JudgeIdentity) -> dict[str, Any]:
    """Return the fields of some settings that decide results, by name; see `deciding`."""
    return {
        name: deciding(getattr(settings, name), judge)
        for name in type(settings).model_fields
        if not is_left_out(settings, name)
    }
