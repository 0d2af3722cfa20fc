"""Files that exports are written to: JSON lines, Parquet, or the folder of a data set.

Each is written atomically (files/whole.py).
"""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from rlhf_core.errors import DataFileError
from rlhf_core.files.whole import scratch_folder, whole_file, whole_folder, whole_text

Container = Literal["jsonl", "parquet", "datasets"]
CONTAINERS: tuple[Container, ...] = get_args(Container)
ROWS_A_BATCH = 1000
Rows = Iterable[dict[str, Any]]


def container_of(path: Path, name: str | None = None) -> Container:
    """Return the container of that name, or the one for the ending of the path.

    Raises:
        DataFileError: If there is no such container, or it cannot be written here.
    """
    by_ending: dict[str, Container] = {".jsonl": "jsonl", ".parquet": "parquet", "": "datasets"}
    wanted = name or by_ending.get(path.suffix.lower())
    for container in CONTAINERS:
        if container == wanted:
            _check(path, container)
            return container
    raise DataFileError(
        f"{path}: no container {name or path.suffix!r}; end the name in .jsonl or .parquet, or in "
        f"nothing for the folder of a data set, or name --as {', '.join(CONTAINERS)}"
    )


def write_rows(path: Path, container: Container, schema: pa.Schema, rows: Rows) -> int:
    """Write the rows, replacing an existing file.

    Args:
        path: File or folder to write.
        container: Format of the file.
        schema: Columns, in their order.
        rows: Cells by column; each row has every column.

    Returns:
        The number of rows.

    Raises:
        DataFileError: If the path cannot be written to; nothing is left there.
    """
    writers: dict[Container, Callable[[Path, pa.Schema, Rows], int]] = {
        "jsonl": _write_jsonl,
        "parquet": _write_parquet,
        "datasets": _write_data_set,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return writers[container](path, schema, rows)
    except OSError as error:
        raise DataFileError(f"{path} cannot be written: {error.strerror or error}") from None


def _check(path: Path, container: Container) -> None:
    if container != "datasets":
        if path.is_dir():
            raise DataFileError(f"{path} is a folder; name a file for {container}")
        return
    try:
        import datasets  # noqa: F401 - is it installed?
    except ImportError:
        raise DataFileError(
            f"{path}: writing data sets needs `pip install 'solon[datasets]'`; a name that ends in "
            ".parquet needs no extra package"
        ) from None
    if path.exists() and (path.is_file() or any(path.iterdir())):
        raise DataFileError(f"{path} exists and is not empty; name a new folder")


def _write_jsonl(path: Path, schema: pa.Schema, rows: Rows) -> int:
    written = 0
    names, encode = schema.names, json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    with whole_text(path) as stream:
        for row in rows:
            stream.write(encode({name: row[name] for name in names}) + "\n")
            written += 1
    return written


def _write_parquet(path: Path, schema: pa.Schema, rows: Rows) -> int:
    with whole_file(path) as stream, pq.ParquetWriter(stream, schema) as writer:
        return sum(_written(writer, table) for table in _tables(schema, rows))


def _write_data_set(path: Path, schema: pa.Schema, rows: Rows) -> int:
    import datasets

    was_shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        # `datasets` refuses to save a data set into the folder that it reads it from.
        with whole_folder(path) as folder, scratch_folder(path.parent) as scratch:
            streamed = str(scratch / "rows.arrow")
            with pa.OSFile(streamed, "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
                written = sum(_written(writer, table) for table in _tables(schema, rows))
            datasets.Dataset.from_file(streamed).save_to_disk(str(folder))
    finally:
        if was_shown:
            datasets.enable_progress_bars()
    return written


def _tables(schema: pa.Schema, rows: Rows) -> Iterator[pa.Table]:
    remaining = iter(rows)
    while batch := list(islice(remaining, ROWS_A_BATCH)):
        yield pa.Table.from_pylist(batch, schema=schema)


def _written(writer: Any, table: pa.Table) -> int:
    writer.write_table(table)
    return table.num_rows
