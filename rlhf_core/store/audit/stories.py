"""The story of one fact: everything about a pair, a prompt, an answer, a judgement or a model.

Each function returns the content of one page, as plain dictionaries of values.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from rlhf_core.records.turns import turns_to_show
from rlhf_core.store.audit.pages import DECISION
from rlhf_core.store.lineage.tree import Subject, anything_retracted, subject_of
from rlhf_core.store.snapshot import Snapshot

Story = dict[str, Any]

VOTES = """
SELECT id, judge, judge_version, candidate_id, opponent_id, presented, outcome, score,
       probability, reason, raw_output, response_ids, cost_usd, run_id, created_at
FROM judgements WHERE {} ORDER BY judge_version, presented, candidate_id, created_at, id"""
RETRACTED = """
SELECT DISTINCT judgements.id FROM judgements JOIN retracted
ON (subject_table = 'judgements' AND subject_id = judgements.id)
OR (subject_table = 'judge_versions' AND subject_id = judge_version)
OR (subject_table = 'candidates' AND subject_id IN (candidate_id, opponent_id))
OR (subject_table = 'prompts' AND subject_id = prompt_id)
WHERE judgements.id IN (SELECT unnest($ids))"""
MODELS = """
SELECT model_ancestry.model_id AS id, models.kind, any_value(model_runs.line) AS line,
       any_value(model_runs.cycle) AS cycle,
       bool_or(model_ancestry.model_id = ancestor_id) AS is_direct,
       string_agg(DISTINCT input_table, ', ' ORDER BY input_table)
           FILTER (model_ancestry.model_id = ancestor_id) AS learnt_from,
       models.created_at
FROM ({}) AS learnt JOIN model_ancestry ON ancestor_id = learnt.model_id
JOIN models ON models.id = model_ancestry.model_id
JOIN model_runs ON model_runs.model_id = models.id
GROUP BY model_ancestry.model_id, models.kind, models.created_at
ORDER BY is_direct DESC, models.created_at, id"""
PROMPT = """
SELECT id, text, context, mode, split, reference_answers, messages, few_shot, tools
FROM prompts WHERE id = $id"""
CANDIDATE = """
SELECT id, prompt_id, model_id, text, sampling, temperature, max_new_tokens, seed, sample_index,
       finish_reason, prompt_tokens, completion_tokens, list_avg(logprobs) AS mean_logprob
FROM candidates WHERE id = $id"""
MODEL = """
SELECT models.*, model_runs.line, model_runs.cycle
FROM models LEFT JOIN model_runs ON model_runs.model_id = models.id WHERE id = $id"""
PAIR = """
SELECT pairs.*, by_run.line, by_run.cycle FROM pairs LEFT JOIN cycle_runs AS by_run
ON by_run.run_id = pairs.run_id WHERE pairs.id = $id LIMIT 1"""
LEARNT_PROMPT = "SELECT model_id, 'prompts' AS input_table FROM model_prompts WHERE prompt_id = $id"
LEARNT_FROM = """
SELECT DISTINCT model_id, input_table FROM model_inputs
WHERE input_id IN ({}) AND role = 'learnt'"""
LEARNT_PAIR = f"""{LEARNT_FROM.format("$ranking, $prompt")} AND NOT (
    input_id = $ranking AND model_id IN
        (SELECT model_id FROM model_inputs WHERE input_id = $id AND role = 'left_out'))"""


TAINTED_BY = """
SELECT subject_table, subject_id, reason, retracted_by, retracted_at
FROM tainted_pairs JOIN retracted USING (subject_table, subject_id)
WHERE pair_id = $id ORDER BY ALL"""


def pair_story(snapshot: Snapshot, pair_id: str) -> Story:
    """Return a pair with its prompt, answers, votes, human verdicts and models taught by it.

    `is_counted` says which votes made the label.
    """
    pair = _row(snapshot, PAIR, pair_id)
    sides = {"left": pair["left_id"], "right": pair["right_id"]}
    votes = _votes(
        snapshot,
        "prompt_id = $prompt AND candidate_id IN ($left, $right) "
        "AND (opponent_id IS NULL OR opponent_id IN ($left, $right))",
        {"prompt": pair["prompt_id"], **sides},
    )
    counted = set(pair["judgement_ids"])
    return {
        **pair,
        "prompt": _prompt(snapshot, pair["prompt_id"]),
        "answers": {side: _candidate(snapshot, one) for side, one in sides.items()},
        "votes": [{**vote, "is_counted": vote["id"] in counted} for vote in votes],
        "spot_checks": _rows(
            snapshot,
            "SELECT person, verdict, note, strategy, checked_at FROM human_verdicts "
            "WHERE left_id = $left AND right_id = $right ORDER BY checked_at, person",
            sides,
        ),
        "models": _rows(
            snapshot,
            MODELS.format(LEARNT_PAIR),
            {"ranking": pair["ranking_id"], "prompt": pair["prompt_id"], "id": pair_id},
        ),
        "tainted_by": _rows(snapshot, TAINTED_BY, {"id": pair_id})
        if anything_retracted(snapshot)
        else [],
    }


def prompt_story(snapshot: Snapshot, prompt_id: str) -> Story:
    """Return a prompt with its turns, references, answers and utilities, judges and models."""
    candidates = _rows(
        snapshot,
        """
