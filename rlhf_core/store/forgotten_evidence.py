"""Alarms of the guard after `solon forget`: they stay, without the answers that were deleted.

An alarm records why a policy was stopped, so it outlives its evidence. It loses the ids of deleted
answers, and the words that it quotes if any answer of the policy was deleted: they may be from it.
Decisions that quote the alarm lose them as well.
"""

import duckdb

QUOTED = r'boilerplate: ".*" in (\d+% of the answers)'
"""The detector whose reason quotes answers."""
WITHOUT = r"boilerplate: the same words, since deleted, in \1"
OF_POLICIES = """
SELECT model_id FROM rollouts WHERE id IN (SELECT id FROM doomed)
UNION SELECT model_id FROM candidates WHERE id IN (SELECT id FROM doomed)
"""
SHORTER_EVIDENCE = """
SELECT id, coalesce(list(answer_id ORDER BY place) FILTER (NOT is_doomed), []) AS evidence
FROM (
    SELECT id, answer_id, place, answer_id IN (SELECT id FROM doomed) AS is_doomed
    FROM (
        SELECT id, unnest(evidence) AS answer_id, generate_subscripts(evidence, 1) AS place
        FROM guard_alarms
    )
)
GROUP BY id HAVING bool_or(is_doomed)
"""
QUOTING = {"promotions": "policy_id", "approval_requests": "policy_id"}
"""Tables whose `reasons` quote alarms, and the column of the policy."""


def remove_evidence(connection: duckdb.DuckDBPyConnection) -> None:
    """Remove doomed answers from the evidence of alarms, and quoted words from their reasons.

    Args:
        connection: In a transaction; its table `doomed` has the ids of the rows to delete, which
            are still there.
    """
    connection.execute(
        "UPDATE guard_alarms SET evidence = shorter.evidence "
        f"FROM ({SHORTER_EVIDENCE}) AS shorter WHERE shorter.id = guard_alarms.id"
    )
    words = {"quoted": QUOTED, "without": WITHOUT}
    connection.execute(
        "UPDATE guard_alarms SET reason = regexp_replace(reason, $quoted, $without) "
        f"WHERE regexp_matches(reason, $quoted) AND model_id IN ({OF_POLICIES})",
        words,
    )
    for table, policy in QUOTING.items():
        connection.execute(
            f"UPDATE {table} SET reasons = "
            "list_transform(reasons, lambda said: regexp_replace(said, $quoted, $without)) "
            "WHERE regexp_matches(array_to_string(reasons, chr(10)), $quoted) "
            f"AND {policy} IN ({OF_POLICIES})",
            words,
        )
