"""One user's facts go, and their bytes; everybody else's stay as they are."""

import json
import shutil
from pathlib import Path

import pytest

from rlhf_core.errors import ConfigError, UnknownUserError
from rlhf_core.identity import content_id
from rlhf_core.prompts.users import UserHashes
from rlhf_core.records import Deletion, PromptSet, PromptTombstone, PromptUser
from rlhf_core.store import Store
from rlhf_core.store import store as store_module
from rlhf_core.store.disk.files import lock_store
from rlhf_core.store.forgetting import forget, plan_forgetting
from rlhf_core.store.user_key import user_hashes, user_hashes_to_write
from tests.facts import query_store
from tests.rlhf_core.store.user_facts import BASE, MODELS, NEXT, POLICY, REWARD, asked, chain

ANN, BOB = "ann-7f3a9c", "bob-1d2e8b"
MARK = "q7z4hx"
HERS, SENT_HERS = asked(ANN, MARK)
HIS, SENT_HIS = asked(BOB, "other")
SHARED, SHE_SHARED = asked(ANN, "shared")
HE_SHARED = PromptUser(prompt_id=SHARED.id, user_id=BOB)
SET = PromptSet(source="f", prompt_ids=(HERS.id, HIS.id, SHARED.id))
DELETED = {
    "candidates": 2,
    "evaluation_results": 1,
    "failures": 1,
    "judge_probes": 1,
    "judgements": 1,
    "model_inputs": 1,
    "pairs": 1,
    "privacy_findings": 1,
    "prompt_users": 2,
    "prompts": 1,
    "rankings": 1,
    "responses": 2,
    "revisions": 1,
    "rollouts": 1,
    "spot_checks": 1,
}
TEXTS = (
    *("prompt", "reference", "answer-0", "answer-1", "raw", "rationale", "said", "critique"),
    *("mended", "note", "rollout", "failed"),
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("original") / "solon.duckdb")
    store.append([*MODELS, SET, SENT_HERS, SENT_HIS, SHE_SHARED, HE_SHARED])
    store.append([*chain(HERS, MARK), *chain(HIS, "other"), *chain(SHARED, "shared")])
    return store.files.database


@pytest.fixture
def filled(original: Path, tmp_path: Path) -> Store:
    return Store(shutil.copy(original, tmp_path))


def bytes_beside(store: Store) -> bytes:
    """All files of the store: database, log, snapshot, spool and whatever else lies there."""
    files = sorted(p for p in store.files.database.parent.rglob("*") if p.is_file())
    return b"".join(path.read_bytes() for path in files)


