"""The story of one fact: everything about a pair, a prompt, an answer, a judgement or a model.

Each function gives what one screen or page shows, as plain dictionaries of values.
"""

from collections.abc import Callable, Mapping
from typing import Any

from rlhf_core.store.audit import Snapshot
from rlhf_core.store.lineage import Subject

Story = dict[str, Any]

VOTES = """
SELECT judgements.id, judge, judge_version, candidate_id, opponent_id, presented, outcome, score,
       probability, reason, raw_output, cost_usd, created_at,
       id NOT IN (SELECT id FROM standing_judgements WHERE prompt_id = judgements.prompt_id)
           AS is_retracted,
       (SELECT list(text) FROM responses WHERE list_contains(response_ids, responses.id)) AS said
FROM judgements WHERE {} ORDER BY judge_version, presented, created_at, id"""
MODELS = """
SELECT model_ancestry.model_id AS id, models.kind,
       bool_or(model_ancestry.model_id = ancestor_id) AS is_direct
FROM ({}) AS learnt JOIN model_ancestry ON ancestor_id = learnt.model_id
JOIN models ON models.id = model_ancestry.model_id
GROUP BY ALL ORDER BY is_direct DESC, id"""
LEARNT_PROMPT = "SELECT DISTINCT model_id FROM model_prompts WHERE prompt_id = $id"
LEARNT_RANKING = "SELECT DISTINCT model_id FROM model_inputs WHERE input_id = $ranking"
LEARNT_PAIR = f"""{LEARNT_RANKING}
EXCEPT SELECT model_id FROM model_inputs WHERE input_id = $id AND role = 'left_out'"""


def pair_story(snapshot: Snapshot, pair_id: str) -> Story:
    """A pair: prompt, both answers, what came of it, every vote, the models that learnt from it."""
    pair = _row(snapshot, "SELECT * FROM pairs WHERE id = $id", pair_id)
    sides = {"left": pair["left_id"], "right": pair["right_id"]}
    votes = _rows(
        snapshot,
        VOTES.format("prompt_id = $prompt AND list_contains($ids, judgements.id)"),
        {"prompt": pair["prompt_id"], "ids": pair["judgement_ids"]},
    )
    return {
        **pair,
        "prompt": _prompt(snapshot, pair["prompt_id"]),
        "answers": {side: _candidate(snapshot, one) for side, one in sides.items()},
        "votes": votes,
        "models": _rows(
            snapshot, MODELS.format(LEARNT_PAIR), {"ranking": pair["ranking_id"], "id": pair_id}
        ),
        "tainted_by": _rows(
            snapshot,
            "SELECT subject_table, subject_id FROM tainted_pairs WHERE pair_id = $id",
            {"id": pair_id},
        ),
    }


def prompt_story(snapshot: Snapshot, prompt_id: str) -> Story:
    """A prompt: its references, its answers with their utilities, its judges and models."""
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
        **_prompt(snapshot, prompt_id),
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
    """An answer: how it was sampled, how likely it was, what judges said, its pairs."""
    found = _candidate(snapshot, candidate_id)
    asked = {"id": candidate_id, "prompt": found["prompt_id"]}
    return {
        **found,
        "prompt": _prompt(snapshot, found["prompt_id"]),
        "votes": _rows(
            snapshot,
            VOTES.format("prompt_id = $prompt AND $id IN (candidate_id, opponent_id)"),
            asked,
        ),
        "pairs": _rows(
            snapshot,
            "SELECT id, outcome, chosen_id = $id AS is_chosen, margin, agreement FROM pairs "
            "WHERE prompt_id = $prompt AND $id IN (left_id, right_id) ORDER BY id",
            asked,
        ),
    }


def judgement_story(snapshot: Snapshot, judgement_id: str) -> Story:
    """A judgement: what was asked, shown and said."""
    (vote,) = _rows(snapshot, VOTES.format("judgements.id = $id"), {"id": judgement_id})
    shown = [one for one in (vote["candidate_id"], vote["opponent_id"]) if one]
    answers = [_candidate(snapshot, one) for one in shown]
    return {
        **vote,
        "prompt": _prompt(snapshot, answers[0]["prompt_id"]),
        "answers": answers,
    }


def ranking_story(snapshot: Snapshot, ranking_id: str) -> Story:
    """A ranking: the answers from best to worst, and the judgements it rests on."""
    ranking = _row(snapshot, "SELECT * FROM rankings WHERE id = $id", ranking_id)
    return {
        **ranking,
        "prompt": _prompt(snapshot, ranking["prompt_id"]),
        "answers": [
            {"utility": utility, **_candidate(snapshot, one)}
            for one, utility in zip(ranking["candidate_ids"], ranking["utilities"], strict=True)
        ],
        "votes": _rows(
            snapshot,
            VOTES.format("prompt_id = $prompt AND list_contains($ids, judgements.id)"),
            {"prompt": ranking["prompt_id"], "ids": ranking["judgement_ids"]},
        ),
        "models": _rows(snapshot, MODELS.format(LEARNT_RANKING), {"ranking": ranking_id}),
    }


def model_story(snapshot: Snapshot, model_id: str) -> Story:
    """A model: what it was made of, how its training ended, how it did, whether it is tainted."""
    asked = {"id": model_id}
    return {
        **_row(snapshot, "SELECT * FROM models WHERE id = $id", model_id),
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
        "promotions": _rows(
            snapshot,
            "SELECT cycle, promoted, reasons FROM promotions WHERE policy_id = $id ORDER BY cycle",
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
    """The story of what an id means, of one of the tables of STORIES."""
    return STORIES[subject.table](snapshot, subject.id)


def _prompt(snapshot: Snapshot, prompt_id: str) -> Story:
    sql = "SELECT id, text, context, mode, split, reference_answers FROM prompts WHERE id = $id"
    return _row(snapshot, sql, prompt_id)


def _candidate(snapshot: Snapshot, candidate_id: str) -> Story:
    sql = """
SELECT id, prompt_id, model_id, text, sampling, temperature, max_new_tokens, seed, sample_index,
       finish_reason, prompt_tokens, completion_tokens, list_avg(logprobs) AS mean_logprob
FROM candidates WHERE id = $id"""
    return _row(snapshot, sql, candidate_id)


def _row(snapshot: Snapshot, sql: str, identity: str) -> Story:
    return snapshot.ask(sql, {"id": identity}).as_dicts()[0]


def _rows(snapshot: Snapshot, sql: str, values: Mapping[str, Any]) -> list[Story]:
    return snapshot.ask(sql, values).as_dicts()
