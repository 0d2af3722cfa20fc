"""Queries of exports and imports: the rows that an export selects, and the imports of a store.

Every selection has a column `reason`: why a row is left out, or null if it is exported. `said`
holds the other columns of an imported row, so that imports round-trip.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rlhf_core.records import Import, Mode, Ranking, Split
from rlhf_core.records.preferences import FINISHED
from rlhf_core.store.ids import whole_id
from rlhf_core.store.snapshot import Snapshot
from rlhf_core.store.store import Store

TIMEOUT_SECONDS = 24 * 3600.0
"""Longest time of an export, which writes while it reads."""
IS_WHOLE = f"($with_cut_off OR {{}} IN {FINISHED})"
"""Condition on a finish reason: true if its answer is exported."""
IS_EMPTY = "trim({}, ' ' || chr(9) || chr(10) || chr(13)) = ''"


@dataclass(frozen=True)
class Selection:
    """A filter of rows to export; None matches all."""

    split: Split = Split.TRAIN
    mode: Mode | None = None
    run: str | None = None
    config_hash: str | None = None
    min_margin: float | None = None
    min_agreement: float | None = None
    with_cut_off: bool = False
    """True to export answers that were cut off, which a trainer ends as if they were whole."""

    def parameters_of(self, sql: str) -> dict[str, Any]:
        """Return the parameters that the statement names; DuckDB refuses others."""
        known = {
            "split": self.split.value,
            "mode": self.mode.value if self.mode else None,
            "run": self.run,
            "config_hash": self.config_hash,
            "min_margin": self.min_margin,
            "min_agreement": self.min_agreement,
            "with_cut_off": self.with_cut_off,
        }
        return {name: value for name, value in known.items() if f"${name}" in sql}


@dataclass(frozen=True)
class Counts:
    """Number and properties of the rows of a selection."""

    rows: int
    left_out: dict[str, int]
    """Number of rows that are not exported, by reason."""
    has_conversations: bool
    """True if a prompt is a conversation, or an imported row was one."""
    has_tool_messages: bool
    """True if messages may have more fields than role and content."""
    columns: set[str]
    """The columns of OPTIONAL that any row fills."""


def by_whole_ids(snapshot: Snapshot, selection: Selection) -> Selection:
    """Return a selection with the beginnings of its ids completed.

    Raises:
        IdError: If an id matches no run or config, or several.
    """
    run, config_hash = selection.run, selection.config_hash
    if run is not None:
        runs = snapshot.query("SELECT DISTINCT run_id FROM run_rows").rows
        run = whole_id(run, (row[0] for row in runs), "run")
    if config_hash is not None:
        hashes = snapshot.query("SELECT config_hash FROM configs").rows
        config_hash = whole_id(config_hash, (row[0] for row in hashes), "config")
    return replace(selection, run=run, config_hash=config_hash)


def select_rows(
    snapshot: Snapshot, subject: str, selection: Selection, ids: Collection[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows to export, with one batch in memory at a time.

    Rows are sorted by the id under which they were first exported, so that stores can be compared.

    Args:
        snapshot: The store's snapshot.
        subject: A key of SELECTIONS.
        selection: Filter of the rows.
        ids: Ids, as first exported, of the only rows to yield; None for all.
    """
    first_id = f"coalesce(json_extract_string(said, '$.{ID_COLUMNS[subject]}'), id)"
    of_ids = "" if ids is None else f" AND {first_id} IN (SELECT unnest($ids))"
    sql = (
        f"WITH {SELECTIONS[subject]} "
        f"SELECT * FROM found WHERE reason IS NULL{of_ids} ORDER BY {first_id}"
    )
    parameters = selection.parameters_of(sql)
    if ids is not None:
        parameters["ids"] = list(ids)
    with snapshot.stream(sql, parameters, TIMEOUT_SECONDS) as cursor:
        for batch in cursor.batches:
            yield from (dict(zip(cursor.columns, row, strict=True)) for row in batch)


