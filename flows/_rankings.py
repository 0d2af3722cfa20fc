"""Rankings out of the store, as what reward models and DPO learn from."""

from collections.abc import Sequence

import torch
from torch import Tensor

from flows._cycle import Cycle
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.config.training import LabelSettings
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.records import Pair, PairOutcome, Prompt, Ranking
from rlhf_core.store import Store, queries


def training_rankings(
    cycle: Cycle, store: Store, sft_id: str, recipe: str, prompts: Sequence[Prompt]
) -> list[Ranking]:
    """Of this cycle's candidates and those of the cycles before it."""
    batches = cycle.training_batches(store, sft_id)
    keys = {(batch.model_id, batch.seed) for batch in batches}
    return queries.rankings_of(store, recipe, keys, prompts)


def ranked_candidates(
    store: Store,
    chat: ChatFormat,
    prompts: Sequence[Prompt],
    rankings: Sequence[Ranking],
    labels: LabelSettings,
) -> list[RankedCandidates]:
    """Rankings as tokens, without those that prefer nothing to anything."""
    by_id = {prompt.id: prompt for prompt in prompts}
    pairs = queries.pairs_of_rankings(store, rankings)
    ids = {candidate_id for ranking in rankings for candidate_id in ranking.candidate_ids}
    candidates = queries.candidates_by_id(store, ids)
    found = []
    for ranking in rankings:
        preferences = preference_matrix(ranking.candidate_ids, pairs[ranking.id], labels)
        if preferences.any():
            prompt_ids = tuple(chat.prompt_ids(by_id[ranking.prompt_id].instruction))
            members = [candidates[candidate_id] for candidate_id in ranking.candidate_ids]
            sequences = tuple(
                TokenSequence(prompt_ids, member.token_ids or tuple(chat.answer_ids(member.text)))
                for member in members
            )
            utilities = torch.tensor(ranking.utilities)
            margins = utilities[:, None] - utilities
            found.append(RankedCandidates(sequences, preferences, margins))
    return found


def preference_matrix(
    candidate_ids: Sequence[str], pairs: Sequence[Pair], labels: LabelSettings
) -> Tensor:
    """Probability that the row's candidate is better than the column's, (K, K).

    Both cells of a pair that teaches nothing are 0.
    """
    place = {candidate_id: index for index, candidate_id in enumerate(candidate_ids)}
    preferences = torch.zeros(len(place), len(place))
    for pair in pairs:
        if pair.outcome is PairOutcome.PREFERRED and pair.chosen_id and pair.rejected_id:
            cell = place[pair.chosen_id], place[pair.rejected_id]
            margin = (pair.margin or 0.0) if labels.labels == "soft" else 1.0
            preferences[cell] = (1 + margin) / 2
            preferences[cell[::-1]] = (1 - margin) / 2
        elif pair.outcome is PairOutcome.TIE and labels.ties == "half":
            cell = place[pair.left_id], place[pair.right_id]
            preferences[cell] = preferences[cell[::-1]] = 0.5
    return preferences
