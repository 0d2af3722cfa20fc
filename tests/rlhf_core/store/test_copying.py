"""A store's facts in another store: whole, once, and nobody's who was forgotten there."""

from pathlib import Path

import pytest

from rlhf_core.errors import RecordError
from rlhf_core.records import PromptTombstone
from rlhf_core.store import Store, reading
from rlhf_core.store.copying import copy_facts
from rlhf_core.store.user_key import user_hashes_to_write
from tests.rlhf_core.store.user_facts import asked


def rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    with reading(store.files.database) as snapshot:
        return {
            table: snapshot.query(f"SELECT * FROM {table} ORDER BY id").rows
            for table in store.counts()
        }


def test_facts_keep_when_and_by_which_run_they_were_written(filled: Store, tmp_path: Path):
    target = Store(tmp_path / "copy" / "solon.duckdb", run_id="another")
    added = copy_facts(filled.files.database, target)
    assert rows(target) == rows(filled)
    assert added == filled.counts()
    assert set(copy_facts(filled.files.database, target).values()) == {0}
    assert rows(target) == rows(filled)


def test_a_user_who_was_forgotten_does_not_come_back(filled: Store, tmp_path: Path):
    """The same prompt may come from another user."""
    prompt, sent = asked("ann", "hers")
    _, sent_too = asked("bob", "hers")
    filled.append([prompt, sent_too])
    target = Store(tmp_path / "copy" / "solon.duckdb")
    target.append(
        [
            PromptTombstone(
                prompt_id=prompt.id, user_hash=user_hashes_to_write(target.files).new_hash("ann")
            )
        ]
    )
    assert copy_facts(filled.files.database, target)["prompts"] == 2
    filled.append([sent])
    filled.publish()
    before = target.counts()
    with pytest.raises(RecordError, match=r"forget 1 of the users .* 'ann' among them"):
        copy_facts(filled.files.database, target)
    assert target.counts() == before
