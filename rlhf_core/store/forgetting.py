"""Delete one user's prompts and all that came from them, the one exception to "facts stay".

The ids in the rows lead from a prompt to what came from it. An id is a hash of content and table
name, so one set of ids serves all tables: a row is doomed if a column that ends in _id holds a
doomed id, and so is every row that refers to it. Tables that are added later need no code here.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import duckdb

from rlhf_core.errors import ConfigError, UnknownUserError
from rlhf_core.identity import code_version, login_name
from rlhf_core.prompts.users import UserHashes
from rlhf_core.records import Deletion, PromptTombstone, Record
from rlhf_core.store.forgotten_evidence import remove_evidence
from rlhf_core.store.lake.lake import Lake
from rlhf_core.store.store import Store
from rlhf_core.store.user_key import VARIABLE, user_hashes, user_hashes_to_write

STAYING = ("migrations", "models", "deletions", "prompt_tombstones", "prompt_sets")
"""Tables whose rows stay: they record what happened and hold no text of a user."""
MODELS_BEHIND = """
WITH RECURSIVE steps AS (
    SELECT parent_id AS origin, id FROM models
    UNION ALL SELECT input_id, model_id FROM model_inputs
), affected AS (
    SELECT id FROM steps WHERE origin IN (SELECT id FROM doomed)
    UNION ALL SELECT model_id FROM rollouts WHERE id IN (SELECT id FROM doomed)
), reached AS (
    SELECT id FROM affected
    UNION SELECT steps.id FROM steps JOIN reached ON steps.origin = reached.id
)
SELECT DISTINCT id FROM reached ORDER BY id
"""
SHORTER_SETS = """
SELECT id, coalesce(list(prompt_id) FILTER (NOT is_doomed), []) AS prompt_ids
FROM (
    SELECT id, prompt_id, prompt_id IN (SELECT id FROM doomed) AS is_doomed
    FROM (SELECT id, unnest(prompt_ids) AS prompt_id FROM prompt_sets)
)
GROUP BY id HAVING bool_or(is_doomed)
"""


@dataclass(frozen=True)
class Forgetting:
    """The rows that deleting a user's prompts removes, and what they leave behind."""

    rows: dict[str, int]
    """Rows to delete, by table; tables without any are not named."""
    shared_prompts: int
    """Prompts of the user that stay, because others sent them too."""
    prompt_sets: int
    """Prompt sets that become shorter; they keep their ids."""
    models: tuple[str, ...]
    """Models that learnt from the rows, or come from one that did; their weights stay."""
    texts: tuple[str, ...]
    """Texts of the prompts, to search for in files."""
    left_files: tuple[str, ...] = ()
    """Files with such rows that killed writers left beside a lake's. Nobody reads them, and only
    people can tell whether they belong to another lake."""


def plan_forgetting(store: Store, user_id: str) -> Forgetting:
    """Return what `forget` would delete, without changing a fact.

    Raises:
        UnknownUserError: If the store knows no such user.
    """
    with store._connection(store.read_timeout_seconds) as connection:
        return _plan(store, connection, user_id)


def forget(store: Store, user_id: str) -> Forgetting:
    """Delete a user's prompts that no other user sent, and all that came from them.

    One transaction deletes the rows, and adds the deletion as a fact and the tombstones that keep
    the prompts from coming back. Then database and snapshot (the files and the catalog of a lake)
    are rewritten, so that the bytes leave the disk. After a crash in between, the same call
    finishes the work.

    Raises:
        UnknownUserError: If the store knows no such user.
        ConfigError: If SOLON_USER_KEY is too short to be a secret, or not set for a lake.
        StoreBusyError: If the rows of a lake are deleted, but another transaction still sees them
            in its catalog.
    """
    if isinstance(store._database, Lake) and not os.environ.get(VARIABLE):
        raise ConfigError(
            f"{store.address} is shared: set {VARIABLE} to the same secret on every machine, so "
            "that none of them takes the prompts in again"
        )
    with store._connection(store.read_timeout_seconds) as connection:
        plan = _plan(store, connection, user_id)
        hashes = user_hashes_to_write(store.files)
        deletion = Deletion(
            user_hash=hashes.new_hash(user_id),
            requested_by=login_name(),
            deletion=store.run_id,
            deleted_rows=json.dumps(plan.rows),
            model_ids=plan.models,
        )
        connection.execute("BEGIN")
        _insert(connection, [*_tombstones(connection, user_id, hashes), deletion], store.run_id)
        connection.execute(
            "UPDATE prompt_sets SET prompt_ids = shorter.prompt_ids "
            f"FROM ({SHORTER_SETS}) AS shorter WHERE shorter.id = prompt_sets.id"
        )
        remove_evidence(connection)
        for table in plan.rows:
            connection.execute(f"DELETE FROM {table} WHERE id IN (SELECT id FROM doomed)")
        connection.execute("COMMIT")
    store.rewrite()
    return plan


def _plan(store: Store, connection: duckdb.DuckDBPyConnection, user_id: str) -> Forgetting:
    plan = _doom(connection, user_id, user_hashes(store.files))
    if isinstance(store._database, Lake):
        return replace(plan, left_files=tuple(store._database.files_left_behind(connection)))
    return plan