SELECT candidates.id, model_id, sample_index, text, finish_reason, completion_tokens,
       (SELECT list(utilities[list_position(candidate_ids, candidates.id)] ORDER BY created_at)
        FROM rankings WHERE prompt_id = $id AND list_contains(candidate_ids, candidates.id))
           AS utilities
FROM candidates WHERE prompt_id = $id ORDER BY model_id, seed, sample_index""",
        {"id": prompt_id},
    )
    return {
        **_with_turns(_row(snapshot, PROMPT, prompt_id)),
        "candidates": candidates,
        "judges": _rows(
            snapshot,
            "SELECT judge, judge_version, count(*) AS judgements FROM judgements "
            "WHERE prompt_id = $id GROUP BY ALL ORDER BY judge_version",
            {"id": prompt_id},
        ),
        "models": _rows(snapshot, MODELS.format(LEARNT_PROMPT), {"id": prompt_id}),
    }


def candidate_story(snapshot: Snapshot, candidate_id: str) -> Story:
    """Return an answer with its sampling, log-probability, judgements and pairs."""
    candidate = _row(snapshot, CANDIDATE, candidate_id)
    asked = {"id": candidate_id, "prompt": candidate["prompt_id"]}
    return {
        **candidate,
        "prompt": _prompt(snapshot, candidate["prompt_id"]),
        "votes": _votes(
            snapshot, "prompt_id = $prompt AND $id IN (candidate_id, opponent_id)", asked
        ),
        "pairs": _rows(
            snapshot,
            "SELECT id, outcome, chosen_id = $id AS is_chosen, margin, agreement FROM pairs "
            "WHERE prompt_id = $prompt AND $id IN (left_id, right_id) ORDER BY id",
            asked,
        ),
    }


def judgement_story(snapshot: Snapshot, judgement_id: str) -> Story:
    """Return a judgement with its prompt, the answers shown and the responses."""
    (vote,) = _votes(snapshot, "id = $id", {"id": judgement_id})
    shown = [one for one in (vote["candidate_id"], vote["opponent_id"]) if one]
    asked = _row(snapshot, "SELECT prompt_id FROM judgements WHERE id = $id", judgement_id)
    return {
        **vote,
        "prompt": _prompt(snapshot, asked["prompt_id"]),
        "answers": [_candidate(snapshot, one) for one in shown],
    }


def ranking_story(snapshot: Snapshot, ranking_id: str) -> Story:
    """Return a ranking with its answers, best first, and its judgements."""
    ranking = _row(snapshot, "SELECT * FROM rankings WHERE id = $id", ranking_id)
    return {
        **ranking,
        "prompt": _prompt(snapshot, ranking["prompt_id"]),
        "answers": [
            {"utility": utility, **(_candidate(snapshot, one) or {"id": one})}
            for one, utility in zip(ranking["candidate_ids"], ranking["utilities"], strict=True)
        ],
        "votes": _votes(
            snapshot,
            "prompt_id = $prompt AND id IN (SELECT unnest($ids))",
            {"prompt": ranking["prompt_id"], "ids": ranking["judgement_ids"]},
        ),
        "models": _rows(
            snapshot, MODELS.format(LEARNT_FROM.format("$ranking")), {"ranking": ranking_id}
        ),
    }


def model_story(snapshot: Snapshot, model_id: str) -> Story:
    """Return a model with its inputs, last metrics, evaluations and tainted rows."""
    asked = {"id": model_id}
    return {
        **_row(snapshot, MODEL, model_id),
        "sources": _rows(
            snapshot,
            "SELECT DISTINCT source_id, relation FROM model_sources WHERE model_id = $id "
            "ORDER BY ALL",
            asked,
        ),
        "learnt_from": _rows(
            snapshot,
            "SELECT input_table, role, count(*) AS rows FROM model_inputs WHERE model_id = $id "
            "GROUP BY ALL ORDER BY ALL",
            asked,
        ),
        "curves": _rows(
            snapshot,
            "SELECT name, max(step) AS step, arg_max(value, step) AS last FROM metrics "
            "WHERE model_id = $id GROUP BY name ORDER BY name",
            asked,
        ),
        "evaluations": _rows(
            snapshot,
            "SELECT judge, judge_version, role, win_rate, win_rate_low, win_rate_high, kl "
            "FROM evaluations WHERE policy_id = $id ORDER BY role, judge_version",
            asked,
        ),
        "figures": _rows(
            snapshot,
            "SELECT judge, metric, facet, evaluation_figures.n, value, low, high, p "
            "FROM evaluation_figures JOIN evaluations ON evaluations.id = evaluation_id "
            "WHERE policy_id = $id ORDER BY judge, metric, facet DESC, evaluation_id",
            asked,
        ),
        "promotions": _rows(
            snapshot,
            f"SELECT line, cycle, {DECISION}, reasons FROM promotions WHERE policy_id = $id "
            "ORDER BY line, cycle",
            asked,
        ),
        "taint": _rows(
            snapshot,
            "SELECT own_rows, inherited_rows FROM tainted_models WHERE model_id = $id",
            asked,
        ),
    }


STORIES: Mapping[str, Callable[[Snapshot, str], Story]] = {
    "pairs": pair_story,
    "prompts": prompt_story,
    "candidates": candidate_story,
    "judgements": judgement_story,
    "rankings": ranking_story,
    "models": model_story,
}


def story_of(snapshot: Snapshot, subject: Subject) -> Story:
    """Return the story of a fact of one of the tables of STORIES.

    A prompt or an answer in it is None if the store no longer holds it.
    """
    return STORIES[subject.table](snapshot, subject.id)


def find_story(snapshot: Snapshot, table: str, wanted: str) -> Story:
    """Return the story of the row of a table with this id, or the only one that begins so.

    Args:
        snapshot: The store's snapshot.
        table: One of the tables of STORIES.
        wanted: An id, or its beginning.

    Raises:
        IdError: If no row matches, or several.
    """
    return story_of(snapshot, subject_of(snapshot, wanted, [table]))


def _prompt(snapshot: Snapshot, prompt_id: str) -> Story | None:
    found = _rows(snapshot, PROMPT, {"id": prompt_id})
    return _with_turns(found[0]) if found else None


def _with_turns(prompt: Story) -> Story:
    """Return a prompt with its turns in place of the JSON that they come from."""
    stored = {name: prompt.pop(name) for name in ("messages", "few_shot", "tools")}
    return prompt | {"turns": [asdict(turn) for turn in turns_to_show(prompt["text"], **stored)]}


def _candidate(snapshot: Snapshot, candidate_id: str) -> Story | None:
    return next(iter(_rows(snapshot, CANDIDATE, {"id": candidate_id})), None)


def _votes(snapshot: Snapshot, condition: str, values: Mapping[str, Any]) -> list[Story]:
    """Return judgements, with whether they are retracted and the responses behind them."""
    votes = _rows(snapshot, VOTES.format(condition), values)
    retracted: list[tuple[str]] = []
    if anything_retracted(snapshot):
        retracted = snapshot.query(RETRACTED, {"ids": [vote["id"] for vote in votes]}).rows
    responses = [name for vote in votes for name in vote["response_ids"] or []]
    said = dict(
        snapshot.query(
            "SELECT id, text FROM responses WHERE id IN (SELECT unnest($ids))", {"ids": responses}
        ).rows
    )
    for vote in votes:
        vote["is_retracted"] = (vote["id"],) in retracted
        vote["said"] = [said[name] for name in vote.pop("response_ids") or [] if name in said]
    return votes


def _row(snapshot: Snapshot, sql: str, identity: str) -> Story:
    return snapshot.query(sql, {"id": identity}).as_dicts()[0]


def _rows(snapshot: Snapshot, sql: str, values: Mapping[str, Any]) -> list[Story]:
    return snapshot.query(sql, values).as_dicts()
