"""The registry of judges: files of judges/ and entry points of installed packages."""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from judges.panel.judge import Judge
from judges.panel.ledger import Ledger
from rlhf_core.config import JudgeSettings, validate
from rlhf_core.errors import ConfigError

ENTRY_POINTS = "solon.judges"
FOLDER = str(Path(__file__).parents[1])
"""The folder whose modules are the judges."""
REQUIRED = "(required)"
"""Shown instead of a default."""


def kinds() -> list[str]:
    """Return the name of every judge: the modules of judges/, and entry points."""
    return sorted({*_own_kinds(), *(point.name for point in _entry_points())})


def judge_class(kind: str) -> type[Judge[Any]]:
    """Return the class of one kind; no other judge is imported.

    Raises:
        ConfigError: If there is no such judge, or a package's judge cannot be used.
    """
    check_kind(kind)
    if kind in _own_kinds():
        own: type[Judge[Any]] = importlib.import_module(f"judges.{kind}").JUDGE
        return own
    return _from_package(next(point for point in _entry_points() if point.name == kind))


def check_kind(kind: str) -> None:
    """Refuse an unknown kind without importing any judge.

    Raises:
        ConfigError: If there is no such judge.
    """
    known = kinds()
    if kind not in known:
        near = difflib.get_close_matches(kind, known, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"no judge {kind!r}; available: {', '.join(known)}{meant}")


def check_kinds(panel: Iterable[JudgeSettings]) -> None:
    """Refuse judges of unknown kinds, members of a jury included.

    Raises:
        ConfigError: If a judge is of an unknown kind.
    """
    for settings in panel:
        check_kind(settings.kind)
        members = settings.options.get("judges", ())
        for member in members if isinstance(members, list | tuple) else ():
            if isinstance(member, dict) and isinstance(kind := member.get("kind"), str):
                check_kind(kind)


def load(settings: JudgeSettings, ledger: Ledger | None = None) -> Judge[Any]:
    """Make the judge that the settings describe; its models are loaded when it first judges.

    Args:
        settings: Its entry in a config.
        ledger: Cache that judges share, so that no request is sent to a language model twice.

    Raises:
        ConfigError: If there is no such judge, or it does not know an option.
    """
    judge = judge_class(settings.kind)
    options = validate(judge.Options, settings.options, f"judge {settings.name!r}")
    return judge(options, ledger)


def describe() -> list[dict[str, Any]]:
    """Return kind, purpose and options of every judge, for display."""
    return [
        {
            "kind": kind,
            "what": judge.summary(),
            "options": {
                name: REQUIRED if field.is_required() else field.get_default()
                for name, field in judge.Options.model_fields.items()
            },
        }
        for kind, judge in ((kind, judge_class(kind)) for kind in kinds())
    ]


def _own_kinds() -> list[str]:
    return [module.name for module in pkgutil.iter_modules([FOLDER]) if not module.ispkg]


@cache
def _entry_points() -> tuple[EntryPoint, ...]:
    """Return the judges of other packages; cached, because scanning all packages takes 20 ms."""
    return tuple(entry_points(group=ENTRY_POINTS))


def _from_package(point: EntryPoint) -> type[Judge[Any]]:
    package = point.dist.name if point.dist else point.value
    try:
        judge = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"judge {point.name!r} of package {package} cannot be loaded ({error}); repair or "
            "uninstall that package"
        ) from None
    if not (inspect.isclass(judge) and issubclass(judge, Judge)) or inspect.isabstract(judge):
        raise ConfigError(
            f"judge {point.name!r} of package {package} must be a subclass of PointwiseJudge or "
            f"PairwiseJudge with all its methods, not {judge!r}"
        )
    if judge.kind_name() != point.name:
        raise ConfigError(
            f"judge {point.name!r} of package {package} is in a file named "
            f"{judge.kind_name()!r}; give the file and the entry point the same name"
        )
    return judge
