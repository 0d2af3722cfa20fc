"""The stories that `solon show` and the page tell, on the facts whose lineage is known."""

from pathlib import Path

import pytest

from rlhf_core.errors import IdError
from rlhf_core.records import HumanVerdict, SpotCheck, Strategy
from rlhf_core.store import Store, reading
from rlhf_core.store.audit.stories import STORIES, Story, find_story, story_of
from rlhf_core.store.lineage.tree import Subject
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
    judged,
    retraction,
)

PAIR = next(pair for pair in PAIRS if pair.chosen_id == ANSWERS[0].id)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("stories") / "solon.duckdb", run_id="test")
    aside = judged("aside", ANSWERS[0], 0.3)
    checked = SpotCheck(
        pair_id=PAIR.id,
        prompt_id=PAIR.prompt_id,
        left_id=PAIR.left_id,
        right_id=PAIR.right_id,
        person="Ada",
        verdict=HumanVerdict.RIGHT,
        note="too short",
        strategy=Strategy.RANDOM,
        shown_left=PAIR.left_id,
        seconds=2.0,
        round=1,
    )
    store.append([*FACTS, retraction("judgements", JUDGEMENTS[0].id), aside, checked])
    store.publish()
    return store.files.database


def story(path: Path, table: str, identity: str) -> Story:
    with reading(path) as snapshot:
        return story_of(snapshot, Subject(table, identity))


def test_a_pair_is_told_with_answers_votes_and_models(known: Path):
    found = story(known, "pairs", PAIR.id)
    assert found["prompt"]["text"] == "Why?"
    assert found["answers"]["left"]["text"] == "good"
    counted = [vote for vote in found["votes"] if vote["is_counted"]]
    retracted = {vote["id"]: vote["is_retracted"] for vote in counted}
    assert retracted == {one: one == JUDGEMENTS[0].id for one in PAIR.judgement_ids}
    assert all(row["id"].startswith(row["kind"]) for row in found["models"])
    learnt = {row["id"]: row["is_direct"] for row in found["models"]}
    assert learnt == {REWARD.id: True, POLICY.id: False, NEXT.id: False}
    (cause,) = found["tainted_by"]
    assert (cause["subject_table"], cause["subject_id"]) == ("judgements", JUDGEMENTS[0].id)
    assert cause["reason"] == "broken"


def test_a_pair_is_told_with_votes_that_did_not_count_and_what_people_said(known: Path):
    found = story(known, "pairs", PAIR.id)
    (other,) = [vote for vote in found["votes"] if not vote["is_counted"]]
    assert (other["judge"], other["score"], other["is_retracted"]) == ("aside", 0.3, False)
    (check,) = found["spot_checks"]
    assert (check["person"], check["verdict"], check["note"]) == ("Ada", "right", "too short")


def test_the_beginning_of_an_id_is_enough_and_an_unknown_one_is_an_error(known: Path):
    with reading(known) as snapshot:
        assert find_story(snapshot, "pairs", PAIR.id[:8])["id"] == PAIR.id
        with pytest.raises(IdError, match="no id begins with"):
            find_story(snapshot, "pairs", "' OR true --")


def test_an_answer_that_is_gone_is_none_in_the_story_of_its_pair(tmp_path: Path):
    store = Store(tmp_path / "solon.duckdb")
    store.append([RANKED, ANSWERS[0], PAIR])
    answers = story(store.files.database, "pairs", PAIR.id)["answers"]
    assert sorted(answers[side] is None for side in answers) == [False, True]


def test_a_prompt_is_told_with_its_answers_and_their_utilities(known: Path):
    found = story(known, "prompts", RANKED.id)
    best = next(one for one in found["candidates"] if one["id"] == ANSWERS[0].id)
    assert best["utilities"] == [pytest.approx(RANKING.utilities[0])]
    counted = {row["judge_version"]: row["judgements"] for row in found["judges"]}
    assert counted == {"aside-1": 1, "one-1": 3, "other-1": 3}


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
