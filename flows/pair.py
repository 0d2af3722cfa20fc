"""Judgements become rankings, and rankings become pairs."""

from flows._cycle import CandidateBatch, Cycle
from flows._identity import config_hash
from flows._runs import cycle_flow
from flows._stage import stage
from judges._panel import Panelist, combination
from rlhf_core.preferences import rankings_and_pairs
from rlhf_core.records import PairOutcome, Split
from rlhf_core.store import queries


@cycle_flow("pair")
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
        groups = [candidates[prompt.id] for prompt in prompts]
        rankings, pairs = rankings_and_pairs(groups, judgements, combined, config_hash(config))
        work.news = f"{work.store.append([*rankings, *pairs])} new rows"
        outcomes = [found.outcome for found in pairs]
        work.detail = {
            "rankings": len(rankings),
            **{outcome.value: outcomes.count(outcome) for outcome in PairOutcome},
            "intransitive": sum(found.is_intransitive for found in pairs),
        }
    return combined.recipe
