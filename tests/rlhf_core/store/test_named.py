from pathlib import Path

import pytest

from rlhf_core.errors import QueryError
from rlhf_core.store import Store, reading
from rlhf_core.store.audit.named import named_queries, named_query, read_parameters
from tests.facts import candidate, prompt

SHIPPED = sorted(named_queries())


@pytest.mark.parametrize("name", SHIPPED)
def test_every_query_of_ours_runs_as_it_is(name: str, store: Store):
    """Each query runs with its defaults; each parameter has a meaning and a default."""
    store.append([prompt(), candidate("one")])
    query = named_query(name)
    with reading(store.files.database) as snapshot:
        assert snapshot.query(query.sql, query.defaults).columns


def test_a_file_says_what_it_answers_and_what_its_parameters_are(tmp_path: Path):
    (tmp_path / "mine.sql").write_text(
        "-- What is long.\n-- $length = 5: tokens, at least\n-- $judge: its name\n-- Slow.\n"
        "SELECT $length, $judge -- $not: a parameter\n"
    )
    query = named_query("mine", tmp_path)
    assert query.summary == "What is long."
    assert query.meanings == {"length": "tokens, at least", "judge": "its name"}
    assert query.defaults == {"length": 5}


def test_queries_of_a_folder_come_beside_ours_and_in_their_place(tmp_path: Path):
    (tmp_path / "mine.sql").write_text("-- Mine.\nSELECT 1")
    (tmp_path / f"{SHIPPED[0]}.sql").write_text("-- Other.\nSELECT 2")
    found = named_queries(tmp_path)
    assert set(found) == {"mine", *SHIPPED}
    assert found[SHIPPED[0]].summary == "Other."


def test_those_of_the_working_directory_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert "mine" not in named_queries()
    (tmp_path / "deploy" / "queries").mkdir(parents=True)
    (tmp_path / "deploy" / "queries" / "mine.sql").write_text("-- Mine.\nSELECT 1")
    assert "mine" in named_queries()


def test_a_query_that_is_not_there_or_says_nothing_is_an_error(tmp_path: Path):
    with pytest.raises(QueryError, match=r"no query named 'nope'; there are: .*promotions"):
        named_query("nope")
    with pytest.raises(QueryError, match="no folder of queries"):
        named_queries(tmp_path / "none")
    (tmp_path / "dumb.sql").write_text("SELECT 1")
    with pytest.raises(QueryError, match=r"dumb\.sql: begin with a comment"):
        named_queries(tmp_path)


def test_a_value_is_bound_as_what_it_looks_like():
    """Ids of digits alone, and names like 007, stay texts."""
    written = ["a=5", "b=-0.5", "c=true", "d=007", "e=12345678901234567890", "f=x=y", "g="]
    assert read_parameters(written) == {
        "a": 5,
        "b": -0.5,
        "c": True,
        "d": "007",
        "e": "12345678901234567890",
        "f": "x=y",
        "g": "",
    }
    for wrong in ("a", "=5", "a b=5"):
        with pytest.raises(QueryError, match="write NAME=VALUE"):
            read_parameters([wrong])