def count_rows(snapshot: Snapshot, subject: str, selection: Selection) -> Counts:
    """Count the rows to export and those left out.

    Args:
        snapshot: The store's snapshot.
        subject: A key of SELECTIONS.
        selection: Filter of the rows.

    Returns:
        Number of rows, and of those left out by reason.
    """
    known = ", ".join(
        f"bool_or({test}) AS {name}"
        for name, test in OPTIONAL.items()
        if subject == "preference" or name in OF_PROMPT
    )
    sql = (
        f"WITH {SELECTIONS[subject]} SELECT reason, count(*) AS rows, "
        f"bool_or({IS_CONVERSATION}) AS has_conversations, "
        f"bool_or({HAS_TOOL_FIELDS}) AS has_tool_messages, {known} "
        "FROM found GROUP BY reason ORDER BY reason"
    )
    found = {
        row["reason"]: row
        for row in snapshot.query(sql, selection.parameters_of(sql), TIMEOUT_SECONDS).as_dicts()
    }
    kept = found.pop(None, {"rows": 0})
    return Counts(
        rows=kept["rows"],
        left_out={reason: row["rows"] for reason, row in found.items()},
        has_conversations=bool(kept.get("has_conversations")),
        has_tool_messages=bool(kept.get("has_tool_messages")),
        columns={name for name in OPTIONAL if kept.get(name)},
    )


def newest_imports(store: Store, names: Sequence[str]) -> dict[str, Import]:
    """Return the last import under each name, which is a source or a judge version."""
    wanted = "source IN (SELECT unnest($1)) OR judge_version IN (SELECT unnest($1))"
    return {
        name: imported
        for imported in store.rows(Import, wanted, [list(names)])
        for name in (imported.source, imported.judge_version)
        if name in names
    }


def has_rankings(store: Store, imported: Import) -> bool:
    ranked = "SELECT count(*) > 0 AS has FROM rankings WHERE recipe = $1"
    return bool(store.query(ranked, [imported.judge_version])[0]["has"])


def rankings_imported(store: Store, imports: Collection[Import]) -> list[Ranking]:
    """Return the rankings of imports by id, without prompts whose words are held out."""
    words = "trim(concat_ws(chr(10) || chr(10), context, text))"
    rankings = store.rows(
        Ranking,
        "recipe IN (SELECT unnest($1)) AND id NOT IN (SELECT ranking_id FROM tainted_rankings) "
        "AND prompt_id IN (SELECT id FROM prompts WHERE "
        f"{words} NOT IN (SELECT {words} FROM prompts WHERE split = $2))",
        [[imported.judge_version for imported in imports], Split.HOLDOUT.value],
    )
    return sorted(rankings, key=lambda ranking: ranking.id)


def rankings_of_dialogues(store: Store, ranking_ids: Collection[str]) -> set[str]:
    """Return those of the rankings with an imported answer of more than one message."""
    rows = store.query(
        "SELECT DISTINCT pairs.ranking_id AS id FROM imported_rows JOIN pairs ON "
        "(subject_table = 'pairs' AND subject_id = pairs.id) OR "
        "(subject_table = 'rankings' AND subject_id = pairs.ranking_id) "
        "WHERE imported_rows.messages IS NOT NULL AND pairs.ranking_id IN (SELECT unnest($1))",
        [list(ranking_ids)],
    )
    return {row["id"] for row in rows}


