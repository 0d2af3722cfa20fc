"""Loading of a config from a YAML file, the environment and `--set`, with one-line errors.

Later sources override earlier ones: defaults in the code, the YAML file, variables such as
`SOLON__TRAINING__STEPS=5`, then `--set training.steps=5`. Values are parsed as YAML.
"""

import difflib
import os
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Tag, ValidationError

from rlhf_core.config.address import store_address
from rlhf_core.config.compute import ComputeSettings
from rlhf_core.config.prompts import HygieneSettings, PrivacySettings
from rlhf_core.config.tree import Config, Panel
from rlhf_core.errors import ConfigError
from rlhf_core.identity import digest

ENV_PREFIX = "SOLON__"
AnySettings = TypeVar("AnySettings", bound=BaseModel)


def load_config(
    path: Path | str,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Load the config of a file, with overrides from the environment and the command line.

    Args:
        path: YAML file with the settings that differ from the defaults.
        overrides: Settings written `a.b=c`; list entries by number, as in `judges.0.weight=0.5`.
        environment: Environment variables; None reads those of the process.

    Returns:
        The validated config; a config without a name is named after its file. The file's folder
        joins the end of the import path, for the functions of the user's that it names.

    Raises:
        ConfigError: If the config is not valid; one line that names the key and the fix.
    """
    tree = _read_yaml(Path(path))
    _make_importable(Path(path).resolve().parent)
    _override(tree, overrides, os.environ if environment is None else environment)
    if tree.get("name") is None:
        tree["name"] = default_line(Path(path))
    return validate(Config, tree, str(path))


def default_line(path: Path) -> str:
    """Return the name of a file's policy line: its stem and a short hash of its absolute path."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("._-")[:48]
    return f"{stem or 'line'}-{digest(str(path.resolve()).encode())[:8]}"


def store_path(
    path: Path | str | None,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Path | str:
    """Return the store's path or address, from the sources of `load_config`; a file is optional.

    Args:
        path: YAML file of the config, if there is one.
        overrides: Settings written `a.b=c`.
        environment: Environment variables; None reads those of the process.

    Raises:
        ConfigError: Like `load_config`, except that required keys may be missing.
    """
    tree = _part_of_config(path, overrides, environment)
    return store_address(tree.get("store", Config.model_fields["store"].default))


def import_rules(
    path: Path | str | None, overrides: Sequence[str] = ()
) -> tuple[PrivacySettings, HygieneSettings]:
    """Return the rules for imported prompts, from the sources of `store_path`.

    Raises:
        ConfigError: Like `store_path`.
    """
    prompts = _part_of_config(path, overrides, None).get("prompts", {})
    return (
        PrivacySettings.model_validate(prompts.get("privacy", {})),
        HygieneSettings.model_validate(prompts.get("hygiene", {})),
    )


def artifacts_path(path: Path | str | None, overrides: Sequence[str] = ()) -> Path:
    """Return the folder of models and reports, from the sources of `store_path`.

    Raises:
        ConfigError: Like `store_path`.
    """
    tree = _part_of_config(path, overrides, None)
    return Path(tree.get("artifacts", Config.model_fields["artifacts"].default))


def load_panel(
    path: Path | str,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Panel:
    """Return the judges of a config and the store for their figures; other keys may be missing.

    Args:
        path: YAML file of the config.
        overrides: Settings written `a.b=c`.
        environment: Environment variables; None reads those of the process.

    Raises:
        ConfigError: Like `load_config`, except that only `judges` is required.
    """
    tree = _part_of_config(path, overrides, environment)
    _make_importable(Path(path).resolve().parent)
    return validate(Panel, {k: tree[k] for k in Panel.model_fields if k in tree}, str(path))


def _part_of_config(
    path: Path | str | None, overrides: Sequence[str], environment: Mapping[str, str] | None
) -> dict[str, Any]:
    """Load a tree in which required keys may be missing; the keys present are validated."""
    tree = _read_yaml(Path(path)) if path is not None else {}
    _override(tree, overrides, os.environ if environment is None else environment)
    try:
        Config.model_validate(tree)
    except ValidationError as error:
        others = [detail for detail in error.errors() if detail["type"] != "missing"]
        if others:
            raise ConfigError("; ".join(_explain(Config, detail) for detail in others)) from None
    return tree


def validate(model: type[AnySettings], raw: Any, where: str) -> AnySettings:
    """Return raw settings as an instance of their class.

    Args:
        model: Class of the settings.
        raw: The settings as read from YAML.
        where: Name of their source, for errors.

    Raises:
        ConfigError: If they are not valid; one line that names the key and the fix.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(model, detail) for detail in error.errors()]
        raise ConfigError(f"{where}: {'; '.join(lines)}") from None


def _make_importable(folder: Path) -> None:
    """Let functions that a config names be imported from its folder; installed modules go first."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"config {path}: {reason.lower()}; name an existing YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"config {path} must be a mapping of keys to values")
    return tree


def read_options(
    overrides: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], ComputeSettings]:
    """Return the options of a judge that no config names, and what to compute with.

    Args:
        overrides: Options written `a.b=c`; those written `compute.b=c` are compute settings, as in
            a config.
        environment: Environment variables, of which those of `compute` are read; None reads those
            of the process.

    Returns:
        The tree of options, not validated yet, and the compute settings.

    Raises:
        ConfigError: If one is written differently, or a compute setting is not valid.
    """
    variables = os.environ if environment is None else environment
    prefix = f"{ENV_PREFIX}COMPUTE__"
    tree: dict[str, Any] = {}
    _override(tree, overrides, {n: v for n, v in variables.items() if n.startswith(prefix)})
    return tree, validate(ComputeSettings, tree.pop("compute", {}), "compute")


def _override(
    tree: dict[str, Any], overrides: Sequence[str], environment: Mapping[str, str]
) -> None:
    for key, value in _from_environment(environment):
        _put(tree, key, value, f"environment variable {ENV_PREFIX}{key.upper().replace('.', '__')}")
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {override}: write it as key=value, as in training.steps=5")
        _put(tree, key.strip(), value, f"--set {override}")


def _from_environment(environment: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for name in sorted(environment):
        if name.startswith(ENV_PREFIX):
            yield name.removeprefix(ENV_PREFIX).lower().replace("__", "."), environment[name]


def _put(tree: dict[str, Any], dotted: str, text: str, source: str) -> None:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"{source}: the value is not YAML; quote it") from None
    *parents, last = dotted.split(".")
    node: Any = tree
    for key in parents:
        node = _child(node, key, source)
    if isinstance(node, list):
        node[_index(node, last, source)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise ConfigError(f"{source}: {parents[-1]!r} holds a value, not a group of keys")


def _child(node: Any, key: str, source: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, key, source)]
    if not isinstance(node, dict):
        raise ConfigError(f"{source}: the keys before {key!r} hold a value, not a group of keys")
    if node.get(key) is None:
        node[key] = {}
    return node[key]


def _index(entries: list[Any], key: str, source: str) -> int:
    if not key.isdigit() or int(key) >= len(entries):
        raise ConfigError(f"{source}: {key!r} must be a number from 0 to {len(entries) - 1}")
    return int(key)


def _explain(model: type[BaseModel], detail: Any) -> str:
    keys, parent = _resolve(model, detail["loc"])
    location = ".".join(keys)
    if detail["type"] == "extra_forbidden":
        known = list(parent.model_fields)
        nearest = difflib.get_close_matches(keys[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known here: {', '.join(known)}"
        return f"unknown key {location!r}; {hint}"
    if detail["type"] == "missing":
        return f"{location!r} is missing"
    if detail["type"] == "union_tag_invalid":
        return f"{location}: {detail['ctx']['tag']!r} is none of {detail['ctx']['expected_tags']}"
    message = detail["msg"].removeprefix("Value error, ")
    if not location:
        return str(message)
    if isinstance(detail["input"], dict | list | BaseModel):
        return f"{location}: {message[0].lower()}{message[1:]}"
    return f"{location} = {detail['input']!r}: {message[0].lower()}{message[1:]}"


def _resolve(model: type[BaseModel], location: Sequence[Any]) -> tuple[list[str], type[BaseModel]]:
    """Return the keys of an error's location as written in the file, and the class of the last key.

    pydantic adds the tag of the chosen class after a key whose settings are a union.
    """
    keys: list[str] = []
    parent, alternatives = model, dict[str, type[BaseModel]]()
    for part in map(str, location):
        if part in alternatives:
            model, alternatives = alternatives[part], {}
            continue
        keys.append(part)
        parent = model
        field = model.model_fields.get(part)
        if field is not None:
            alternatives = _tagged(field.annotation)
            model = _settings_within(field.annotation) or model
    return keys, parent


def _tagged(annotation: Any) -> dict[str, type[BaseModel]]:
    return {
        note.tag: argument.__origin__
        for argument in typing.get_args(annotation)
        for note in getattr(argument, "__metadata__", ())
        if isinstance(note, Tag)
    }


def _settings_within(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    for argument in typing.get_args(annotation):
        settings = _settings_within(argument)
        if settings:
            return settings
    return None
