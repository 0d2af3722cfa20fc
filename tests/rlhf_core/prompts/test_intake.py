import json
import random
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rlhf_core.config.prompts import PromptSettings
from rlhf_core.errors import DataFileError
from rlhf_core.identity import content_id
from rlhf_core.prompts.intake import Intake, read_prompts
from rlhf_core.prompts.users import UserHashes
from rlhf_core.records import (
    PrivacyFinding,
    Prompt,
    PromptRemoval,
    PromptUser,
    Removal,
    Split,
    split_of_user,
)

USERS = {"columns": {"user": "user_id"}}
HASHES = UserHashes((b"the key of this test",))
ANN, BOB, CAT = "u1", "u3", "u2"
"""With half held out, Ann and Cat are trained on and Bob is not; a test says so."""


def read(folder: Path, rows: list[dict[str, Any]], deleted: Any = (), **settings: Any) -> Intake:
    path = folder / "p.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    chosen = PromptSettings(path=str(path), **{"holdout": 0.5, **settings})
    return read_prompts(chosen, deleted, HASHES)


def said(user: str | int | None, *texts: str) -> list[dict[str, Any]]:
    return [{"prompt": text, "user_id": user} for text in texts]


def texts(intake: Intake) -> list[str]:
    return [prompt.text for prompt in intake.prompts]


def test_no_user_is_on_both_sides(tmp_path: Path):
    rows = [row for user in range(40) for row in said(user, *(f"{user} {n}" for n in range(5)))]
    intake = read(tmp_path, rows, **USERS)
    sides: dict[str, set[Split]] = {}
    for one in intake.prompts:
        (user,) = intake.users[one.id]
        sides.setdefault(user, set()).add(one.split)
    assert len(sides) == 40
    assert all(len(side) == 1 for side in sides.values())
    assert 10 < sum(side == {Split.HOLDOUT} for side in sides.values()) < 30


def test_the_users_of_these_tests_stand_where_they_say():
    sides = [split_of_user(user, 0.5) for user in (ANN, BOB, CAT)]
    assert sides == [Split.TRAIN, Split.HOLDOUT, Split.TRAIN]


def test_a_prompt_of_users_on_both_sides_is_left_out(tmp_path: Path):
    """On either side it would show one of them to the other."""
    rows = [*said(ANN, "Why?", "How?"), *said(BOB, "Why?", "When?")]
    intake = read(tmp_path, rows, **USERS)
    assert texts(intake) == ["How?", "When?"]
    assert intake.left_out == {"both_splits": 1}
    (removal,) = (r for r in intake.records() if isinstance(r, PromptRemoval))
    assert (removal.reason, removal.kept_id) == (Removal.BOTH_SPLITS, None)


def test_a_prompt_can_have_several_users(tmp_path: Path):
    intake = read(tmp_path, [*said(CAT, "Why?"), *said(ANN, "Why?")], **USERS)
    (prompt,) = intake.prompts
    users = [record for record in intake.records() if isinstance(record, PromptUser)]
    assert [(one.prompt_id, one.user_id) for one in users] == [(prompt.id, ANN), (prompt.id, CAT)]


def test_a_row_without_a_user_is_split_by_its_words(tmp_path: Path):
    rows = said(None, *(f"Question {n}" for n in range(40)))
    with_column = read(tmp_path, rows, **USERS)
    assert with_column.users == {}
    assert with_column.prompts == read(tmp_path, rows).prompts


def test_neither_split_nor_choice_depends_on_order_or_on_other_users(tmp_path: Path):
    rows = [row for user in range(20) for row in said(user, *(f"{user % 7} {n}" for n in range(9)))]
    rules = {**USERS, "hygiene": {"max_per_user": 5, "near_duplicate": 0.9}}
    one = read(tmp_path, rows, **rules)
    random.Random(1).shuffle(rows)
    other = read(tmp_path, rows, **rules)
    assert one.prompt_set.id == other.prompt_set.id
    assert one.repetitions == other.repetitions
    more = read(tmp_path, [*rows, *said("new", "Quite another thing")], **rules)
    splits = {prompt.id: prompt.split for prompt in more.prompts}
    assert {p.id: p.split for p in one.prompts}.items() <= splits.items()


def test_a_share_needs_users():
    with pytest.raises(ValidationError, match=r"name the column of the user in columns\.user"):
        PromptSettings.model_validate({"path": "p", "hygiene": {"max_per_user": 3}})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "a"},
            r"line 1: no column 'user_id' \(found: prompt\); name it in prompts\.columns\.user",
        ),
        ({"prompt": "a", "user_id": 1.5}, "line 1: 'user_id' must be a text or a whole number"),
        ({"prompt": "a", "user_id": True}, "must be a text or a whole number, not bool"),
    ],
)
def test_a_user_that_cannot_be_read_is_refused(tmp_path: Path, row: Any, message: str):
    with pytest.raises(DataFileError, match=message):
        read(tmp_path, [row], **USERS)


LETTER = {
    "prompt": "Answer ann@example.com",
    "context": "She wrote from 203.0.113.7 and 203.0.113.8.",
    "reference": ["Dear bob@example.com", "Hello"],
}


