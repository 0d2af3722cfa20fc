"""Read the facts that a counterfactual counts from a snapshot, page by page of prompts."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rlhf_core.preferences.votes import JudgementRow
from rlhf_core.records import Mode, Prompt, Split
from rlhf_core.records.preferences import FINISHED
from rlhf_core.store.snapshot import Snapshot

PROMPTS_A_PAGE = 10_000


class Group(NamedTuple):
    """The candidates of one prompt that are ranked together."""

    prompt_id: str
    mode: Mode
    split: Split
    answers: dict[str, int]
    """Hash of each candidate's text and of whether it ended, by its id, in sampling order."""


@dataclass(frozen=True)
class Page:
    """The groups of some prompts, and the judgements of each prompt's candidates."""

    groups: list[Group]
    said: dict[str, list[JudgementRow]] = field(default_factory=dict)
    """Judgements by prompt id."""


@dataclass(frozen=True)
class JudgementCosts:
    """The judgements of one judge version in the whole store, and what they cost."""

    judgements: int
    """Number of judgements; unavailable ones are counted in the cost only."""
    cost_usd: float
    seconds: float | None
    """Sum of their latencies; None if the judge has none, as judges without a model."""
    is_pairwise: bool


def ranked_pages(
    snapshot: Snapshot, recipe: str, versions: Collection[str], size: int = PROMPTS_A_PAGE
) -> Iterator[Page]:
    """Yield all candidates of the batches that a recipe ranked, page by page.

    Candidates that the recipe could not rank are included.

    Args:
        snapshot: The store's snapshot.
        recipe: Recipe of the current panel.
        versions: Judge versions whose judgements are read.
        size: Prompts a page.
    """
    batches = snapshot.query(
        "SELECT DISTINCT candidates.model_id, sampling, candidates.seed FROM rankings "
        "JOIN candidates ON candidates.id = candidate_ids[1] WHERE recipe = ?",
        [recipe],
    )
    of_batches = (
        "SEMI JOIN (SELECT unnest($models) AS model_id, unnest($samplings) AS sampling, "
        "unnest($seeds) AS seed) AS batches USING (model_id, sampling, seed)"
    )
    models, samplings, seeds = [list(c) for c in zip(*batches.rows, strict=True)] or [[], [], []]
    wanted = {"models": models, "samplings": samplings, "seeds": seeds}
    asked = f"SELECT DISTINCT prompt_id FROM candidates {of_batches} ORDER BY prompt_id"
    ids = [row[0] for row in snapshot.query(asked, wanted).rows]
    for start in range(0, len(ids), size):
        some = ids[start : start + size]
        groups = snapshot.query(
            "SELECT prompt_id, any_value(mode), any_value(split), "
            "list(candidates.id ORDER BY sample_index, candidates.id), "
            f"list(hash(candidates.text, finish_reason IN {FINISHED}) "
            "ORDER BY sample_index, candidates.id) "
            f"FROM candidates {of_batches} JOIN prompts ON prompts.id = prompt_id "
            "WHERE prompt_id IN (SELECT unnest($ids)) "
            "GROUP BY prompt_id, model_id, sampling, candidates.seed "
            "ORDER BY prompt_id, model_id, sampling, candidates.seed",
            {**wanted, "ids": some},
        )
        yield Page(
            [
                Group(id, Mode(mode), Split(split), dict(zip(candidates, texts, strict=True)))
                for id, mode, split, candidates, texts in groups.rows
            ],
            _said(snapshot, some, versions),
        )


def _said(
    snapshot: Snapshot, prompt_ids: Sequence[str], versions: Collection[str]
) -> dict[str, list[JudgementRow]]:
    judgements = snapshot.query(
        f"SELECT {', '.join(JudgementRow._fields)} FROM judgements "
        "WHERE prompt_id IN (SELECT unnest($ids)) "
        "AND judge_version IN (SELECT unnest($versions)) ORDER BY created_at, rowid",
        {"ids": prompt_ids, "versions": list(versions)},
    )
    by_prompt: defaultdict[str, list[JudgementRow]] = defaultdict(list)
    for said in map(JudgementRow._make, judgements.rows):
        by_prompt[said.prompt_id].append(said)
    return by_prompt


def prompts_with_answers(
    snapshot: Snapshot, prompt_ids: Collection[str]
) -> tuple[dict[str, Prompt], dict[str, str]]:
    """Return the prompts by id, and the texts of their candidates by candidate id."""
    ids = [list(prompt_ids)]
    prompts = snapshot.query("SELECT * FROM prompts WHERE id IN (SELECT unnest(?))", ids)
    texts = snapshot.query(
        "SELECT id, text FROM candidates WHERE prompt_id IN (SELECT unnest(?))", ids
    )
    return (
        {row["id"]: Prompt.model_validate(row) for row in prompts.as_dicts()},
        dict(texts.rows),
    )


def versions_of(snapshot: Snapshot, judge: str) -> list[str]:
    """Return the versions of the judge of that name, or else those that begin with it."""
    versions = snapshot.query(
        "SELECT judge_version, bool_or(judge = $judge OR judge_version = $judge) FROM judgements "
        "WHERE judge = $judge OR starts_with(judge_version, $judge) GROUP BY 1 ORDER BY 1",
        {"judge": judge},
    )
    named = [version for version, is_named in versions.rows if is_named]
    return named or [version for version, _ in versions.rows]


def known_judges(snapshot: Snapshot) -> list[str]:
    judges = snapshot.query("SELECT DISTINCT judge FROM judgements ORDER BY judge")
    return [row[0] for row in judges.rows]


def spending(snapshot: Snapshot, version: str) -> JudgementCosts:
    (row,) = snapshot.query(
        "SELECT count(*) FILTER (outcome <> 'unavailable'), coalesce(sum(cost_usd), 0), "
        "nullif(sum(latency_seconds), 0), count(opponent_id) > 0 "
        "FROM judgements WHERE judge_version = ?",
        [version],
    ).rows
    return JudgementCosts(*row)