def everything(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """All rows by table, each with its id first."""
    tables = store.counts()
    with store._connection(1.0) as connection:
        return {
            table: connection.execute(f"SELECT id, * FROM {table} ORDER BY id").fetchall()
            for table in tables
        }


def test_the_plan_says_what_would_go_and_changes_nothing(filled: Store):
    before = everything(filled)
    found = plan_forgetting(filled, ANN)
    assert found.rows == DELETED
    assert (found.shared_prompts, found.prompt_sets) == (1, 1)
    assert found.texts == (f"{MARK}-prompt",)
    assert everything(filled) == before


def test_models_that_learnt_from_it_are_named_with_those_that_come_of_them(filled: Store):
    """The reward model by a ranking, a policy by rollouts and by it, another by its parent."""
    found = plan_forgetting(filled, ANN)
    assert found.models == tuple(sorted(model.id for model in (REWARD, POLICY, NEXT)))
    assert BASE.id not in found.models


def test_no_byte_of_the_user_is_left_on_the_disk(filled: Store, monkeypatch: pytest.MonkeyPatch):
    filled.publish()
    spooled, sent = asked(ANN, f"{MARK}-spooled")
    monkeypatch.setattr(store_module, "APPEND_TIMEOUT_SECONDS", 0.01)
    with lock_store(filled.files, 1.0):
        filled.append([*chain(spooled, f"{MARK}-spooled"), sent])
    before = bytes_beside(filled)
    for text in (*TEXTS, "spooled-prompt"):
        assert f"{MARK}-{text}".encode() in before, f"{text} must be there to be deleted"
    forget(filled, ANN)
    after = bytes_beside(filled)
    assert MARK.encode() not in after
    assert ANN.encode() not in after
    assert b"other-prompt" in after
    assert b"shared-prompt" in after


def test_all_other_facts_stay_as_they_were(filled: Store):
    before = everything(filled)
    forget(filled, ANN)
    after = everything(filled)
    assert {t: len(before[t]) - len(after[t]) for t in DELETED} == DELETED
    for table in set(before) - {"prompt_sets", "deletions", "prompt_tombstones"}:
        kept = {row[0] for row in after[table]}
        assert [row for row in before[table] if row[0] in kept] == after[table]
    assert filled.query("SELECT * FROM check_orphans WHERE id = ?", [HIS.id]) == []


def test_a_prompt_that_another_user_sent_stays_without_this_one(filled: Store):
    forget(filled, ANN)
    assert filled.query("SELECT user_id FROM prompt_users WHERE prompt_id = ?", [SHARED.id]) == [
        {"user_id": BOB}
    ]
    (kept,) = filled.rows(PromptSet)
    assert set(kept.prompt_ids) == {HIS.id, SHARED.id}
    assert filled.query("SELECT id FROM prompt_sets") == [{"id": SET.id}]


def test_a_response_that_another_judgement_was_read_from_too_stays(filled: Store):
    *_, said, _ = chain(HERS, MARK)
    (judgement,) = (r for r in chain(HIS, "other") if r.table == "judgements")
    again = judgement.model_validate(
        {**judgement.model_dump(), "attempt": "2", "response_ids": [said.id]}
    )
    filled.append([again])
    assert plan_forgetting(filled, ANN).rows == {**DELETED, "responses": 1}


def test_the_deletion_is_a_fact_without_the_user(filled: Store):
    forget(filled, ANN)
    (fact,) = filled.rows(Deletion)
    kept = user_hashes(filled.files)
    assert fact.user_hash == kept.new_hash(ANN)
    assert filled.files.user_key.stat().st_mode & 0o777 == 0o600
    assert json.loads(fact.deleted_rows) == DELETED
    assert set(fact.model_ids) == {REWARD.id, POLICY.id, NEXT.id}
    tombs = {(tomb.prompt_id, tomb.user_hash) for tomb in filled.rows(PromptTombstone)}
    assert tombs == {(HERS.id, kept.new_hash(ANN)), (SHARED.id, kept.new_hash(ANN))}
    assert filled.files.user_key.read_bytes() not in filled.files.database.read_bytes()


def test_nobody_finds_the_user_without_the_key(filled: Store, monkeypatch: pytest.MonkeyPatch):
    """No hash of a guess alone finds the user."""
    monkeypatch.setenv("SOLON_USER_KEY", "a key of an operator")
    forget(filled, ANN)
    (fact,) = filled.rows(Deletion)
    assert fact.user_hash == UserHashes((b"a key of an operator",)).new_hash(ANN)
    assert not filled.files.user_key.exists()
    guesses = {content_id("user", ANN), UserHashes((b"some other key 00",)).new_hash(ANN)}
    assert fact.user_hash not in guesses
    assert not {fact.user_hash.rpartition("-")[2]} & {g.rpartition("-")[2] for g in guesses}


def test_a_key_in_the_environment_does_not_put_the_file_out_of_use(
    filled: Store, monkeypatch: pytest.MonkeyPatch
):
    first = user_hashes_to_write(filled.files).new_hash(ANN)
    assert user_hashes_to_write(filled.files).new_hash(ANN) == first
    monkeypatch.setenv("SOLON_USER_KEY", "a key of an operator")
    hashes = user_hashes(filled.files)
    assert hashes.new_hash(ANN) != first
    assert first in hashes.all_hashes(ANN)
    assert hashes.can_read(first)
    filled.files.user_key.unlink()
    assert not user_hashes(filled.files).can_read(first)
    monkeypatch.setenv("SOLON_USER_KEY", "short")
    with pytest.raises(ConfigError, match="fewer than 16 bytes"):
        user_hashes(filled.files)


def test_a_table_that_is_added_later_is_reached_by_its_ids(filled: Store):
    with filled._connection(1.0) as connection:
        connection.execute("CREATE TABLE notes (id VARCHAR, candidate_id VARCHAR, text VARCHAR)")
        for of in (chain(HERS, MARK)[1], chain(HIS, "other")[1]):
            connection.execute("INSERT INTO notes VALUES (?, ?, ?)", [f"n-{of.id}", of.id, "x"])
        connection.execute("CREATE TABLE remarks (id VARCHAR, note_id VARCHAR)")
        connection.execute("INSERT INTO remarks SELECT 'r-' || id, id FROM notes")
    assert forget(filled, ANN).rows == {**DELETED, "notes": 1, "remarks": 1}
    assert filled.counts()["remarks"] == 1


def test_after_a_crash_the_same_call_does_what_is_left(
    filled: Store, monkeypatch: pytest.MonkeyPatch
):
    """Rows gone, files not yet written anew; and a run added a candidate from its memory."""
    filled.publish()

    def crash(store: Store) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "rewrite", crash)
        with pytest.raises(KeyboardInterrupt):
            forget(filled, ANN)
    filled.append([chain(HERS, MARK)[1]])
    assert MARK.encode() in bytes_beside(filled)
    assert forget(filled, ANN).rows == {"candidates": 1}
    assert MARK.encode() not in bytes_beside(filled)
    assert len(filled.rows(Deletion)) == 2
    assert len(filled.rows(PromptTombstone)) == 2


def test_a_user_without_prompts_is_refused(filled: Store):
    with pytest.raises(UnknownUserError, match="no prompt of the user 'nobody'"):
        forget(filled, "nobody")
    assert filled.rows(Deletion) == []


def test_the_store_is_whole_afterwards(filled: Store):
    """Comments, views, migrations and later writes are as before; auditors see it at once."""
    described = "SELECT table_name, comment FROM duckdb_tables() ORDER BY ALL"
    before = filled.query(described)
    forget(filled, ANN)
    assert filled.query(described) == before
    assert query_store(filled.files.database, "SELECT count(*) FROM prompts").rows == [(2,)]
    assert Store(filled.files.database).append([HERS]) == 1
