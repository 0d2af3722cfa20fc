"""Judgements become rankings, and rankings become pairs."""

from flows.cycle.cycle import CandidateBatch, Cycle
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.handover import Handover
from flows.cycle.identity import config_hash
from flows.cycle.stage import stage
from flows.service.events import Event, announce
from judges.panel.panel import Panelist, combination
from rlhf_core.preferences.ranking import count_lacking, rankings_and_pairs
from rlhf_core.records import PairOutcome, Split
from rlhf_core.store import queries


@cycle_flow("pair")
def pair(cycle: Cycle, prompt_set_id: str, batch: CandidateBatch) -> str:
    """Rank the candidates by their judgements, and add the missing rankings and pairs.

    Args:
        cycle: The cycle under way.
        prompt_set_id: Prompt set of the cycle.
        batch: Candidates to rank.

    Returns:
        The recipe of the rankings, which names the judges and how they were combined.
    """
    config = cycle.config
    with stage(cycle, "pair") as work:
        panelists = [Panelist(settings) for settings in config.judges]
        combined = combination(panelists, config.preferences.tie_margin, config.preferences.missing)
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        candidates = queries.candidates_by_prompt(
            work.store, batch.model_id, batch.sampling, batch.seed, prompts
        )
        ids = {candidate.id for group in candidates.values() for candidate in group}
        judgements = queries.judgements_of(work.store, ids, combined.weights.keys())
        groups = [candidates[prompt.id] for prompt in prompts]
        lacking = count_lacking(groups, judgements, combined)
        rankings, pairs = rankings_and_pairs(groups, judgements, combined, config_hash(config))
        known = queries.known_ids(work.store, "pairs", [pair.id for pair in pairs])
        work.news = f"{work.store.append([*rankings, *pairs])} new rows"
        added = [pair.outcome for pair in pairs if pair.id not in known]
        if added:
            trainable = added.count(PairOutcome.PREFERRED)
            announce(
                Event.PAIRS_ADDED,
                cycle.line,
                cycle=cycle.number,
                run=cycle.run_id,
                new=len(added),
                trainable=trainable,
            )
        outcomes = [each.outcome for each in pairs]
        work.detail = {
            "rankings": len(rankings),
            **{outcome.value: outcomes.count(outcome) for outcome in PairOutcome},
            "lacking a verdict": lacking,
            "intransitive": sum(each.is_intransitive for each in pairs),
        }
        work.result = Handover(prompt_set_id=prompt_set_id, batch=batch, recipe=combined.recipe)
    return combined.recipe