def _doom(connection: duckdb.DuckDBPyConnection, user_id: str, hashes: UserHashes) -> Forgetting:
    """Collect the ids of all rows to delete in the temporary table doomed."""
    sent = _column(
        connection,
        "SELECT prompt_id FROM prompt_users WHERE user_id = $user "
        "UNION SELECT prompt_id FROM prompt_tombstones WHERE user_hash IN (SELECT unnest($hashes))",
        {"user": user_id, "hashes": list(hashes.all_hashes(user_id))},
    )
    if not sent:
        raise UnknownUserError(f"no prompt of the user {user_id!r}; see SELECT * FROM prompt_users")
    others = "SELECT prompt_id FROM prompt_users WHERE user_id <> $user"
    connection.execute("CREATE OR REPLACE TEMP TABLE doomed (id VARCHAR)")
    connection.execute(
        "INSERT INTO doomed SELECT id FROM prompt_users WHERE user_id = $user "
        f"UNION SELECT unnest($sent) AS id EXCEPT ({others})",
        {"user": user_id, "sent": sent},
    )
    while _spread(connection):
        pass
    tables = [table for table in _columns(connection, "id") if table not in STAYING]
    rows = {
        table: _one(connection, f"SELECT count(*) FROM {table} WHERE id IN (SELECT id FROM doomed)")
        for table in tables
    }
    texts = "SELECT text FROM prompts WHERE id IN (SELECT id FROM doomed)"
    return Forgetting(
        rows={table: count for table, count in rows.items() if count},
        shared_prompts=_one(
            connection,
            "SELECT count(DISTINCT prompt_id) FROM prompt_users WHERE user_id = $user "
            f"AND prompt_id IN ({others})",
            {"user": user_id},
        ),
        prompt_sets=_one(connection, f"SELECT count(*) FROM ({SHORTER_SETS})"),
        models=tuple(_column(connection, MODELS_BEHIND)),
        texts=tuple(_column(connection, texts)),
    )


def _spread(connection: duckdb.DuckDBPyConnection) -> bool:
    """Doom rows that refer to doomed rows, and responses that only doomed rows were read from."""
    before = _one(connection, "SELECT count(*) FROM doomed")
    for table, columns in _columns(connection, "%\\_id").items():
        if table not in STAYING:
            refers = " OR ".join(f"{column} IN (SELECT id FROM doomed)" for column in columns)
            connection.execute(
                f"INSERT INTO doomed SELECT id FROM {table} "
                f"WHERE ({refers}) AND id NOT IN (SELECT id FROM doomed)"
            )
    read = " UNION ALL ".join(
        f"SELECT unnest(response_ids) AS response_id, id FROM {table}"
        for table in _columns(connection, "response\\_ids")
    )
    connection.execute(
        f"INSERT INTO doomed SELECT response_id FROM ({read}) GROUP BY response_id "
        "HAVING bool_and(id IN (SELECT id FROM doomed)) "
        "AND response_id NOT IN (SELECT id FROM doomed)"
    )
    return bool(_one(connection, "SELECT count(*) FROM doomed") > before)


def _columns(connection: duckdb.DuckDBPyConnection, pattern: str) -> dict[str, list[str]]:
    """Return the columns whose names match the LIKE pattern, by table of the store."""
    columns = connection.execute(
        "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() "
        "SEMI JOIN duckdb_tables() AS tables USING (database_name, schema_name, table_name) "
        "WHERE database_name = current_database() AND column_name LIKE $1 ESCAPE '\\' "
        "GROUP BY table_name ORDER BY table_name",
        [pattern],
    )
    return dict(columns.fetchall())


def _tombstones(
    connection: duckdb.DuckDBPyConnection, user_id: str, hashes: UserHashes
) -> list[PromptTombstone]:
    """Return a tombstone for each prompt of the user that has none yet."""
    sent = _column(
        connection,
        "SELECT prompt_id FROM prompt_users WHERE user_id = $user "
        "EXCEPT SELECT prompt_id FROM prompt_tombstones "
        "WHERE user_hash IN (SELECT unnest($hashes))",
        {"user": user_id, "hashes": list(hashes.all_hashes(user_id))},
    )
    return [PromptTombstone(prompt_id=id, user_hash=hashes.new_hash(user_id)) for id in sent]


def _insert(connection: duckdb.DuckDBPyConnection, records: Iterable[Record], run_id: str) -> None:
    written = {
        "created_at": datetime.now(UTC),
        "run_id": run_id,
        "code_version": code_version(),
    }
    for record in records:
        row = {**record.model_dump(mode="json"), **written}
        names, values = ", ".join(row), ", ".join(f"${name}" for name in row)
        connection.execute(f"INSERT INTO {record.table} ({names}) VALUES ({values})", row)


def _column(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any] | None = None
) -> list[Any]:
    return [value for (value,) in connection.execute(sql, parameters).fetchall()]


def _one(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any] | None = None
) -> Any:
    return _column(connection, sql, parameters)[0]
