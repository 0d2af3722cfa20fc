"""Data files of judges: a name in a folder of this package, or the path of a user's file."""

from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import yaml

from rlhf_core.config import Settings, validate
from rlhf_core.errors import ConfigError

AnySettings = TypeVar("AnySettings", bound=Settings)


def read_yaml(model: type[AnySettings], folder: str, name: str) -> AnySettings:
    """Load and validate a data file.

    Args:
        model: What the file must hold.
        folder: A folder of judges/.
        name: `NAME` for judges/FOLDER/NAME.yaml, or the path of a .yaml file.

    Returns:
        The settings that the file holds.

    Raises:
        ConfigError: If there is no such file, or something in it is wrong.
    """
    shipped = files("judges") / folder
    path = shipped / f"{name}.yaml"
    if name.endswith((".yaml", ".yml")):
        path = Path(name).expanduser()
    elif not path.is_file():
        known = ", ".join(sorted(one.name.removesuffix(".yaml") for one in shipped.iterdir()))
        raise ConfigError(f"no {name!r} among the {folder}; name a .yaml file, or one of: {known}")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{name} cannot be read: {' '.join(str(error).split())}") from None
    return validate(model, tree, name)
