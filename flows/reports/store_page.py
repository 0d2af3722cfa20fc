"""The page of the store's schema; deploy/docs/store.md is its published copy."""

import tempfile
from pathlib import Path

import jinja2

from rlhf_core.store import Store, reading
from rlhf_core.store.audit.describe import TableOrView, relations


def store_page() -> str:
    """Return Markdown of every table, view and column of a new store."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store.duckdb")
        with reading(store.files.database) as snapshot:
            schema = relations(snapshot)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("flows.reports"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    environment.filters["cell"] = _cell
    return environment.get_template("store.md").render(
        tables=_of_kind(schema, "table"), views=_of_kind(schema, "view")
    )


def _of_kind(schema: list[TableOrView], kind: str) -> list[TableOrView]:
    return [relation for relation in schema if relation.kind == kind]


def _cell(text: str) -> str:
    """Escape bars, which would begin the next cell of a Markdown table."""
    return text.replace("|", "\\|")
