"""Rankings of the store as training data for reward models and DPO."""

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
    """Return the rankings of this cycle and the cycles before it, and the imported ones.

    An imported ranking with an answer of more than one message is left out: a policy writes one
    message, and would learn to write the user's turns in between.

    Args:
        cycle: The cycle under way.
        store: Store with the rankings.
        sft_id: SFT model of the line.
        recipe: Recipe of the cycle's own rankings.
        prompts: Training prompts of the cycle.
    """
    keys = cycle.sampled_batches(store, sft_id)
    own = queries.rankings_of(store, recipe, keys, prompts)
    imported, left_out = _imported_rankings(store, cycle.config)
    if left_out:
        logger.warning(
            "%d imported rankings are left out: an answer has more than one message", left_out
        )
    return own + imported


def wanted_imports(store: Store, config: Config) -> list[Import]:
    """Return the imports that a config learns from.

    Raises:
        ConfigError: If an import is not in the store, or holds no rankings.
    """
    settings = config.preferences.imported
    names = settings.sources if settings else ()
    if not names:
        return []
    imports = exchange.newest_imports(store, names)
    for name in names:
        if name not in imports:
            raise ConfigError(
                f"preferences.imported: {name!r} is not in {config.store}; import it with "
                f"`solon import FILE --name {name}`"
            )
        if not exchange.has_rankings(store, imports[name]):
            raise ConfigError(
                f"preferences.imported: {name!r} holds rows of format {imports[name].form} that "
                "rank nothing; name an import of preferences, of rankings, or of labelled answers "
                "with both labels on one prompt"
            )
    return list({imports[name].id: imports[name] for name in names}.values())


def count_imported(config: Config) -> int:
    """Return the number of imported rankings that a config may learn from.

    Raises:
        ConfigError: If there is no store yet, an import is not in it, or one holds no rankings.
    """
    if config.preferences.imported is None:
        return 0
    if not store_exists(config.store):
        raise ConfigError(
            f"preferences.imported: there is no store {config.store} yet; import the files with "
            "`solon import FILE`"
        )
    imported, _ = _imported_rankings(Store(config.store), config)
    return len(imported)


def _imported_rankings(store: Store, config: Config) -> tuple[list[Ranking], int]:
    """Return the imported rankings to learn from, and the number of those left out as dialogues."""
    imported = exchange.rankings_imported(store, wanted_imports(store, config))
    dialogues = exchange.rankings_of_dialogues(store, [ranking.id for ranking in imported])
    return [ranking for ranking in imported if ranking.id not in dialogues], len(dialogues)


def ranked_candidates(
    store: Store,
    chat: ChatFormat,
    rankings: Sequence[Ranking],
    labels: LabelSettings,
    config: Config,
) -> list[RankedCandidates]:
    """Return rankings as tokens, without empty ones and without imported ones that are too long.

    Args:
        store: Store with the rankings, their pairs and their candidates.
        chat: Chat format of the model that is trained.
        rankings: Rankings to learn from.
        labels: Hard or soft labels, and the label of a tie.
        config: Limits on the lengths of imported texts.
    """
    by_id = queries.prompts_by_id(store, {ranking.prompt_id for ranking in rankings})
    imports = wanted_imports(store, config)
    external = {imported.judge_version for imported in imports}
    pairs = queries.pairs_of_rankings(store, rankings)
    ids = {candidate_id for ranking in rankings for candidate_id in ranking.candidate_ids}
    candidates = queries.candidates_by_id(store, ids)
    learnable = []
    too_long = 0
    for ranking in rankings:
        preferences = preference_matrix(ranking.candidate_ids, pairs[ranking.id], labels)
        if preferences.any():
            prompt_ids = tuple(chat.prompt_ids(by_id[ranking.prompt_id].conversation))
            members = [candidates[candidate_id] for candidate_id in ranking.candidate_ids]
            sequences = tuple(TokenSequence(prompt_ids, answer_ids(chat, m)) for m in members)
            if ranking.recipe in external and not _fits(sequences, config):
                too_long += 1
                continue
            margins = margin_matrix(ranking.candidate_ids, pairs[ranking.id])
            readable = [place for place, s in enumerate(sequences) if s.response_ids]
            if preferences[readable][:, readable].any():
                learnable.append(
                    RankedCandidates(
                        tuple(sequences[place] for place in readable),
                        preferences[readable][:, readable],
                        margins[readable][:, readable],
                    )
                )
    if too_long:
        logger.warning(
            "%d imported rankings are left out: a prompt or an answer is too long "
            "(policy.max_prompt_tokens, preferences.imported.max_answer_tokens)",
            too_long,
        )
    return learnable


def answer_ids(chat: ChatFormat, candidate: Candidate) -> tuple[int, ...]:
    """Return the sampled tokens if known, else the text's; none of an answer without any text."""
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
    """Return the probability that the row's candidate is better than the column's, (K, K).

    Both cells of a pair without a label are 0.

    Args:
        candidate_ids: Candidates of a ranking, K of them.
        pairs: Pairs of that ranking.
        labels: Hard or soft labels, and the label of a tie.
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
    """Return the margin of the row's candidate over the column's, (K, K), antisymmetric.

    Margins lie in −1 to 1, those of imported pairs in −2 to 2; a pair without a preference has 0.
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
