"""Rows of data sets of the package `datasets`: saved folders, and data sets on the hub."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.files.streams import Row

HUB_PREFIX = "hf:"
FORM = "write hf:owner/name, hf:owner/name:SPLIT or hf:owner/name:CONFIG:SPLIT"


@dataclass(frozen=True)
class HubSource:
    """A data set on the hub: its name, its config (None: the only one), and its split."""

    name: str
    config: str | None = None
    split: str = "train"


def parse_hub_source(source: str) -> HubSource:
    """Return the parts of `hf:owner/name[:CONFIG][:SPLIT]`; a single part is the split.

    Raises:
        DataFileError: If the source has more parts, or one of them is empty.
    """
    name, *parts = source.removeprefix(HUB_PREFIX).split(":")
    if not name or len(parts) > 2 or not all(parts):
        raise DataFileError(f"{source}: {FORM}")
    if len(parts) == 2:
        return HubSource(name, *parts)
    return HubSource(name, None, *parts)


def data_set_rows(source: str) -> Iterator[Row]:
    """Return the rows of a data set: a folder of `save_to_disk`, or one on the hub.

    Args:
        source: Path of the folder, or `hf:owner/name[:CONFIG][:SPLIT]`.

    Raises:
        DataFileError: If `datasets` is not installed, or there is no such data set, config or
            split; names those there are.
    """
    try:
        import datasets
    except ImportError:
        raise DataFileError(
            f"{source}: reading data sets needs `pip install 'solon[datasets]'`"
        ) from None
    if source.startswith(HUB_PREFIX):
        data_set = _from_hub(source, parse_hub_source(source))
    else:
        try:
            data_set = datasets.load_from_disk(source)
        except (OSError, ValueError) as error:
            raise DataFileError(f"{source}: {_in_one_line(error)}") from None
    if isinstance(data_set, datasets.DatasetDict):
        names = ", ".join(data_set)
        raise DataFileError(f"{source} holds several splits ({names}); name the folder of one")
    return ((f"{source} row {number}", cells) for number, cells in enumerate(data_set, start=1))


def _from_hub(source: str, wanted: HubSource) -> Any:
    import datasets

    try:
        return datasets.load_dataset(wanted.name, wanted.config, split=wanted.split)
    except (OSError, ValueError) as error:
        raise DataFileError(f"{source}: {_in_one_line(error)}{_choices(wanted)}") from None


def _choices(wanted: HubSource) -> str:
    """Return the configs of a data set and what to write, if it has several."""
    import datasets

    try:
        configs = datasets.get_dataset_config_names(wanted.name)
    except (OSError, ValueError):
        return ""
    if len(configs) < 2 or wanted.config in configs:
        return ""
    split = "train" if wanted.split in configs else wanted.split
    config = wanted.split if wanted.split in configs else configs[0]
    return (
        f"; its configs are {', '.join(configs)}: name one, as in "
        f"{HUB_PREFIX}{wanted.name}:{config}:{split}"
    )


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
