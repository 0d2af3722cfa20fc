"""The page of the store's schema; deploy/docs/store.md is its published copy."""

import tempfile
from pathlib import Path

import jinja2

from rlhf_core.store import Store, reading
from rlhf_core.store.audit.describe import Relation, relations


def store_page() -> str:
    """Markdown of every table, view and column, as a new store tells them itself."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store.duckdb")
        with reading(store.files.database) as snapshot:
            found = relations(snapshot)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("flows.reports"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    environment.filters["cell"] = _cell
    return environment.get_template("store.md").render(
        tables=_of_kind(found, "table"), views=_of_kind(found, "view")
    )


def _of_kind(found: list[Relation], kind: str) -> list[Relation]:
    return [relation for relation in found if relation.kind == kind]


def _cell(text: str) -> str:
    """As Markdown shows it in a table: a bar would begin the next cell."""
    return text.replace("|", "\\|")
