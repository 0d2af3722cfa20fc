"""Topics of prompts: read beside them, and stored apart, since they may change."""

import json
from pathlib import Path

import pytest

from rlhf_core.config.prompts import PromptSettings
from rlhf_core.errors import DataFileError
from rlhf_core.prompts.intake import read_prompts
from rlhf_core.store import Store
from rlhf_core.store.topics import new_topics, topics_of
from tests.facts import prompt


def source(folder: Path, *rows: dict[str, str], **columns: str) -> PromptSettings:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return PromptSettings.model_validate({"path": str(path), "columns": columns})


ROWS = (
    {"prompt": "Why?", "source": "forum"},
    {"prompt": "Who?", "source": " "},
    {"prompt": "Why?", "source": "forum"},
)


def test_topics_are_read_from_the_column_that_is_named(tmp_path: Path):
    named = read_prompts(source(tmp_path, *ROWS, topic="source"))
    assert [named.topics.get(each.id) for each in named.prompts] == ["forum", None]
    unnamed = read_prompts(source(tmp_path, *ROWS))
    assert unnamed.topics == {}
    assert [each.id for each in unnamed.prompts] == [each.id for each in named.prompts]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"prompt": "Why?", "source": "mail"}, "has the topics 'forum' and 'mail'"),
        ({"prompt": "Where?", "source": "x" * 81}, "line 4: 'source' has 81 characters"),
    ],
)
def test_what_is_no_topic_is_refused(tmp_path: Path, row: dict[str, str], why: str):
    with pytest.raises(DataFileError, match=why):
        read_prompts(source(tmp_path, *ROWS, row, topic="source"))


def test_the_last_topic_holds(store: Store):
    """A topic that returns is a third row, so that the last one is known."""
    asked = prompt()
    store.append([asked])
    for topic in ("forum", "forum", "mail", "forum"):
        store.append(new_topics(store, {asked.id: topic}))
    assert topics_of(store, [asked.id, "another"]) == {asked.id: "forum"}
    assert store.counts()["prompt_topics"] == 3