OF_PROMPT = {
    "context": "context IS NOT NULL",
    "few_shot": "few_shot IS NOT NULL",
    "tools": "tools IS NOT NULL",
    "rubric": "rubric IS NOT NULL",
    "reference_answers": "len(reference_answers) > 0",
}
OPTIONAL = {
    **OF_PROMPT,
    "score_chosen": "score_chosen IS NOT NULL",
    "score_rejected": "score_rejected IS NOT NULL",
    "agreement": "agreement IS NOT NULL",
}
"""Columns that an export omits if no row fills them, with the condition that a row does."""
IS_CONVERSATION = "is_conversation OR coalesce(prompt_messages, few_shot, tools) IS NOT NULL"
HAS_TOOL_FIELDS = (
    "regexp_matches(concat_ws(' ', prompt_messages, few_shot, messages), "
    "'\"(name|tool_calls|tool_call_id)\": ')"
)
"""Condition on a row: true if one of its messages has a field for tools, and rarely for a text that
spells one out, which only widens the columns."""
ID_COLUMNS = {
    "preference": "pair_id",
    "ranking": "ranking_id",
    "kto": "candidate_id",
    "references": "origin_id",
    "rankings": "origin_id",
    "revisions": "origin_id",
}
"""The exported column with the id of the fact that a row was made from, by subject."""
_OF_PROMPT = (
    "prompts.text AS prompt, prompts.messages AS prompt_messages, prompts.few_shot, "
    "prompts.tools, prompts.rubric, prompts.context, prompts.mode, prompts.split, "
    "prompts.reference_answers"
)
# Judges that scored a pair's answers alone, weighted as the config that made the pair says.
_PAIRS = (
    """
chosen_pairs AS (
    SELECT pairs.*, {of_prompt}
    FROM pairs JOIN prompts ON prompts.id = pairs.prompt_id
    WHERE prompts.split = $split AND ($mode IS NULL OR prompts.mode = $mode)
      AND ($run IS NULL OR pairs.run_id = $run)
      AND ($config_hash IS NULL OR pairs.config_hash = $config_hash)
), judge_weights AS (
    SELECT config_hash, judge.name AS judge, judge.weight AS weight
    FROM (SELECT config_hash, unnest(from_json(
              json_extract(try_cast(config AS JSON), '$.judges'),
              '[{"name": "VARCHAR", "weight": "DOUBLE"}]')) AS judge
          FROM configs)
), scored AS (
    SELECT pair.id AS pair_id, judgements.candidate_id,
           sum(score * coalesce(weight, 1)) / sum(coalesce(weight, 1)) AS score
    FROM (SELECT id, config_hash, unnest(judgement_ids) AS judgement_id FROM chosen_pairs) AS pair
    JOIN judgements ON judgements.id = pair.judgement_id AND judgements.outcome = 'scored'
    LEFT JOIN judge_weights ON judge_weights.config_hash = pair.config_hash
        AND judge_weights.judge = judgements.judge
    GROUP BY pair.id, judgements.candidate_id
), pair_words AS (
    SELECT pairs.*, chosen.text AS chosen, rejected.text AS rejected,
           CASE WHEN pairs.id IN (SELECT pair_id FROM tainted_pairs) THEN 'retracted'
                WHEN outcome = 'tie' THEN 'tie' WHEN outcome <> 'preferred' THEN 'unscored'
                WHEN margin < $min_margin THEN 'margin below --min-margin'
                WHEN agreement IS NULL AND $min_agreement IS NOT NULL THEN 'agreement unknown'
                WHEN agreement < $min_agreement THEN 'agreement below --min-agreement'
                WHEN chosen.text = rejected.text THEN 'chosen equals rejected'
                WHEN {chosen_is_empty} OR {rejected_is_empty} THEN 'empty answer'
                WHEN NOT ({chosen_is_whole} AND {rejected_is_whole}) THEN 'cut off'
           END AS reason
    FROM chosen_pairs AS pairs
    LEFT JOIN candidates AS chosen ON chosen.id = pairs.chosen_id
    LEFT JOIN candidates AS rejected ON rejected.id = pairs.rejected_id
)""".replace("{of_prompt}", _OF_PROMPT)
    .replace("{chosen_is_empty}", IS_EMPTY.format("chosen.text"))
    .replace("{rejected_is_empty}", IS_EMPTY.format("rejected.text"))
    .replace("{chosen_is_whole}", IS_WHOLE.format("chosen.finish_reason"))
    .replace("{rejected_is_whole}", IS_WHOLE.format("rejected.finish_reason"))
)
_SAID = "imported.is_conversation, imported.messages, imported.columns AS said"
_IMPORTED = """LEFT JOIN imported_rows AS imported
        ON imported.subject_table = '{}' AND imported.subject_id = found_one.id"""
