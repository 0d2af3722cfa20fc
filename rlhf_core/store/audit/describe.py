"""The schema, read from the store: tables, views and columns with their comments."""

from dataclasses import dataclass

from rlhf_core.records import RECORDS
from rlhf_core.store.snapshot import Snapshot

_RELATIONS = """
SELECT table_name AS name, 'table' AS kind, comment FROM duckdb_tables()
WHERE NOT internal AND schema_name = 'main'
UNION ALL
SELECT view_name, 'view', comment FROM duckdb_views() WHERE NOT internal AND schema_name = 'main'
"""
_COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns()
WHERE NOT internal AND schema_name = 'main' ORDER BY table_name, column_index
"""


@dataclass(frozen=True)
class Column:
    """A column; only columns of tables have a known nullability."""

    name: str
    type: str
    is_nullable: bool
    comment: str


@dataclass(frozen=True)
class TableOrView:
    """A table or a view; a missing comment is empty."""

    name: str
    kind: str
    comment: str
    columns: tuple[Column, ...]


def relations(snapshot: Snapshot) -> list[TableOrView]:
    """Return tables in the order in which a cycle fills them, then views by name."""
    columns: dict[str, list[Column]] = {}
    for table, name, kind, is_nullable, comment in snapshot.query(_COLUMNS).rows:
        columns.setdefault(table, []).append(Column(name, kind, is_nullable, comment or ""))
    tables_and_views = [
        TableOrView(name, kind, comment or "", tuple(columns[name]))
        for name, kind, comment in snapshot.query(_RELATIONS).rows
    ]
    places = {record.table: place for place, record in enumerate(RECORDS)}
    return sorted(
        tables_and_views, key=lambda one: (one.kind, places.get(one.name, len(places)), one.name)
    )
