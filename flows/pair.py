"""Judgements become rankings, and rankings become pairs."""

from prefect import flow

from flows._cycle import CandidateBatch, Cycle
from flows._stage import stage
from judges._panel import Panelist, combination
from rlhf_core.preferences import pairs_of, rank
from rlhf_core.records import Judgement, Pair, PairOutcome, Ranking, Split
from rlhf_core.store import queries


@flow(name="pair")
def pair(cycle: Cycle, prompt_set_id: str, batch: CandidateBatch) -> str:
    """Add the rankings and pairs that are missing; the recipe they were combined by."""
    config = cycle.config
    with stage(cycle, "pair") as work:
        panelists = [Panelist(settings) for settings in config.judges]
        combined = combination(panelists, config.preferences.tie_margin)
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        candidates = queries.candidates_by_prompt(
            work.store, batch.model_id, batch.sampling, batch.seed, prompts
        )
        ids = {candidate.id for group in candidates.values() for candidate in group}
        judgements = queries.judgements_of(work.store, ids, combined.weights.keys())
        by_prompt: dict[str, list[Judgement]] = {prompt.id: [] for prompt in prompts}
        for judgement in judgements:
            by_prompt[judgement.prompt_id].append(judgement)
        rankings: list[Ranking] = []
        pairs: list[Pair] = []
        for prompt in prompts:
            group, said = candidates[prompt.id], by_prompt[prompt.id]
            ranking = rank(group, said, combined)
            if ranking is not None:
                rankings.append(ranking)
                pairs += pairs_of(ranking, group, said, combined, config.hash)
        work.news = f"{work.store.append([*rankings, *pairs])} new rows"
        outcomes = [found.outcome for found in pairs]
        work.detail = {
            "rankings": len(rankings),
            **{outcome.value: outcomes.count(outcome) for outcome in PairOutcome},
        }
    return combined.recipe
