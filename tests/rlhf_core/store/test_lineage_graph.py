"""The models around one, on the facts whose lineage is known."""

from pathlib import Path

import pytest

from rlhf_core.store import Store, reading
from rlhf_core.store.lineage.graph import LineageGraph, lineage_graph
from tests.rlhf_core.store.test_lineage import (
    BASE,
    FACTS,
    JUDGEMENTS,
    NEXT,
    POLICY,
    REWARD,
    SFT,
    retraction,
)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> LineageGraph:
    store = Store(tmp_path_factory.mktemp("graph") / "solon.duckdb", run_id="test")
    store.append([*FACTS, retraction("judgements", JUDGEMENTS[0].id)])
    with reading(store.files.database) as snapshot:
        return lineage_graph(snapshot, POLICY.id)


def test_each_model_is_as_far_as_its_longest_way(graph: LineageGraph):
    """The fine-tuned model is the policy's parent and two steps off by the reward model."""
    depths = {row["id"]: row["depth"] for row in graph.models}
    assert depths == {POLICY.id: 0, REWARD.id: -1, SFT.id: -2, BASE.id: -3, NEXT.id: 1}
    assert graph.models[0]["id"] == POLICY.id


def test_a_model_stands_on_who_sampled_what_it_learnt_from(graph: LineageGraph):
    of_reward = {edge for edge in graph.sources if edge[0] == REWARD.id}
    assert of_reward == {(REWARD.id, SFT.id, "parent"), (REWARD.id, SFT.id, "sampler")}
    assert (POLICY.id, REWARD.id, "input") in graph.sources


def test_each_model_has_its_data_its_judges_and_its_taint(graph: LineageGraph):
    assert graph.inputs[REWARD.id] == {"rankings": 1}
    assert graph.judges[REWARD.id] == [("one-1", 3), ("other-1", 3)]
    assert graph.tainted == {REWARD.id: 1, POLICY.id: 1, NEXT.id: 1}


def test_without_a_retraction_nothing_is_tainted(tmp_path: Path):
    store = Store(tmp_path / "solon.duckdb")
    store.append(FACTS)
    with reading(store.files.database) as snapshot:
        assert lineage_graph(snapshot, POLICY.id).tainted == {}
