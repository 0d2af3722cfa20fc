"""What a counterfactual reads of a snapshot, a page of prompts at a time."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from rlhf_core.records import Candidate, Judgement, Prompt
from rlhf_core.store.audit import Snapshot

PROMPTS_A_PAGE = 2000


@dataclass(frozen=True)
class Page:
    """Some prompts with their candidates, by what was ranked together, and what judges said."""

    prompts: dict[str, Prompt]
    groups: list[list[Candidate]]
    judgements: list[Judgement]


@dataclass(frozen=True)
class Spending:
    """What one judge version has been asked, over the whole store."""

    judgements: int
    """Those it gave; what was unavailable is in the costs alone."""
    cost_usd: float
    seconds: float | None
    """Their latencies together; None where the judge keeps none, as those without a model."""
    is_pairwise: bool


def ranked_pages(
    snapshot: Snapshot, recipe: str, versions: Collection[str], size: int = PROMPTS_A_PAGE
) -> Iterator[Page]:
    """All candidates of the batches that this recipe ranked, also where it could rank nothing.

    Args:
        snapshot: Where to look.
        recipe: Of the panel as it is.
        versions: Judges whose judgements are wanted.
        size: Prompts a page.
    """
    batches = snapshot.ask(
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
    ids = [row[0] for row in snapshot.ask(asked, wanted).rows]
    for start in range(0, len(ids), size):
        some = ids[start : start + size]
        found = snapshot.ask(
            f"SELECT * EXCLUDE (token_ids, logprobs) FROM candidates {of_batches} "
            "WHERE prompt_id IN (SELECT unnest($ids)) "
            "ORDER BY prompt_id, model_id, sampling, seed, sample_index",
            {**wanted, "ids": some},
        )
        candidates = [Candidate.model_validate(row) for row in found.as_dicts()]
        yield Page(
            _prompts(snapshot, some), _grouped(candidates), _judgements(snapshot, some, versions)
        )


def _grouped(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    groups: dict[tuple[str, str, str, int], list[Candidate]] = {}
    for one in candidates:
        key = one.prompt_id, one.model_id, one.sampling, one.seed
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _prompts(snapshot: Snapshot, ids: Sequence[str]) -> dict[str, Prompt]:
    found = snapshot.ask("SELECT * FROM prompts WHERE id IN (SELECT unnest(?))", [ids])
    return {row["id"]: Prompt.model_validate(row) for row in found.as_dicts()}


def _judgements(
    snapshot: Snapshot, prompt_ids: Sequence[str], versions: Collection[str]
) -> list[Judgement]:
    found = snapshot.ask(
        "SELECT * EXCLUDE (raw_output, reason, response_ids) FROM judgements "
        "WHERE prompt_id IN (SELECT unnest($ids)) "
        "AND judge_version IN (SELECT unnest($versions)) ORDER BY created_at, rowid",
        {"ids": prompt_ids, "versions": list(versions)},
    )
    return [Judgement.model_validate(row) for row in found.as_dicts()]


def versions_of(snapshot: Snapshot, judge: str) -> list[str]:
    """Versions that judged under this name, or the one of which this is the version."""
    found = snapshot.ask(
        "SELECT DISTINCT judge_version FROM judgements WHERE judge = $judge "
        "OR judge_version = $judge ORDER BY 1",
        {"judge": judge},
    )
    return [row[0] for row in found.rows]


def known_judges(snapshot: Snapshot) -> list[str]:
    found = snapshot.ask("SELECT DISTINCT judge FROM judgements ORDER BY judge")
    return [row[0] for row in found.rows]


def spending(snapshot: Snapshot, version: str) -> Spending:
    (row,) = snapshot.ask(
        "SELECT count(*) FILTER (outcome <> 'unavailable'), coalesce(sum(cost_usd), 0), "
        "nullif(sum(latency_seconds), 0), count(opponent_id) > 0 "
        "FROM judgements WHERE judge_version = ?",
        [version],
    ).rows
    return Spending(*row)
