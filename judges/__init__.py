"""Who judges. `available()` lists the judges, `load()` makes one from its settings."""

import importlib
import pkgutil
from typing import Any

from judges._base import Judge
from rlhf_core.config import JudgeSettings, validate
from rlhf_core.errors import ConfigError


def available() -> dict[str, type[Judge[Any]]]:
    """Every judge by its kind: the files of this folder without a leading underscore."""
    kinds = [module.name for module in pkgutil.iter_modules(__path__)]
    return {kind: _judge_class(kind) for kind in sorted(kinds) if not kind.startswith("_")}


def load(settings: JudgeSettings) -> Judge[Any]:
    """The judge that the settings describe; its models are loaded when it first judges.

    Raises:
        ConfigError: If there is no such judge, or it does not know an option.
    """
    judges = available()
    if settings.kind not in judges:
        raise ConfigError(f"no judge {settings.kind!r}; available: {', '.join(judges)}")
    judge_class = judges[settings.kind]
    options = validate(judge_class.Options, settings.options, f"judge {settings.name!r}")
    return judge_class(options)


def describe() -> list[dict[str, Any]]:
    """Kind, purpose and options of every judge, for people."""
    return [
        {
            "kind": kind,
            "what": judge.summary(),
            "options": {
                name: field.get_default() for name, field in judge.Options.model_fields.items()
            },
        }
        for kind, judge in available().items()
    ]


def _judge_class(kind: str) -> type[Judge[Any]]:
    judge_class: type[Judge[Any]] = importlib.import_module(f"{__name__}.{kind}").JUDGE
    return judge_class
