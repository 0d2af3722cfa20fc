"""Rules for repeated prompts and for too many prompts of one user (arXiv:2203.02155, 3.2).

The result depends only on the set of prompts, never on the order in which they were read. Compared
is what is asked: the turns of a conversation, without worked examples. Contexts, system messages
and tools are not compared: questions about one long text, or under one long instruction, would
share most of their words without being alike. Prompts that differ in one of them are never
repetitions of each other.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from datasketch import MinHash, MinHashLSH

from rlhf_core.config.prompts import HygieneSettings
from rlhf_core.files.dialogues import text_of
from rlhf_core.identity import content_id
from rlhf_core.records import Prompt, Removal
from rlhf_core.records.conversation import USER, from_json, without_instructions

PIECE_CHARS = 5
PERMUTATIONS = 128
MISSES_OVER_FALSE_ALARMS = (0.05, 0.95)
"""Weights of the two errors of MinHash: it only proposes pairs, each of which is then compared
exactly, so it should miss few."""


@dataclass(frozen=True)
class LeftOut:
    """Reason why a prompt is left out, and the prompt that replaces it."""

    reason: Removal
    kept_id: str | None = None


def find_removals(
    prompts: Collection[Prompt], users: Mapping[str, Collection[str]], settings: HygieneSettings
) -> dict[str, LeftOut]:
    """Find the prompts to leave out.

    Args:
        prompts: All prompts of a source, each once.
        users: Users who sent each prompt, by prompt id.
        settings: The rules; one that is null does not apply.

    Returns:
        The reason for each prompt to leave out, by its id.
    """
    out: dict[str, LeftOut] = {}
    staying = sorted(prompts, key=lambda prompt: prompt.id)
    if settings.shared_prefix_chars is not None:
        first = _first_with_the_prefix(staying, settings.shared_prefix_chars)
        out |= _repetitions(first, Removal.SHARED_PREFIX)
        staying = [prompt for prompt in staying if prompt.id not in out]
    if settings.near_duplicate is not None:
        first = _first_of_the_group(staying, settings.near_duplicate)
        out |= _repetitions(first, Removal.NEAR_DUPLICATE)
        staying = [prompt for prompt in staying if prompt.id not in out]
    if settings.max_per_user is not None:
        beyond = _beyond_the_share(staying, users, settings.max_per_user)
        out |= {id: LeftOut(Removal.PER_USER) for id in beyond}
    return out


def _repetitions(first: Mapping[str, str], reason: Removal) -> dict[str, LeftOut]:
    return {id: LeftOut(reason, kept) for id, kept in first.items() if id != kept}


def _first_with_the_prefix(prompts: Iterable[Prompt], chars: int) -> dict[str, str]:
    """Return the first prompt with the same beginning, by the id of each that is long enough."""
    first: dict[tuple[str, str], str] = {}
    asked = ((prompt, _asked(prompt)) for prompt in prompts)
    return {
        prompt.id: first.setdefault((_setting(prompt), text[:chars]), prompt.id)
        for prompt, text in asked
        if len(text) >= chars
    }


def _first_of_the_group(prompts: Iterable[Prompt], share: float) -> dict[str, str]:
    """Return the first prompt of each group of near duplicates, by the id of each member."""
    index = MinHashLSH(share, PERMUTATIONS, MISSES_OVER_FALSE_ALARMS)
    by_id = {prompt.id: prompt for prompt in prompts}
    first = {id: id for id in by_id}

    def root(id: str) -> str:
        while first[id] != id:
            id = first[id]
        return id

    for prompt in by_id.values():
        pieces = _pieces(prompt)
        sketch = MinHash(PERMUTATIONS)
        sketch.update_batch([piece.encode("utf-8", "surrogatepass") for piece in pieces])
        for other in index.query(sketch):
            one, two = sorted((root(prompt.id), root(other)))
            if one != two and _jaccard(pieces, _pieces(by_id[other])) >= share:
                first[two] = one
        index.insert(prompt.id, sketch)
    return {id: root(id) for id in by_id}


def _pieces(prompt: Prompt) -> frozenset[str]:
    """Return the pieces of what a prompt asks; prompts of different settings share none."""
    text = " ".join(_asked(prompt).casefold().split())
    about = _setting(prompt)
    starts = range(max(1, len(text) - PIECE_CHARS + 1))
    return frozenset(about + text[start : start + PIECE_CHARS] for start in starts)


def _asked(prompt: Prompt) -> str:
    """Return the prompt, or the turns of a conversation after the system's messages."""
    messages = from_json(prompt.messages)
    return text_of(without_instructions(messages), USER) if messages else prompt.text


def _setting(prompt: Prompt) -> str:
    """Return a hash of what the model reads beside what is asked."""
    if prompt.messages is None and prompt.tools is None:
        return content_id(prompt.context)
    messages = from_json(prompt.messages)
    start = len(messages) - len(without_instructions(messages))
    return content_id(prompt.context, messages[:start], prompt.tools)


def _jaccard(one: frozenset[str], two: frozenset[str]) -> float:
    return len(one & two) / len(one | two)


def _beyond_the_share(
    prompts: Iterable[Prompt], users: Mapping[str, Collection[str]], limit: int
) -> Iterator[str]:
    """Yield the ids of prompts beyond a sender's limit; ids are hashes, so the order is random."""
    sent: Counter[str] = Counter()
    for prompt in prompts:
        senders = users.get(prompt.id, ())
        if any(sent[user] >= limit for user in senders):
            yield prompt.id
        else:
            sent.update(senders)
