from pathlib import Path

from flows.reports.store_page import store_page
from rlhf_core.store import Store, reading
from rlhf_core.store.audit.describe import relations
from tests.conftest import ROOT


def test_the_page_is_what_the_store_says():
    """After a migration: `solon schema --store > deploy/docs/store.md`, or `make schema`."""
    assert (ROOT / "deploy/docs/store.md").read_text(encoding="utf-8") == store_page()


def test_tables_views_and_columns_of_tables_are_explained(tmp_path: Path):
    """A migration comments what it adds: COMMENT ON TABLE, VIEW, COLUMN."""
    store = Store(tmp_path / "solon.duckdb")
    with reading(store.files.database) as snapshot:
        found = relations(snapshot)
    dumb = [relation.name for relation in found if not relation.comment]
    dumb += [
        f"{relation.name}.{column.name}"
        for relation in found
        for column in relation.columns
        if relation.kind == "table" and not column.comment
    ]
    assert dumb == []
    assert {"prompts", "migrations", "pair_texts"} <= {relation.name for relation in found}
