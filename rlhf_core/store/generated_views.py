"""Views over all tables at once, generated from the records so that no table is missed."""

from collections.abc import Iterator

from rlhf_core.records import RECORDS, Record

TARGETS = {
    "prompt_id": "prompts",
    "prompt_set_id": "prompt_sets",
    "candidate_id": "candidates",
    "opponent_id": "candidates",
    "left_id": "candidates",
    "right_id": "candidates",
    "shown_left": "candidates",
    "response_id": "responses",
    "judgement_id": "judgements",
    "ranking_id": "rankings",
    "pair_id": "pairs",
    "model_id": "models",
    "policy_id": "models",
    "baseline_id": "models",
    "against_id": "models",
    "from_id": "models",
    "to_id": "models",
    "rollout_id": "rollouts",
    "evaluation_id": "evaluations",
    "policy_candidate_id": "candidates",
    "baseline_candidate_id": "candidates",
    "config_hash": "configs",
}
"""The table that a column refers to, by the column's name, or by that of one entry of a list.

`parent_id` refers to the table that it is in; `input_id` and `subject_id` to the table that the
column beside it names.
"""
NOT_CHECKED = {
    ("prompt_removals", "prompt_id"): "the id that the prompt would have",
    ("prompt_removals", "kept_id"): "it may have been left out for another reason",
    ("prompt_tombstones", "prompt_id"): "the prompt was deleted",
    ("prompt_users", "user_id"): "users have no table",
    ("imported_rows", "import_id"): "an import that was cut off has no row",
    ("failures", "subject_id"): "the work that failed made no row",
    ("candidates", "model_id"): "facts of tests have no model",
    ("candidates", "token_ids"): "tokens have no table",
    ("rankings", "model_id"): "facts of tests have no model",
    ("promotions", "evaluation_id"): "see check_promotions",
    ("approval_requests", "evaluation_id"): "see check_promotions, once it is decided",
    ("publications", "change_id"): "a promotion or a rollback",
    ("approval_requests", "config_hash"): "a line's decisions outlive its configs",
    ("pairs", "chosen_id"): "see check_pair_sides",
    ("pairs", "rejected_id"): "see check_pair_sides",
    ("configs", "config_hash"): "it is what the others refer to",
    ("promotions", "config_hash"): "a line's decisions outlive its configs",
    ("cycle_runs", "config_hash"): "a line's cycles outlive its configs",
}
"""Columns named like references that check_orphans leaves out, and why."""
SEVERAL_TABLES = {
    ("model_inputs", "input"): "prompts rankings revisions judgements pairs models",
    ("imported_rows", "subject"): "prompts rankings judgements pairs",
    ("retractions", "subject"): "prompts candidates judgements pairs",
}
"""The tables that an id may refer to where a column beside it names the table."""


def run_rows() -> str:
    """Return the view that counts the rows that each run added to each table."""
    selects = (
        f"SELECT '{record.table}' AS table_name, run_id, count(*) AS added, "
        f"min(created_at) AS first_at, max(created_at) AS last_at FROM {record.table} "
        "GROUP BY run_id"
        for record in RECORDS
    )
    return _view(
        "run_rows",
        "\nUNION ALL\n".join(selects),
        "What each run added to each table, and when: SELECT * FROM run_rows WHERE run_id = ''…''",
    )


def check_duplicate_ids() -> str:
    """Return the check for facts that are stored twice.

    Rows are grouped by a hash of the id, which takes half the memory; then the ids themselves are
    compared.
    """
    suspects = (
        f"SELECT '{record.table}' AS what, id FROM {record.table} WHERE hash(id) IN "
        f"(SELECT hash(id) FROM {record.table} GROUP BY hash(id) HAVING count(*) > 1)"
        for record in RECORDS
    )
    union = "\nUNION ALL\n".join(suspects)
    return _view(
        "check_duplicate_ids",
        f"WITH suspects AS (\n{union}\n)\nSELECT what, id, count(*) || ' copies' AS detail "
        "FROM suspects GROUP BY what, id HAVING count(*) > 1",
        "error: A fact is stored twice and counts double. Rows must only be added by Solon "
        "itself; restore a backup, or delete one of the copies.",
    )


def check_orphans() -> str:
    """Return the check for facts that refer to one that is not there.

    Only hashes of ids are compared: first those of a column, then, if one of them is not there,
    those of its rows. So no text is read where all is well, and one orphan in 10^12 may be missed.
    """
    selects = [
        *(_orphans(record.table, name, target) for record, name, target in references()),
        *(
            _orphans(table, f"{column}_id", target, f"{column}_table = '{target}'")
            for (table, column), targets in SEVERAL_TABLES.items()
            for target in targets.split()
        ),
        *(_orphans_in_list(record.table, name, target) for record, name, target in lists()),
    ]
    known = ",\n".join(f"{table}_known AS MATERIALIZED ({_known(table)})" for table in _targets())
    union = "\nUNION ALL\n".join(selects)
    return _view(
        "check_orphans",
        f"WITH {known}\n{union}",
        "error: A fact refers to one that is not there, so its history is incomplete. Rows were "
        "deleted or copied in part; restore what is missing from a backup.",
    )


def references() -> Iterator[tuple[type[Record], str, str]]:
    """Yield each column that refers to a row of a table: record, column, table."""
    for record in RECORDS:
        for name in record.model_fields:
            target = record.table if name == "parent_id" else TARGETS.get(name)
            if target and (record.table, name) not in NOT_CHECKED:
                yield record, name, target


def lists() -> Iterator[tuple[type[Record], str, str]]:
    """Yield each column that lists ids of a table: record, column, table."""
    for record in RECORDS:
        for name in record.model_fields:
            if name.endswith("_ids") and (record.table, name) not in NOT_CHECKED:
                yield record, name, TARGETS[name.removesuffix("s")]


def _targets() -> list[str]:
    """Return the tables that any column refers to."""
    tables = {target for _, _, target in [*references(), *lists()]}
    return sorted(tables.union(*(targets.split() for targets in SEVERAL_TABLES.values())))


def _known(table: str) -> str:
    if table == "prompt_sets":  # what hygiene found in an import refers to the import
        return "SELECT hash(id) AS h FROM prompt_sets UNION ALL SELECT hash(id) FROM imports"
    return f"SELECT hash({'config_hash' if table == 'configs' else 'id'}) AS h FROM {table}"


def _orphans(table: str, column: str, target: str, condition: str = "") -> str:
    also = f"{condition} AND " if condition else ""
    return (
        f"SELECT '{table}' AS what, id, '{column} ' || {column} AS detail FROM {table}\n"
        f"WHERE {also}hash({column}) IN (\n"
        f"    SELECT h FROM (SELECT hash({column}) AS h FROM {table} "
        f"WHERE {also}{column} IS NOT NULL)\n"
        f"    ANTI JOIN {target}_known USING (h)\n)"
    )


def _orphans_in_list(table: str, column: str, target: str) -> str:
    return (
        f"SELECT '{table}', id, '{column} ' || entry "
        f"FROM (SELECT id, unnest({column}) AS entry FROM {table})\nWHERE hash(entry) IN (\n"
        f"    SELECT h FROM (SELECT hash(unnest({column})) AS h FROM {table})\n"
        f"    ANTI JOIN {target}_known USING (h)\n)"
    )


def _view(name: str, sql: str, comment: str) -> str:
    """Return the statements that make a view and comment on it, in SQL with its quotes doubled."""
    return f"CREATE OR REPLACE VIEW {name} AS\n{sql};\nCOMMENT ON VIEW {name} IS '{comment}';\n"
