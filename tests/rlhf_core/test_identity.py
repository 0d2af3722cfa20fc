import os

import pytest

from rlhf_core.identity import code_version, content_id, login_name, seed_from, unit_interval
from rlhf_core.records import RECORDS
from tests.facts import candidate, prompt


def test_ids_depend_on_content_not_on_key_order():
    assert content_id({"a": 1, "b": 2}) == content_id({"b": 2, "a": 1})
    assert content_id("a", "bc") != content_id("ab", "c")
    assert content_id("x") == "cd65ea2c2ad99e94a85b"


def test_an_id_never_changes():
    """Stores outlive versions: another id for the same fact would double it."""
    assert prompt("Why?").id == "d3ad89ab679ad45a2070"


def test_unit_interval_is_even():
    drawn = [unit_interval("x", number) for number in range(2000)]
    assert 0.47 < sum(drawn) / 2000 < 0.53
    assert 0 <= min(drawn) < 0.01
    assert 0.99 < max(drawn) < 1


def test_seeds_fit_torch():
    assert all(0 <= seed_from("x", number) < 2**63 for number in range(100))


def test_what_a_candidate_says_does_not_make_it_another():
    """Its id is model, prompt, sampling, seed and place: known before it is drawn."""
    assert candidate("one").id == candidate("two").id
    assert candidate("one", index=1).id != candidate("one", index=2).id


def test_every_record_has_a_table_of_its_own():
    tables = [record.table for record in RECORDS]
    assert len(set(tables)) == len(tables)


def test_code_version_names_release_and_sources():
    release, _, sources = code_version().partition("+")
    assert release.count(".") == 2
    assert len(sources) == 8


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch):
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert login_name() == "uid 4000000000"
    monkeypatch.setenv("LOGNAME", "ada")
    assert login_name() == "ada"
