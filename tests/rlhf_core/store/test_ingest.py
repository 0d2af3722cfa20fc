"""Many facts at once, from Arrow tables, and what is refused of them."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from rlhf_core.errors import RecordError
from rlhf_core.records import RECORDS, Candidate, Judgement, Outcome
from rlhf_core.store import Store
from rlhf_core.store import store as store_module
from rlhf_core.store.columns import schema_of, table_of
from rlhf_core.store.disk.files import lock_store
from tests.facts import candidate


def judgement(number: int, **fields: object) -> Judgement:
    defaults = {
        "prompt_id": "p",
        "judge": "j",
        "judge_version": "j-1",
        "candidate_id": str(number),
        "outcome": Outcome.SCORED,
        "score": number / 8,
    }
    return Judgement.model_validate({**defaults, **fields})


FACTS = [judgement(number) for number in range(4)]


def table() -> pa.Table:
    return table_of(Judgement, FACTS)


def test_a_table_is_added_as_its_records_would_be(store: Store):
    assert store.append_table(Judgement, table()) == 4
    assert store.rows(Judgement) == FACTS
    assert store.append(FACTS) == 0
    (row,) = store.query("SELECT DISTINCT run_id, code_version, created_at FROM judgements")
    assert row["run_id"] == "test"
    assert abs((row["created_at"] - datetime.now(UTC)).total_seconds()) < 60


def test_only_what_is_new_of_a_table_is_added(store: Store):
    store.append([FACTS[2], judgement(9)])
    assert store.append_table(Judgement, table()) == 3
    assert store.append_table(Judgement, table()) == 0
    assert store.rows(Judgement) == [FACTS[2], judgement(9), FACTS[0], FACTS[1], FACTS[3]]


def test_rows_keep_the_order_they_came_in(store: Store):
    """An anti-join would not keep it, and `rows` promises it."""
    store.append_table(Judgement, table_of(Judgement, map(judgement, range(0, 3000, 7))))
    store.append_table(Judgement, table_of(Judgement, map(judgement, range(3000))))
    asked = "SELECT candidate_id FROM judgements WHERE candidate_id::INTEGER % 7 > 0 ORDER BY rowid"
    found = [int(row["candidate_id"]) for row in store.query(asked)]
    assert found == [number for number in range(3000) if number % 7]


def test_batches_may_be_null_in_any_column_they_can_be_null_in(store: Store):
    """The type of a column that is null, or mostly null, is known all the same."""
    sparse = {"score": None, "outcome": Outcome.UNPARSED}
    store.append([judgement(number, **sparse) for number in range(3)])
    late = [judgement(10, **sparse), judgement(11, raw_output="x", response_ids=("r",))]
    store.append(late)
    store.append([candidate("no tokens", 0), candidate("tokens", 1, token_ids=(1,), logprobs=(0,))])
    assert store.rows(Judgement)[-2:] == late
    assert [found.token_ids for found in store.rows(Candidate)] == [None, (1,)]


def test_an_empty_table_of_every_kind_adds_nothing(store: Store):
    for record in RECORDS:
        assert store.append_table(record, schema_of(record).empty_table()) == 0


def test_other_widths_and_encodings_of_a_type_will_do(store: Store):
    given = table()
    columns = {name: given.column(name) for name in reversed(given.column_names)}
    columns["prompt_tokens"] = columns["prompt_tokens"].cast(pa.int16())
    columns["judge"] = columns["judge"].dictionary_encode()
    columns["id"] = columns["id"].cast(pa.large_string())
    columns["reason"] = pa.nulls(4)
    columns["response_ids"] = columns["response_ids"].cast(pa.large_list(pa.string()))
    store.append([FACTS[1]])
    assert store.append_table(Judgement, pa.table(columns)) == 3
    assert sorted(store.rows(Judgement), key=lambda found: found.candidate_id) == FACTS


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that no test adds to."""
    return Store(tmp_path_factory.mktemp("empty") / "solon.duckdb")


def replaced(name: str, values: list[object], kind: pa.DataType | None = None) -> pa.Table:
    given = table()
    return given.set_column(given.column_names.index(name), name, pa.array(values, kind))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (table().drop_columns("judge"), "missing: judge; unknown: none"),
        (table().append_column("mood", [["x"] * 4]), "missing: none; unknown: mood"),
        (table().append_column("run_id", [["x"] * 4]), "unknown: run_id"),
        (table().append_column("judge", [["x"] * 4]), "each once"),
        (replaced("score", ["0.5"] * 4), "score: double is wanted, not string"),
        (replaced("prompt_tokens", [0.5] * 4), "prompt_tokens: int64 is wanted, not double"),
        (replaced("judge", [1] * 4), "judge: string is wanted, not int64"),
        (replaced("response_ids", ["r"] * 4), "response_ids: list"),
        (replaced("response_ids", [[1]] * 4), "response_ids: list"),
        (replaced("id", ["a", None, "b", "c"]), "id: must not be null, but is null in 1 places"),
        (replaced("judge", [None] * 4, pa.string()), "judge: must not be null, but is null in 4"),
        (replaced("judge", [None] * 4), "judge: string is wanted, not null"),
        (replaced("response_ids", [["r", None]] * 4), "response_ids: must not be null"),
        (replaced("outcome", ["scored", "great", "tie", "tie"]), "outcome: 'great' is none of"),
        (replaced("id", ["a", "b", "b", "a"]), "several rows have the id 'a'"),
    ],
)
def test_what_is_no_table_of_the_record_is_refused_whole(empty: Store, wrong, message: str):
    with pytest.raises(RecordError, match=message):
        empty.append_table(Judgement, wrong)
    assert empty.counts()["judgements"] == 0
    assert not empty.files.spool.exists()


def test_a_number_that_no_column_holds_is_refused(store: Store):
    wide = replaced("prompt_tokens", [2**40] * 4)
    with pytest.raises(RecordError, match="out of range"):
        store.append_table(Judgement, wide)
    assert store.counts()["judgements"] == 0


def test_a_table_waits_in_the_spool_while_the_store_is_busy(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store_module, "APPEND_TIMEOUT_SECONDS", 0.05)
    with lock_store(store.files, 1):
        assert store.append_table(Judgement, table()) == 0
    assert store.rows(Judgement) == FACTS
    assert list(store.files.spool.iterdir()) == []
