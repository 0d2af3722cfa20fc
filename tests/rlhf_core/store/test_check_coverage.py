"""The checks know every table and every reference, those of later migrations too."""

from pathlib import Path

import duckdb
import pytest

from rlhf_core.records import (
    RECORDS,
    ConfigVersion,
    Deletion,
    ModelInput,
    ModelKind,
    ModelVersion,
    PromptSet,
    StageRun,
)
from rlhf_core.store import Store, reading
from rlhf_core.store.audit.checks import run_checks
from rlhf_core.store.forgetting import forget
from rlhf_core.store.generated_views import NOT_CHECKED
from tests.rlhf_core.store.test_forgetting import ANN, HERS, SENT_HERS
from tests.rlhf_core.store.test_migrations import columns_of, fill
from tests.rlhf_core.store.user_facts import chain

TABLES = {record.table for record in RECORDS}
OTHERS = {("spot_checks", "shown_left"), ("model_inputs", "input_id")}
HASHES = {("pairs", "config_hash"), ("models", "config_hash"), ("stage_runs", "config_hash")}
HASHES |= {("imports", "config_hash")}


@pytest.fixture
def one_of_each(store: Store) -> Path:
    """A store with one row in each table, whose ids and references are all `one`."""
    path = store.files.database
    with duckdb.connect(str(path)) as connection:
        fill(connection)
        for table in ("retractions", "imported_rows"):
            connection.execute(f"UPDATE {table} SET subject_table = 'prompts'")
    return path


def test_a_row_twice_is_found_in_every_table(one_of_each: Path):
    with duckdb.connect(str(one_of_each)) as connection:
        for table in TABLES:
            connection.execute(f"INSERT INTO {table} FROM {table}")
        found = connection.execute("SELECT what, id, detail FROM check_duplicate_ids").fetchall()
    assert sorted(found) == sorted((table, "one", "2 copies") for table in TABLES)


def test_what_a_run_added_is_counted_in_every_table(one_of_each: Path):
    with duckdb.connect(str(one_of_each)) as connection:
        rows = connection.execute("SELECT table_name, added FROM run_rows").fetchall()
    assert sorted(rows) == sorted((table, 1) for table in TABLES)


def test_every_reference_is_looked_up(one_of_each: Path):
    """A column of a later table that ends as one is found here, or is named in NOT_CHECKED."""
    with duckdb.connect(str(one_of_each)) as connection:
        assert connection.execute("FROM check_orphans").fetchall() == []
        references = {
            (table, name)
            for table, columns in columns_of(connection).items()
            for name, kind in columns
            if name.endswith(("_id", "_ids")) and name != "run_id" and "VARCHAR" in kind
        }
        references = (references | OTHERS | HASHES) - set(NOT_CHECKED)
        for table, name in references:
            lost = "['gone']" if name.endswith("_ids") else "'gone'"
            connection.execute(f"UPDATE {table} SET {name} = {lost}")
        found = connection.execute("SELECT what, id, detail FROM check_orphans").fetchall()
    assert sorted(found) == sorted((table, "one", f"{name} gone") for table, name in references)


def test_what_is_left_out_of_an_import_may_name_the_import(one_of_each: Path):
    with duckdb.connect(str(one_of_each)) as connection:
        connection.execute("UPDATE imports SET id = 'import'")
        for table in ("prompt_removals", "privacy_findings"):
            connection.execute(f"UPDATE {table} SET prompt_set_id = 'import'")
        assert connection.execute("FROM check_orphans").fetchall() == []


def test_a_reference_into_any_of_several_tables_is_looked_up(one_of_each: Path):
    several = {
        ("model_inputs", "input"): "prompts rankings revisions judgements pairs models",
        ("imported_rows", "subject"): "prompts rankings judgements pairs",
        ("retractions", "subject"): "prompts candidates judgements pairs",
    }
    with duckdb.connect(str(one_of_each)) as connection:
        for (table, column), targets in several.items():
            connection.execute(
                f"INSERT INTO {table} SELECT * REPLACE (unnest($1) AS {column}_table) FROM {table}",
                [targets.split()],
            )
        assert connection.execute("FROM check_orphans").fetchall() == []
        for table, column in several:
            connection.execute(f"DELETE FROM {table} WHERE rowid = 0")
            connection.execute(f"UPDATE {table} SET {column}_id = {column}_table || ' gone'")
        found = connection.execute("SELECT what, detail FROM check_orphans").fetchall()
    assert sorted(found) == sorted(
        (table, f"{column}_id {target} gone")
        for (table, column), targets in several.items()
        for target in targets.split()
    )


BASE = ModelVersion(kind=ModelKind.BASE, base="b", recipe="{}", config_hash="c")
LEARNT = ModelVersion(kind=ModelKind.SFT, base="b", recipe="{}", config_hash="c")
UNTRACED = ModelVersion(kind=ModelKind.REWARD, base="b", recipe="{}", config_hash="c")
STAGES = [
    StageRun(line="c", config_hash="c", cycle=1, stage=stage, seconds=1, detail="{}")
    for stage in ("ingest", "sample", "judge", "pair")
]
DELETION = Deletion(
    user_hash="u",
    requested_by="me",
    deletion="d",
    deleted_rows='{"prompts": 1, "candidates": 2, "judgements": 1}',
    model_ids=(LEARNT.id,),
)


def test_what_was_forgotten_is_no_fault(store: Store):
    """A model all of whose inputs were deleted is named in deletions; so are the tables."""
    store.append([BASE, LEARNT, UNTRACED, *STAGES, DELETION])
    models = store.query("SELECT id FROM check_models_without_inputs")
    assert [row["id"] for row in models] == [UNTRACED.id]
    stages = store.query("SELECT what FROM check_stages_without_rows")
    assert [row["what"] for row in stages] == ["pair"]


@pytest.mark.slow
def test_a_store_in_which_all_was_forgotten_is_sound(store: Store):
    of_hers = [fact for fact in chain(HERS, "m") if fact.table not in ("rollouts", "model_inputs")]
    given = ModelInput(model_id=LEARNT.id, input_table="prompts", input_id=HERS.id)
    known = ConfigVersion(config_hash="c", config="{}")
    only_hers = PromptSet(source="f", prompt_ids=(HERS.id,))
    store.append([known, BASE, LEARNT, only_hers, SENT_HERS, *STAGES, *of_hers, given])
    forget(store, ANN)
    assert store.counts()["prompts"] == 0
    with reading(store.files.database) as snapshot:
        assert [check.name for check in run_checks(snapshot) if check.found] == []
