"""Signs that answers are new to the reward model, which it gives beside its score."""

from collections.abc import Mapping, Sequence

from flows.guard.answers import Signs
from flows.training.rankings import answer_ids
from rlhf_core.algorithms.reward_reader import RewardReader
from rlhf_core.config import Config
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Trunk
from rlhf_core.records import Candidate, Prompt
from rlhf_core.store import Store, line_queries, queries

MOST_LEARNT = 512
"""Answers of the reward model's training that others are compared with."""


def open_reader(
    store: Store, trunk: Trunk, chat: ChatFormat, reward_id: str, config: Config
) -> RewardReader:
    """Return a reader of answers that knows what the reward model learnt from.

    Args:
        store: Store with the rankings that the reward model learnt from.
        trunk: Holds the reward role.
        chat: Chat format of the line's models.
        reward_id: The reward model.
        config: Limits on the lengths of imported texts.
    """
    candidates = _learnt(store, reward_id)
    prompts = queries.prompts_by_id(store, {each.prompt_id for each in candidates})
    sequences = [
        TokenSequence(
            tuple(chat.prompt_ids(prompts[each.prompt_id].conversation)), answer_ids(chat, each)
        )
        for each in candidates
    ]
    return on_all_ranks(RewardReader, trunk, [s for s in sequences if _is_read(s, config)])


def signs_of(
    reader: RewardReader | None,
    chat: ChatFormat,
    prompts: Sequence[Prompt],
    answers: Mapping[str, Sequence[Candidate]],
) -> Signs:
    """Return the signs of some answers; none without a reader.

    Args:
        reader: Reads answers with the reward model.
        chat: Chat format of the line's models.
        prompts: The prompts.
        answers: Answers by prompt id.
    """
    if reader is None:
        return {}
    read = [
        (answer.id, TokenSequence(prompt_ids, answer_ids(chat, answer)))
        for prompt in prompts
        for prompt_ids in [tuple(chat.prompt_ids(prompt.conversation))]
        for answer in answers.get(prompt.id, [])
    ]
    read = [(name, sequence) for name, sequence in read if sequence.response_ids]
    if not read:
        return {}
    signs = on_all_ranks(reader.read, [sequence for _, sequence in read]).signs
    values = {name: sign.tolist() for name, sign in signs.items()}
    return {
        answer_id: {name: values[name][place] for name in values}
        for place, (answer_id, _) in enumerate(read)
    }


def _learnt(store: Store, reward_id: str) -> list[Candidate]:
    """Return candidates that the reward model learnt from, evenly chosen if they are many."""
    rankings = line_queries.rankings_learnt(store, reward_id)
    ids = sorted({name for ranking in rankings for name in ranking.candidate_ids})
    every = -(-len(ids) // MOST_LEARNT) or 1
    known = queries.candidates_by_id(store, set(ids[::every]))
    return [known[name] for name in sorted(known)]


def _is_read(sequence: TokenSequence, config: Config) -> bool:
    """Return True unless an answer is empty, or an imported text is too long to be learnt."""
    imported = config.preferences.imported
    longest = max(config.sampling.max_new_tokens, imported.max_answer_tokens if imported else 0)
    fits = len(sequence.prompt_ids) <= config.policy.max_prompt_tokens
    return fits and 0 < len(sequence.response_ids) <= longest
