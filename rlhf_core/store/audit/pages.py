"""Queries of the audit page on a snapshot: pairs page by page, counts, costs, runs.

Pages are cut by key, not by offset: each starts after the last row of the one before, so the
thousandth costs as much as the first. A query selects rows by few columns; the other columns are
read by row id, which no writer changes in a snapshot, and texts by id, since a join reads them all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rlhf_core.records import RECORDS
from rlhf_core.store.snapshot import Snapshot

PAGE_ROWS = 50
COUNTED_ROWS = 10_000
"""Counting stops here: beyond it, a reader only needs to know that there are more."""
RECENT_ROWS = 12

Row = dict[str, Any]


class PairOrder(StrEnum):
    NEWEST = "newest first"
    CLOSEST = "smallest margin first"
    CLEAREST = "largest margin first"


# Margins are 0 to 1, so the values for a missing one sort last.
_KEYS = {
    PairOrder.NEWEST: ("created_at", "DESC"),
    PairOrder.CLOSEST: ("coalesce(margin, 2)", "ASC"),
    PairOrder.CLEAREST: ("coalesce(margin, -1)", "DESC"),
}


_COLUMNS = (
    "id, created_at, outcome, margin, agreement, len(judgement_ids) AS votes, run_id, prompt_id, "
    "coalesce(chosen_id, left_id) AS first_id, coalesce(rejected_id, right_id) AS second_id"
)
_ANSWER_KEYS = ("first_id", "second_id")


ASKED = """mode, split, coalesce(
    '… ' || (list_filter(
        from_json(try_cast(messages AS JSON), '["JSON"]'),
        lambda message: message->>'role' = 'user')[-1]->>'content'),
    text) AS text"""


@dataclass(frozen=True)
class PairFilter:
    """A filter of pairs; None and the empty text match all."""

    mode: str | None = None
    split: str | None = None
    outcome: str | None = None
    judge_version: str | None = None
    run_id: str | None = None
    margin_low: float | None = None
    margin_high: float | None = None
    text: str = ""
    """Part of the prompt or of either answer, whatever the case of its letters."""


@dataclass(frozen=True)
class PairPage:
    rows: list[Row]
    last: tuple[Any, str] | None
    """Key and id that the next page starts after; None on the last page."""


def pair_page(
    snapshot: Snapshot,
    wanted: PairFilter,
    order: PairOrder = PairOrder.NEWEST,
    after: tuple[Any, str] | None = None,
) -> PairPage:
    """Return a page of pairs with the beginning of their texts.

    Args:
        snapshot: The store's snapshot.
        wanted: Filter of the pairs.
        order: Order of the pairs.
        after: `last` of the page before; None for the first page.
    """
    key, direction = _KEYS[order]
    conditions, parameters = _where(wanted)
    if after is not None:
        beyond = "<" if direction == "DESC" else ">"
        conditions.append(f"({key} {beyond} $key OR ({key} = $key AND id {beyond} $id))")
        parameters |= {"key": after[0], "id": after[1]}
    chosen = snapshot.query(
        f"{_hits(wanted)}SELECT rowid, id, {key} AS key FROM pairs "
        f"WHERE {' AND '.join(conditions)} "
        f"ORDER BY key {direction}, id {direction} LIMIT {PAGE_ROWS + 1}",
        parameters,
    ).rows
    places = {place: order for order, (place, _, _) in enumerate(chosen[:PAGE_ROWS])}
    pairs = snapshot.query(
        f"SELECT rowid, {_COLUMNS} FROM pairs WHERE rowid IN (SELECT unnest($places))",
        {"places": list(places)},
    ).as_dicts()
    pairs.sort(key=lambda pair: places[pair.pop("rowid")])
    _, pair_id, last_key = chosen[len(places) - 1] if chosen else (None, None, None)
    last = (last_key, pair_id) if len(chosen) > PAGE_ROWS else None
    return PairPage(_with_texts(snapshot, pairs), last)


def pair_count(snapshot: Snapshot, wanted: PairFilter) -> int:
    """Return the number of pairs that match, or one above COUNTED_ROWS if there are more."""
    conditions, parameters = _where(wanted)
    counted = f"SELECT 1 FROM pairs WHERE {' AND '.join(conditions)} LIMIT {COUNTED_ROWS + 1}"
    sql = f"{_hits(wanted)}SELECT count(*) FROM ({counted})"
    return int(snapshot.query(sql, parameters).rows[0][0])


def pair_choices(snapshot: Snapshot) -> dict[str, list[str]]:
    """Return the choices of a filter: judge versions, and runs that made pairs, newest first."""
    judges = snapshot.query("SELECT DISTINCT judge_version FROM judgements ORDER BY 1 LIMIT 200")
    runs = snapshot.query(
        "SELECT run_id FROM pairs GROUP BY run_id ORDER BY max(created_at) DESC LIMIT 200"
    )
    return {"judge_versions": _firsts(judges.rows), "runs": _firsts(runs.rows)}


def table_counts(snapshot: Snapshot) -> list[Row]:
    """Return every table with its number of rows and its comment, in the order of a cycle."""
    rows = snapshot.query(
        "SELECT table_name, estimated_size AS rows, comment FROM duckdb_tables() "
        "WHERE table_name <> 'migrations'"
    ).as_dicts()
    places = {record.table: place for place, record in enumerate(RECORDS)}
    return sorted(rows, key=lambda row: places[row["table_name"]])


def judge_summaries(snapshot: Snapshot) -> list[Row]:
    return snapshot.query("SELECT * FROM judge_summary ORDER BY judgements DESC").as_dicts()


def costs(snapshot: Snapshot) -> list[Row]:
    """Return US dollars and tokens of each model that samples, judges or revises."""
    return snapshot.query(
        "SELECT 'sampling' AS work, model_id AS by_whom, sum(cost_usd) AS cost_usd, "
        "sum(prompt_tokens) + sum(completion_tokens) AS tokens FROM candidates GROUP BY model_id "
        "UNION ALL SELECT 'judging', judge, sum(cost_usd), "
        "sum(prompt_tokens) + sum(completion_tokens) FROM judgements GROUP BY judge "
        "UNION ALL SELECT 'revising', model, sum(cost_usd), NULL FROM revisions GROUP BY model "
        "ORDER BY cost_usd DESC, tokens DESC NULLS LAST LIMIT 50"
    ).as_dicts()


DECISION = """CASE WHEN promotions.id IS NULL THEN '' WHEN NOT promoted THEN 'refused'
WHEN promotions.id IN (SELECT id FROM standing_promotions) THEN 'promoted'
ELSE 'promoted, rolled back' END AS decision"""
"""SQL over promotions for what became of a policy."""


def model_list(snapshot: Snapshot) -> list[Row]:
    """Return the newest models, with the decision on those that were up for promotion."""
    return snapshot.query(
        "SELECT models.id, models.kind, base, model_runs.line, model_runs.cycle, "
        f"models.created_at, models.run_id, {DECISION} "
        "FROM models JOIN model_runs ON model_id = models.id "
        "LEFT JOIN promotions ON policy_id = models.id "
        "ORDER BY models.created_at DESC, models.id LIMIT 500"
    ).as_dicts()


def recent_runs(snapshot: Snapshot) -> list[Row]:
    return snapshot.query(
        "SELECT run_id, line, cycle, max(created_at) AS ended_at, "
        "list(stage ORDER BY created_at) AS stages, sum(seconds) AS seconds "
        "FROM stage_runs GROUP BY run_id, line, cycle "
        f"ORDER BY ended_at DESC LIMIT {RECENT_ROWS}"
    ).as_dicts()


def recent_promotions(snapshot: Snapshot) -> list[Row]:
    return snapshot.query(
        f"SELECT created_at, line, cycle, policy_id, {DECISION}, reasons FROM promotions "
        f"ORDER BY created_at DESC LIMIT {RECENT_ROWS}"
    ).as_dicts()


def _hits(wanted: PairFilter) -> str:
    """Return the common table expression with the ids of all texts that contain the text."""
    if not wanted.text:
        return ""
    found = " UNION ALL ".join(
        f"SELECT id FROM {table} WHERE contains(lower(text), lower($text))"
        for table in ("prompts", "candidates")
    )
    return f"WITH hits AS MATERIALIZED ({found}) "


def _where(wanted: PairFilter) -> tuple[list[str], dict[str, Any]]:
    """Return conditions on `pairs` and their parameters."""
    conditions = {
        "outcome": "outcome = $outcome",
        "judge_version": "list_contains(judge_versions, $judge_version)",
        "run_id": "starts_with(run_id, $run_id)",
        "margin_low": "margin >= $margin_low",
        "margin_high": "margin <= $margin_high",
        "mode": "prompt_id IN (SELECT id FROM prompts WHERE mode = $mode)",
        "split": "prompt_id IN (SELECT id FROM prompts WHERE split = $split)",
        "text": "(prompt_id IN (FROM hits) OR left_id IN (FROM hits) OR right_id IN (FROM hits))",
    }
    bound: Mapping[str, Any] = {
        name: getattr(wanted, name)
        for name in conditions
        if getattr(wanted, name) not in (None, "")
    }
    return ["true", *(conditions[name] for name in bound)], dict(bound)


def _with_texts(snapshot: Snapshot, pairs: list[Row]) -> list[Row]:
    """Return the pairs with the beginning of the answers and of what is asked.

    Of a conversation, that is the last message of the user: many begin with the same message.
    """
    answers = _texts(snapshot, "candidates", {pair[k] for pair in pairs for k in _ANSWER_KEYS})
    prompts = _texts(snapshot, "prompts", {pair["prompt_id"] for pair in pairs}, ASKED)
    for pair in pairs:
        pair |= prompts.get(pair["prompt_id"], {"mode": None, "split": None, "text": None})
        pair["prompt"] = pair.pop("text")
        for name, key in zip(("chosen", "rejected"), _ANSWER_KEYS, strict=True):
            pair[name] = answers.get(pair[key], {}).get("text")
    return pairs


def _texts(snapshot: Snapshot, table: str, ids: set[str], columns: str = "text") -> dict[str, Row]:
    rows = snapshot.query(
        f"SELECT * REPLACE (left(text, 300) AS text) FROM (SELECT id, {columns} FROM {table}) "
        "WHERE id IN (SELECT unnest($ids))",
        {"ids": list(ids)},
    ).as_dicts()
    return {row.pop("id"): row for row in rows}


def _firsts(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    return [row[0] for row in rows]