_WANTED = "prompts.split = $split AND ($mode IS NULL OR prompts.mode = $mode)"
_OWN = "NULL AS is_conversation, NULL AS messages, NULL AS said"

# An imported order without utilities rests on one verdict for every two answers, and on no score.
_IS_ORDER_ALONE = (
    "imported.id IS NOT NULL "
    "AND len(judgement_ids) = len(candidate_ids) * (len(candidate_ids) - 1) // 2"
)

_RANKINGS = f"""
found_one AS (
    SELECT rankings.*, {_OF_PROMPT}
    FROM rankings JOIN prompts ON prompts.id = rankings.prompt_id
    WHERE {_WANTED} AND ($run IS NULL OR rankings.run_id = $run)
      AND ($config_hash IS NULL OR rankings.id IN (
          SELECT ranking_id FROM pairs WHERE pairs.config_hash = $config_hash))
), places AS (
    SELECT id, unnest(candidate_ids) AS candidate_id, generate_subscripts(candidate_ids, 1) AS place
    FROM found_one
), words AS (
    SELECT places.id, list(candidates.text ORDER BY place) AS answers,
           list({IS_WHOLE.format("finish_reason")} ORDER BY place) AS is_whole,
           count(DISTINCT candidates.text) FILTER (
               {IS_WHOLE.format("finish_reason")}) AS whole_answers
    FROM places JOIN candidates ON candidates.id = places.candidate_id GROUP BY places.id
), found AS (
    SELECT found_one.* REPLACE (
               CASE WHEN {_IS_ORDER_ALONE} THEN NULL ELSE utilities END AS utilities
           ), words.answers, words.is_whole, {_SAID},
           CASE WHEN found_one.id IN (SELECT ranking_id FROM tainted_rankings) THEN 'retracted'
                WHEN found_one.utilities[1] = found_one.utilities[-1] THEN 'tie'
                WHEN parts IS NOT NULL THEN 'not all compared'
                WHEN len(list_distinct(answers)) = 1 THEN 'equal answers'
                WHEN whole_answers < 2 THEN 'cut off'
           END AS reason
    FROM found_one JOIN words USING (id) {_IMPORTED.format("rankings")}
)"""