def findings(intake: Intake) -> list[tuple[str, str, str | None, int, int]]:
    found = [record for record in intake.records() if isinstance(record, PrivacyFinding)]
    return sorted((f.kind, f.action, f.prompt_id, f.spans, f.prompts) for f in found)


@pytest.mark.extra("presidio_analyzer")
def test_masking_reaches_context_and_references_before_anything_is_kept(tmp_path: Path):
    intake = read(tmp_path, [LETTER, {"prompt": "Why?"}], privacy={"policy": "mask"})
    letter = intake.prompts[0]
    assert letter.text == "Answer [EMAIL]"
    assert letter.context == "She wrote from [IP_ADDRESS] and [IP_ADDRESS]."
    assert letter.reference_answers == ("Dear [EMAIL]", "Hello")
    assert letter.id == Prompt(**letter.model_dump(exclude={"id"})).id
    assert findings(intake) == [
        ("email", "masked", letter.id, 2, 1),
        ("ip_address", "masked", letter.id, 2, 1),
    ]
    assert "example" not in "".join(record.model_dump_json() for record in intake.records())


@pytest.mark.extra("presidio_analyzer")
def test_counting_leaves_the_text_as_it_was(tmp_path: Path):
    intake = read(tmp_path, [LETTER], privacy={"policy": "count", "kinds": ["email"]})
    assert intake.prompts == read(tmp_path, [LETTER]).prompts
    assert findings(intake) == [("email", "counted", intake.prompts[0].id, 2, 1)]
    assert intake.personal_data == {"email": 2}
    assert read(tmp_path, [LETTER]).personal_data == {}


@pytest.mark.extra("presidio_analyzer")
def test_dropped_prompts_are_summed_up_without_their_ids(tmp_path: Path):
    """The hash of a short text with a phone number in it could be guessed."""
    rows = [LETTER, LETTER, {"prompt": "Or cat@example.com?"}, {"prompt": "Why?"}]
    intake = read(tmp_path, rows, privacy={"policy": "drop"})
    assert texts(intake) == ["Why?"]
    assert intake.left_out == {"personal_data": 2}
    assert findings(intake) == [
        ("email", "dropped", None, 3, 2),
        ("ip_address", "dropped", None, 2, 1),
    ]


@pytest.mark.extra("presidio_analyzer")
def test_prompts_that_a_mask_makes_alike_are_one_with_one_split(tmp_path: Path):
    rows = [{"prompt": f"Answer {name}@example.com"} for name in "abcdefgh"]
    intake = read(tmp_path, rows, privacy={"policy": "mask"})
    assert texts(intake) == ["Answer [EMAIL]"]
    assert findings(intake) == [("email", "masked", intake.prompts[0].id, 1, 1)]


@pytest.mark.extra("presidio_analyzer")
def test_a_source_of_which_nothing_is_left_is_refused_without_its_words(tmp_path: Path):
    with pytest.raises(DataFileError, match=r"every prompt was left out .*personal_data.*1") as it:
        read(tmp_path, [LETTER], privacy={"policy": "drop"})
    assert "example" not in str(it.value)


def test_deleted_prompts_do_not_come_back(tmp_path: Path):
    """Not by the user who had them deleted, nor by a source without users; by others they may."""
    rows = [*said(ANN, "Why?", "How?"), *said(CAT, "Who?")]
    why = next(p.id for p in read(tmp_path, rows, **USERS).prompts if p.text == "Why?")
    tombs = {(why, HASHES.new_hash(ANN))}
    intake = read(tmp_path, rows, tombs, **USERS)
    assert texts(intake) == ["How?", "Who?"]
    assert intake.left_out == {"deleted": 1}
    assert texts(read(tmp_path, rows, tombs)) == ["How?", "Who?"]
    again = read(tmp_path, [*rows, *said(CAT, "Why?")], tombs, **USERS)
    assert again.users[why] == {CAT}


def test_a_tombstone_from_before_keys_still_counts(tmp_path: Path):
    rows = [*said(ANN, "Why?", "How?"), *said(CAT, "Who?")]
    why = next(p.id for p in read(tmp_path, rows, **USERS).prompts if p.text == "Why?")
    tombs = {(why, content_id("user", ANN))}
    assert texts(read(tmp_path, rows, tombs, **USERS)) == ["How?", "Who?"]
    assert "Why?" in texts(read(tmp_path, [*rows, *said(CAT, "Why?")], tombs, **USERS))


def test_where_the_key_is_lost_a_deleted_prompt_stays_away_whoever_sends_it(tmp_path: Path):
    rows = [*said(CAT, "Why?", "How?", "Who?"), *said(BOB, "When?")]
    why = next(p.id for p in read(tmp_path, rows, **USERS).prompts if p.text == "Why?")
    tombs = {(why, UserHashes((b"another key, now lost",)).new_hash(ANN))}
    assert "Why?" not in texts(read(tmp_path, rows, tombs, **USERS))


@pytest.mark.extra("presidio_analyzer")
def test_a_prompt_deleted_before_it_was_masked_stays_away(tmp_path: Path):
    raw = read(tmp_path, [LETTER]).prompts[0].id
    rows = [LETTER, {"prompt": "Why?"}]
    intake = read(tmp_path, rows, {(raw, HASHES.new_hash(ANN))}, privacy={"policy": "mask"})
    assert texts(intake) == ["Why?"]
