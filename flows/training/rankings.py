"""Rankings out of the store, as what reward models and DPO learn from."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from flows.cycle.cycle import Cycle
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.config import Config
from rlhf_core.config.training import LabelSettings
from rlhf_core.errors import ConfigError
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.records import Candidate, Import, Pair, PairOutcome, Prompt, Ranking
from rlhf_core.store import Store, exchange, queries, store_exists

logger = logging.getLogger(__name__)


def training_rankings(
    cycle: Cycle, store: Store, sft_id: str, recipe: str, prompts: Sequence[Prompt]
) -> list[Ranking]:
    """Of this cycle's candidates and those of the cycles before it, and those that are imported."""
    keys = cycle.sampled_batches(store, sft_id)
    own = queries.rankings_of(store, recipe, keys, prompts)
    return own + exchange.rankings_imported(store, wanted_imports(store, cycle.config))


def wanted_imports(store: Store, config: Config) -> list[Import]:
    """The imports that a config learns from.

    Raises:
        ConfigError: If one is not in the store, or holds no rankings.
    """
    settings = config.preferences.imported
    names = settings.sources if settings else ()
    if not names:
        return []
    found = exchange.newest_imports(store, names)
    for name in names:
        if name not in found:
            raise ConfigError(
                f"preferences.imported: {name!r} is not in {config.store}; read it in with `solon "
                f"import FILE --name {name}`"
            )
        if not exchange.has_rankings(store, found[name]):
            raise ConfigError(
                f"preferences.imported: {name!r} holds rows of format {found[name].form} that rank "
                "nothing; name an import of preferences, rankings, or answers of which a prompt "
                "has some of either label"
            )
    return list({found[name].id: found[name] for name in names}.values())


def count_imported(config: Config) -> int:
    """How many imported rankings a config may learn from.

    Raises:
        ConfigError: As `wanted_imports`, also where there is no store yet.
    """
    if config.preferences.imported is None:
        return 0
    if not store_exists(config.store):
        raise ConfigError(
            f"preferences.imported: there is no store {config.store} yet; read the files in with "
            "`solon import FILE`"
        )
    store = Store(config.store)
    return len(exchange.rankings_imported(store, wanted_imports(store, config)))


def ranked_candidates(
    store: Store,
    chat: ChatFormat,
    rankings: Sequence[Ranking],
    labels: LabelSettings,
    config: Config,
) -> list[RankedCandidates]:
    """Rankings as tokens, without those that prefer nothing, or are imported and too long."""
    by_id = queries.prompts_by_id(store, {ranking.prompt_id for ranking in rankings})
    imports = wanted_imports(store, config)
    external = {imported.judge_version for imported in imports}
    pairs = queries.pairs_of_rankings(store, rankings)
    ids = {candidate_id for ranking in rankings for candidate_id in ranking.candidate_ids}
    candidates = queries.candidates_by_id(store, ids)
    found = []
    too_long = 0
    for ranking in rankings:
        preferences = preference_matrix(ranking.candidate_ids, pairs[ranking.id], labels)
        if preferences.any():
            prompt_ids = tuple(chat.prompt_ids(by_id[ranking.prompt_id].instruction))
            members = [candidates[candidate_id] for candidate_id in ranking.candidate_ids]
            sequences = tuple(TokenSequence(prompt_ids, _answer_ids(chat, m)) for m in members)
            if ranking.recipe in external and not _fits(sequences, config):
                too_long += 1
                continue
            margins = margin_matrix(ranking.candidate_ids, pairs[ranking.id])
            readable = [place for place, s in enumerate(sequences) if s.response_ids]
            if preferences[readable][:, readable].any():
                found.append(
                    RankedCandidates(
                        tuple(sequences[place] for place in readable),
                        preferences[readable][:, readable],
                        margins[readable][:, readable],
                    )
                )
    if too_long:
        logger.warning(
            "%d imported rankings are not learnt from: a prompt or an answer is too long "
            "(policy.max_prompt_tokens, preferences.imported.max_answer_tokens)",
            too_long,
        )
    return found


def _answer_ids(chat: ChatFormat, candidate: Candidate) -> tuple[int, ...]:
    """Tokens as they were drawn, where they are known; none of an answer cut off before a word."""
    return candidate.token_ids or tuple(chat.answer_ids(candidate.text, candidate.is_finished))


def _fits(sequences: Sequence[TokenSequence], config: Config) -> bool:
    settings = config.preferences.imported
    assert settings is not None, "only a config that imports has imported rankings"
    longest = max(len(sequence.response_ids) for sequence in sequences)
    return (
        len(sequences[0].prompt_ids) <= config.policy.max_prompt_tokens
        and longest <= settings.max_answer_tokens
    )


def preference_matrix(
    candidate_ids: Sequence[str], pairs: Sequence[Pair], labels: LabelSettings
) -> Tensor:
    """Probability that the row's candidate is better than the column's, (K, K).

    Both cells of a pair that teaches nothing are 0.
    """
    place = _places(candidate_ids)
    preferences = torch.zeros(len(place), len(place))
    for pair in pairs:
        if pair.outcome is PairOutcome.PREFERRED and pair.chosen_id and pair.rejected_id:
            cell = place[pair.chosen_id], place[pair.rejected_id]
            # Imported margins can be wider than a certain win.
            margin = min(1.0, pair.margin or 0.0) if labels.labels == "soft" else 1.0
            preferences[cell] = (1 + margin) / 2
            preferences[cell[::-1]] = (1 - margin) / 2
        elif pair.outcome is PairOutcome.TIE and labels.ties == "half":
            cell = place[pair.left_id], place[pair.right_id]
            preferences[cell] = preferences[cell[::-1]] = 0.5
    return preferences


def margin_matrix(candidate_ids: Sequence[str], pairs: Sequence[Pair]) -> Tensor:
    """By how much the row's candidate is better than the column's, −1 to 1, (K, K); 0 unless it is.

    Of imported pairs −2 to 2.
    """
    place = _places(candidate_ids)
    margins = torch.zeros(len(place), len(place))
    for pair in pairs:
        if pair.outcome is PairOutcome.PREFERRED and pair.chosen_id and pair.rejected_id:
            cell = place[pair.chosen_id], place[pair.rejected_id]
            margins[cell], margins[cell[::-1]] = pair.margin or 0.0, -(pair.margin or 0.0)
    return margins


def _places(candidate_ids: Sequence[str]) -> dict[str, int]:
    return {candidate_id: index for index, candidate_id in enumerate(candidate_ids)}
