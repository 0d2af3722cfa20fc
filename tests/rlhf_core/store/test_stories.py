"""The stories that `solon show` and the page tell, on the facts whose lineage is known."""

from pathlib import Path

import pytest

from rlhf_core.store import Store, reading
from rlhf_core.store.lineage import Subject
from rlhf_core.store.stories import STORIES, Story, story_of
from tests.rlhf_core.store.test_lineage import (
    ANSWERS,
    FACTS,
    JUDGEMENTS,
    NEXT,
    PAIRS,
    POLICY,
    RANKED,
    RANKING,
    REWARD,
    SFT,
    retraction,
)

PAIR = next(pair for pair in PAIRS if pair.chosen_id == ANSWERS[0].id)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("stories") / "solon.duckdb", run_id="test")
    store.append([*FACTS, retraction("judgements", JUDGEMENTS[0].id)])
    store.publish()
    return store.files.database


def story(path: Path, table: str, identity: str) -> Story:
    with reading(path) as snapshot:
        return story_of(snapshot, Subject(table, identity))


def test_a_pair_is_told_with_answers_votes_and_models(known: Path):
    found = story(known, "pairs", PAIR.id)
    assert found["prompt"]["text"] == "Why?"
    assert found["answers"]["left"]["text"] == "good"
    retracted = {vote["id"]: vote["is_retracted"] for vote in found["votes"]}
    assert retracted == {one: one == JUDGEMENTS[0].id for one in PAIR.judgement_ids}
    assert all(row["id"].startswith(row["kind"]) for row in found["models"])
    learnt = {row["id"]: row["is_direct"] for row in found["models"]}
    assert learnt == {REWARD.id: True, POLICY.id: False, NEXT.id: False}
    assert found["tainted_by"] == [{"subject_table": "judgements", "subject_id": JUDGEMENTS[0].id}]


def test_a_prompt_is_told_with_its_answers_and_their_utilities(known: Path):
    found = story(known, "prompts", RANKED.id)
    best = next(one for one in found["candidates"] if one["id"] == ANSWERS[0].id)
    assert best["utilities"] == [pytest.approx(RANKING.utilities[0])]
    counted = {row["judge_version"]: row["judgements"] for row in found["judges"]}
    assert counted == {"one-1": 3, "other-1": 3}


def test_a_model_is_told_with_sources_data_and_taint(known: Path):
    found = story(known, "models", POLICY.id)
    assert {row["source_id"] for row in found["sources"]} == {SFT.id, REWARD.id}
    rows = {row["input_table"]: row["rows"] for row in found["learnt_from"]}
    assert rows == {"prompts": 1, "models": 1}
    assert found["taint"] == [{"own_rows": 0, "inherited_rows": 1}]
    assert [row["judge"] for row in found["evaluations"]] == ["referee"]


@pytest.mark.parametrize(
    ("table", "identity", "votes"),
    [("candidates", ANSWERS[1].id, 2), ("rankings", RANKING.id, 6)],
)
def test_answers_and_rankings_are_told_with_their_votes(
    known: Path, table: str, identity: str, votes: int
):
    assert len(story(known, table, identity)["votes"]) == votes


def test_a_judgement_is_told_with_what_it_saw(known: Path):
    found = story(known, "judgements", JUDGEMENTS[1].id)
    assert found["score"] == 0.1
    assert [answer["text"] for answer in found["answers"]] == ["bad"]
    assert set(STORIES) == {
        *("pairs", "prompts", "candidates", "judgements", "rankings", "models"),
    }
