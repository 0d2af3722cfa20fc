"""Records as Arrow tables: the columns of each kind, and the check that a table has them."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import pyarrow as pa
import pyarrow.compute as pc

from rlhf_core.errors import RecordError
from rlhf_core.identity import code_version
from rlhf_core.records import Record

ARROW_TYPES: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", "UTC"),
}


def table_of(record_type: type[Record], records: Iterable[Record]) -> pa.Table:
    """Return records of one kind as a table with the columns of that kind."""
    rows = list(records)
    schema = schema_of(record_type)
    columns = [pa.array([getattr(row, field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def with_provenance(table: pa.Table, written_at: datetime, run_id: str) -> pa.Table:
    """Return the table with its time, run and code version added.

    Args:
        table: Rows of any kind.
        written_at: Time of the write.
        run_id: The run that writes.
    """
    values = {
        "created_at": pa.array([written_at], ARROW_TYPES[datetime]),
        "run_id": pa.array([run_id], pa.string()),
        "code_version": pa.array([code_version()], pa.string()),
    }
    # One value and an index per row, instead of a million copies of the value.
    index = pa.repeat(pa.scalar(0, pa.int8()), len(table))
    for name, value in values.items():
        table = table.append_column(name, pa.DictionaryArray.from_arrays(index, value))
    return table


def check_table(record_type: type[Record], table: pa.Table) -> None:
    """Check that a table's rows can be records of a kind; ids are not checked.

    Raises:
        RecordError: If a column is missing, unknown or of another type, or if a value is null or
            outside its closed set.
    """
    schema = schema_of(record_type)
    names, wanted = table.column_names, schema.names
    if len(set(names)) < len(names) or set(names) != set(wanted):
        missing = ", ".join(sorted(set(wanted) - set(names))) or "none"
        unknown = ", ".join(sorted(set(names) - set(wanted))) or "none"
        raise RecordError(
            f"{record_type.table}: the table must have the columns {', '.join(wanted)}, each once; "
            f"missing: {missing}; unknown: {unknown}"
        )
    for field in schema:
        _check_column(f"{record_type.table}.{field.name}", field, table.column(field.name))
    for name, choices in _closed_sets(record_type).items():
        values = set(pc.unique(table.column(name)).to_pylist()) - {None, *choices}
        if values:
            raise RecordError(
                f"{record_type.table}.{name}: {min(values)!r} is none of {', '.join(choices)}"
            )


@cache
def schema_of(record_type: type[Record]) -> pa.Schema:
    """Return the columns of a kind of record, without those that the store adds."""
    fields = {name: field.return_type for name, field in record_type.model_computed_fields.items()}
    fields |= {name: field.annotation for name, field in record_type.model_fields.items()}
    return pa.schema(
        pa.field(name, _arrow_type(annotation), nullable=_is_optional(annotation))
        for name, annotation in fields.items()
    )


def _check_column(name: str, field: pa.Field, column: pa.ChunkedArray) -> None:
    if not _is_like(column.type, field.type) and not (
        field.nullable and pa.types.is_null(column.type)
    ):
        raise RecordError(f"{name}: {field.type} is wanted, not {column.type}")
    nulls = 0 if field.nullable else column.null_count
    if pa.types.is_list(field.type) and not pa.types.is_null(column.type):
        nulls += pc.list_flatten(column).null_count
    if nulls:
        raise RecordError(f"{name}: must not be null, but is null in {nulls} places")


def _is_like(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """True if a type holds the wanted values, in whatever width or encoding."""
    is_a = pa.types
    if is_a.is_dictionary(kind):
        return _is_like(kind.value_type, wanted)
    if is_a.is_list(wanted):
        is_list = is_a.is_list(kind) or is_a.is_large_list(kind)
        return is_list and _is_like(kind.value_type, wanted.value_type)
    if is_a.is_string(wanted):
        return is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind)
    if is_a.is_integer(wanted):
        return bool(is_a.is_integer(kind))
    if is_a.is_floating(wanted):
        return bool(is_a.is_float32(kind) or is_a.is_float64(kind))
    return bool(kind == wanted)


@cache
def _closed_sets(record_type: type[Record]) -> dict[str, list[str]]:
    choices = {}
    for name, field in record_type.model_fields.items():
        plain = _plain(field.annotation)
        if isinstance(plain, type) and issubclass(plain, StrEnum):
            choices[name] = [choice.value for choice in plain]
    return choices


def _arrow_type(annotation: Any) -> pa.DataType:
    plain = _plain(annotation)
    if get_origin(plain) is tuple:
        return pa.list_(_arrow_type(get_args(plain)[0]))
    if isinstance(plain, type) and issubclass(plain, StrEnum):
        return pa.string()
    return ARROW_TYPES[plain]


def _plain(annotation: Any) -> Any:
    if _is_optional(annotation):
        (annotation,) = [part for part in get_args(annotation) if part is not NoneType]
    return annotation


def _is_optional(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation)
