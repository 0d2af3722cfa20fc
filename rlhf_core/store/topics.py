"""Topics of prompts, which may change in the source while the prompts stay."""

from collections.abc import Collection, Mapping

from rlhf_core.records import PromptTopic
from rlhf_core.store.store import Store


def topics_of(store: Store, prompt_ids: Collection[str]) -> dict[str, str]:
    """Return the topic of each prompt that has one, by prompt id."""
    return {name: row.topic for name, row in _last(store, prompt_ids).items()}


def new_topics(store: Store, topics: Mapping[str, str]) -> list[PromptTopic]:
    """Return the rows of topics that are not the prompts' last ones.

    Args:
        store: The store.
        topics: Topics by prompt id, as the source has them now.
    """
    known = _last(store, topics)
    return [
        PromptTopic(prompt_id=name, number=last.number + 1 if last else 0, topic=topic)
        for name, topic in topics.items()
        for last in [known.get(name)]
        if last is None or last.topic != topic
    ]


def _last(store: Store, prompt_ids: Collection[str]) -> dict[str, PromptTopic]:
    rows = store.rows(PromptTopic, "prompt_id IN (SELECT unnest(?))", [list(prompt_ids)])
    return {row.prompt_id: row for row in sorted(rows, key=lambda row: row.number)}
