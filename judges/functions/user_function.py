"""The user's function that a config names: import, checks, version.

It is looked for on Python's import path and then in the folder of the config. It runs in Solon's
own process with the rights of the user who runs it; it is the user's own code, not a model's.
"""

import importlib
import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

from rlhf_core.errors import ConfigError
from rlhf_core.identity import digest

LONGEST_REASON = 200
KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class UserFunction:
    """A function of the user's, with the hash of the source that was imported."""

    name: str
    call: Callable[..., Any]
    source: str
    """Hash of the files that hold it."""

    def check(self, given: Sequence[str], arguments: Mapping[str, Any]) -> None:
        """Refuse a function that cannot be called.

        Args:
            given: Names of the facts that Solon can pass.
            arguments: Arguments from the config.

        Raises:
            ConfigError: If it needs a parameter that nobody passes, or lacks one that is passed.
        """
        parameters = self._parameters()
        wanted = f"it may take {', '.join(given)}, and what `arguments` names"
        for name in arguments:
            if name in given:
                raise ConfigError(f"`arguments` names {name!r}, which Solon itself passes")
            if not self._takes(name):
                raise ConfigError(
                    f"function {self.name!r} takes no parameter {name!r}, which `arguments` names"
                )
        for name, parameter in parameters.items():
            is_needed = parameter.default is inspect.Parameter.empty
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY and is_needed:
                raise ConfigError(f"function {self.name!r}: {name!r} must be passable by name")
            if parameter.kind in KEYWORDS and is_needed and name not in {*given, *arguments}:
                raise ConfigError(
                    f"function {self.name!r} needs a parameter {name!r}, which nobody passes; "
                    f"{wanted}"
                )
        if not any(self._takes(name) for name in given):
            raise ConfigError(f"function {self.name!r} takes nothing of what is judged; {wanted}")

    def accepted(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return those facts that the function has parameters for."""
        return {name: value for name, value in facts.items() if self._takes(name)}

    def _takes(self, name: str) -> bool:
        parameters = self._parameters()
        if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            return True
        return name in parameters and parameters[name].kind in KEYWORDS

    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        try:
            return inspect.signature(self.call).parameters
        except (TypeError, ValueError):
            raise ConfigError(f"function {self.name!r} has no readable signature") from None


@cache
def load_function(named: str) -> UserFunction:
    """Import the function that a config names; once in a process, so that code and hash agree.

    Args:
        named: `module:function`, as in `my_rewards:score`.

    Raises:
        ConfigError: If there is no such module or function, or it cannot be a judge.
    """
    module_name, _, attribute = named.partition(":")
    module = _imported(named, module_name)
    try:
        call = attrgetter(attribute)(module)
    except AttributeError:
        raise ConfigError(f"function {named!r}: {module.__file__} has no {attribute!r}") from None
    if not callable(call):
        kind = type(call).__name__
        raise ConfigError(f"function {named!r} is not a function, but of type {kind}")
    if inspect.iscoroutinefunction(call) or inspect.isgeneratorfunction(call):
        raise ConfigError(f"function {named!r} is async or a generator; write a plain function")
    return UserFunction(named, call, _source(named, module, call))


def first_line(error: BaseException) -> str:
    """Return an exception in one line, with the line of code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    words = (str(error).strip().splitlines() or [""])[0][:LONGEST_REASON]
    return f"{type(error).__name__}{place}: {words}"


def _imported(named: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise ConfigError(
                f"function {named!r}: no module {error.name!r} on the import path or in the "
                "config's folder"
            ) from None
        raise ConfigError(
            f"function {named!r}: its module imports {error.name!r}, which is not installed"
        ) from None
    except Exception as error:  # whatever the user's module raises while it is imported
        raise ConfigError(
            f"function {named!r}: its module cannot be imported ({first_line(error)})"
        ) from None


def _source(named: str, module: Any, call: Callable[..., Any]) -> str:
    """Return the hash of the module's file and of the file that defines the function."""
    files = {getattr(module, "__file__", None)}
    defined = inspect.unwrap(call)
    for owner in (defined, type(defined)):
        try:
            files.add(inspect.getsourcefile(owner))
            break
        except TypeError:  # an object without source of its own, such as a partial
            continue
    paths = sorted({Path(file).resolve() for file in files if file and file.endswith(".py")})
    if not paths:
        raise ConfigError(
            f"function {named!r} has no Python source, whose hash would be its version; write a "
            "function in a file of your own that calls it"
        )
    return digest(b"\0".join(path.read_bytes() for path in paths))
