"""Ids are taken by how they begin, and one that means nothing or several things says so."""

import re

import pytest

from rlhf_core.errors import IdError
from rlhf_core.records import ConfigVersion
from rlhf_core.store import Store, reading
from rlhf_core.store.audit.counterfactual import versions_of
from rlhf_core.store.audit.pages import PairFilter, pair_count
from rlhf_core.store.exchange import Selection, by_whole_ids
from rlhf_core.store.ids import LISTED, whole_id

KNOWN = ["policy-12ab", "policy-12cd", "policy-12", "sft-9"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("sft", "sft-9"), ("policy-12a", "policy-12ab"), ("policy-12", "policy-12")],
    ids=["only one", "told apart", "one whole id that begins others"],
)
def test_the_only_id_that_begins_so_is_meant(wanted: str, found: str):
    assert whole_id(wanted, KNOWN, "model") == found


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("reward", "no id begins with 'reward'; looked for a model. There are policy-12,"),
        ("", "no id begins with ''"),
        ("policy-1", "'policy-1' begins several ids: policy-12 (model), policy-12ab (model), pol"),
    ],
)
def test_other_beginnings_are_refused(wanted: str, message: str):
    with pytest.raises(IdError, match=re.escape(message)):
        whole_id(wanted, KNOWN, "model")


def test_a_few_of_many_are_named():
    many = [f"run{n:03}" for n in range(LISTED + 1)]
    with pytest.raises(IdError, match=r"run009 \(run\), and more; write more of it"):
        whole_id("run", many, "run")
    with pytest.raises(IdError, match=r"There are run000, .*, run009, …$"):
        whole_id("x", many, "run")
    with pytest.raises(IdError, match="There are none yet"):
        whole_id("x", [], "run")


def test_an_export_takes_runs_and_configs_by_how_they_begin(filled: Store):
    filled.append([ConfigVersion(config_hash="abcd", config="{}")])
    with reading(filled.files.database) as snapshot:
        whole = by_whole_ids(snapshot, Selection(run=filled.run_id[:2], config_hash="ab"))
        assert (whole.run, whole.config_hash) == (filled.run_id, "abcd")
        with pytest.raises(IdError, match="no id begins with 'zz'; looked for a run"):
            by_whole_ids(snapshot, Selection(run="zz"))
        with pytest.raises(IdError, match="looked for a config"):
            by_whole_ids(snapshot, Selection(config_hash="zz"))


def test_judges_and_runs_are_looked_for_by_how_they_begin(filled: Store):
    with reading(filled.files.database) as snapshot:
        assert versions_of(snapshot, "one") == ["one-1"]
        assert versions_of(snapshot, "one-") == ["one-1"]
        assert versions_of(snapshot, "nobody") == []
        every = pair_count(snapshot, PairFilter())
        assert pair_count(snapshot, PairFilter(run_id=filled.run_id[:3])) == every > 0
        assert pair_count(snapshot, PairFilter(run_id="zz")) == 0