SELECTIONS: dict[str, str] = {
    "preference": f"""{_PAIRS}, found AS (
    SELECT found_one.*, best.score AS score_chosen, worst.score AS score_rejected, {_SAID}
    FROM pair_words AS found_one
    LEFT JOIN scored AS best ON best.pair_id = found_one.id
        AND best.candidate_id = found_one.chosen_id
    LEFT JOIN scored AS worst ON worst.pair_id = found_one.id
        AND worst.candidate_id = found_one.rejected_id
    {_IMPORTED.format("pairs")}
)""",
    "ranking": _RANKINGS,
    # A candidate is desirable where it won more of the pairs that go out than it lost; labels that
    # were imported go out as they are, and not by the pairs made of them.
    "kto": f"""{_PAIRS}, sides AS (
    SELECT pairs.*, {_SAID}, side.candidate_id, side.completion, side.won,
           json_object('0', json_extract(imported.messages, side.place)) AS part
    FROM pair_words AS pairs
    LEFT JOIN imported_rows AS imported
        ON imported.subject_table = 'pairs' AND imported.subject_id = pairs.id,
    LATERAL (SELECT chosen_id AS candidate_id, chosen AS completion, 1 AS won, '$."0"' AS place
             UNION ALL SELECT rejected_id, rejected, -1, '$."1"') AS side
    WHERE reason IS NULL
      AND pairs.config_hash NOT IN (SELECT config_hash FROM imports WHERE form = 'kto')
), found AS (
    SELECT candidate_id AS id, any_value(prompt) AS prompt,
           any_value(prompt_messages) AS prompt_messages, any_value(few_shot) AS few_shot,
           any_value(tools) AS tools, any_value(rubric) AS rubric, any_value(context) AS context,
           any_value(mode) AS mode, any_value(split) AS split,
           any_value(reference_answers) AS reference_answers,
           any_value(completion) AS completion, sum(won) > 0 AS label,
           list_sort(list_distinct(flatten(list(judge_versions)))) AS judge_versions,
           bool_or(is_conversation) AS is_conversation, any_value(part) AS messages, NULL AS said,
           CASE WHEN sum(won) = 0 THEN 'won as often as lost' END AS reason
    FROM sides GROUP BY candidate_id
    UNION ALL
    SELECT candidates.id, {_OF_PROMPT}, candidates.text, judgements.score > 0.5,
           [judgements.judge_version], {_SAID},
           CASE WHEN $min_margin IS NOT NULL OR $min_agreement IS NOT NULL
                THEN 'margin and agreement unknown' END
    FROM imported_rows AS imported
    JOIN judgements ON imported.subject_table = 'judgements'
        AND judgements.id = imported.subject_id
    JOIN candidates ON candidates.id = judgements.candidate_id
    JOIN prompts ON prompts.id = imported.prompt_id
    JOIN imports ON imports.id = imported.import_id
    WHERE {_WANTED} AND ($run IS NULL OR judgements.run_id = $run)
      AND ($config_hash IS NULL OR imports.config_hash = $config_hash)
)""",
    "references": f"""found_one AS (
    SELECT prompts.*, unnest(reference_answers) AS completion,
           generate_subscripts(reference_answers, 1) - 1 AS part
    FROM prompts WHERE {_WANTED} AND ($run IS NULL OR run_id = $run)
), found AS (
    SELECT found_one.id, found_one.text AS prompt, found_one.messages AS prompt_messages,
           few_shot, tools, rubric, context, mode, split, [] AS reference_answers, completion,
           {_SAID},
           CASE WHEN {IS_EMPTY.format("completion")} THEN 'empty answer' END AS reason
    FROM found_one {_IMPORTED.format("prompts")} AND imported.part = found_one.part
)""",
    "rankings": _RANKINGS.replace("found AS (", "ranked AS (")
    + f""", found AS (
    SELECT candidate_ids[1] AS id, prompt, prompt_messages, few_shot, tools, rubric, context, mode,
           split, [] AS reference_answers,
           answers[1] AS completion, is_conversation, messages, NULL AS said,
           CASE WHEN {IS_EMPTY.format("answers[1]")} THEN 'empty answer'
                WHEN NOT is_whole[1] THEN 'cut off' WHEN reason <> 'cut off' THEN reason
           END AS reason
    FROM ranked
)""",
    "revisions": f"""latest AS (
    SELECT prompt_id, arg_max(id, round) AS id, arg_max(text, round) AS completion,
           max(round) AS round, arg_max(response_ids[-1], round) AS response_id
    FROM revisions WHERE $run IS NULL OR run_id = $run GROUP BY prompt_id, reviser
), found AS (
    SELECT latest.id, {_OF_PROMPT}, completion, {_OWN},
           CASE WHEN round = 0 THEN 'never revised'
                WHEN {IS_EMPTY.format("completion")} THEN 'empty answer'
                WHEN NOT {IS_WHOLE.format("finish_reason")} THEN 'cut off' END AS reason
    FROM latest JOIN prompts ON prompts.id = latest.prompt_id
    LEFT JOIN responses ON responses.id = latest.response_id
    WHERE {_WANTED}
)""",
}
"""Common table expressions of each subject, ending in `found` with the rows and reasons."""
