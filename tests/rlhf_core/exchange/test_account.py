"""What is kept of a file, and what is not: as prompts are at ingest."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rlhf_core.config.prompts import HygieneSettings, PrivacySettings
from rlhf_core.errors import DataFileError
from rlhf_core.exchange.account import Account, account_of
from rlhf_core.exchange.screening import Screen
from rlhf_core.exchange.source import ImportSource
from rlhf_core.records import (
    Candidate,
    Import,
    ImportedRow,
    Mode,
    Pair,
    PrivacyFinding,
    Prompt,
    PromptRemoval,
    Ranking,
    Record,
    Split,
)

MAIL, PHONE = "ann@example.com", "+44 20 7946 0018"
WITH_MAIL = {
    "prompt": f"Write to {MAIL}.",
    "chosen": f"To {MAIL}: hello.",
    "rejected": "No.",
    "rationale": f"It greets {MAIL}",
    "votes": [{"judge": "x", "why": [f"or ring {PHONE}"]}],
}
PLAIN = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}


def account(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    policy: str = "off",
    hygiene: HygieneSettings | None = None,
    tombstones: Sequence[str] = (),
) -> Account:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    source = ImportSource(path, screen=Screen(PrivacySettings.model_validate({"policy": policy})))
    return account_of(source, "theirs", 0.0, hygiene or HygieneSettings(), tombstones)


def of(kind: type, found: Account) -> list[Any]:
    facts: list[Record] = [fact for group in found.facts() for fact in group]
    return [fact for fact in facts if type(fact) is kind]


@pytest.mark.extra("presidio_analyzer")
def test_masked_is_every_text_of_a_row(tmp_path: Path):
    """Judges' rationales and whatever else stands beside the answers too."""
    found = account(tmp_path, [WITH_MAIL, PLAIN], "mask")
    written = " ".join(fact.model_dump_json() for group in found.facts() for fact in group)
    assert MAIL not in written
    assert "7946" not in written
    assert "Write to [EMAIL]." in {prompt.text for prompt in of(Prompt, found)}
    assert "To [EMAIL]: hello." in {answer.text for answer in of(Candidate, found)}
    columns = next(row.columns for row in of(ImportedRow, found) if "greets" in row.columns)
    assert json.loads(columns)["votes"] == [{"judge": "x", "why": ["or ring [PHONE]"]}]
    assert found.personal_data == {"email": 3, "phone": 1}
    assert (found.rows, dict(found.left_out)) == (2, {})


@pytest.mark.extra("presidio_analyzer")
def test_masked_are_messages_one_by_one(tmp_path: Path):
    said = [
        {"role": "user", "content": f"I am {MAIL}"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": f"Ring {PHONE}"},
    ]
    row = {
        "prompt": said,
        "chosen": [{"role": "assistant", "content": "Yes."}],
        "rejected": [{"role": "assistant", "content": "No."}],
    }
    found = account(tmp_path, [row], "mask")
    (prompt,) = of(Prompt, found)
    contents = [message["content"] for message in prompt.conversation.messages]
    assert contents == ["I am [EMAIL]", "Hello!", "Ring [PHONE]"]
    assert "[EMAIL]" in prompt.text
    assert MAIL not in prompt.text


@pytest.mark.extra("presidio_analyzer")
def test_findings_are_facts_of_the_import_and_hold_no_text(tmp_path: Path):
    found = account(tmp_path, [WITH_MAIL], "mask")
    (ended,), (prompt,) = of(Import, found), of(Prompt, found)
    findings = {
        (one.prompt_set_id, one.prompt_id, one.kind, one.action, one.spans, one.source)
        for one in of(PrivacyFinding, found)
    }
    assert findings == {
        (ended.id, prompt.id, "email", "masked", 3, "theirs"),
        (ended.id, prompt.id, "phone", "masked", 1, "theirs"),
    }


@pytest.mark.extra("presidio_analyzer")
def test_counted_stays_as_it_is(tmp_path: Path):
    found = account(tmp_path, [WITH_MAIL], "count")
    assert of(Prompt, found)[0].text == WITH_MAIL["prompt"]
    assert found.personal_data == {"email": 3, "phone": 1}
    assert {one.action for one in of(PrivacyFinding, found)} == {"counted"}


@pytest.mark.extra("presidio_analyzer")
def test_dropped_is_the_row_and_not_its_prompt(tmp_path: Path):
    rows = [{**PLAIN, "chosen": f"Ask {MAIL}."}, PLAIN]
    found = account(tmp_path, rows, "drop")
    assert (found.rows, dict(found.left_out)) == (1, {"personal data": 1})
    assert [answer.text for answer in of(Candidate, found)] == ["Because.", "No."]
    (finding,) = of(PrivacyFinding, found)
    assert (finding.prompt_id, finding.action, finding.spans) == (None, "dropped", 1)
    assert of(Import, found)[0].left_out == 1


def test_off_does_not_look(tmp_path: Path):
    found = account(tmp_path, [WITH_MAIL])
    assert (found.personal_data, of(PrivacyFinding, found)) == ({}, [])


@pytest.mark.extra("presidio_analyzer")
def test_answers_that_differ_in_what_is_masked_alone_prefer_nothing(tmp_path: Path):
    rows = [{**PLAIN, "chosen": f"Ask {MAIL}.", "rejected": "Ask bob@example.com."}, PLAIN]
    found = account(tmp_path, rows, "mask")
    assert (found.rows, dict(found.left_out)) == (1, {"equal answers once masked": 1})


def test_repetitions_are_left_out_with_all_their_rows(tmp_path: Path):
    long = "Explain in two sentences why the sky is blue in the evening"
    rows = [
        {**PLAIN, "prompt": f"{long}."},
        {**PLAIN, "prompt": f"{long}!"},
        {**PLAIN, "prompt": f"{long}!", "chosen": "Dust."},
        PLAIN,
    ]
    found = account(tmp_path, rows, hygiene=HygieneSettings(near_duplicate=0.8))
    (removal,) = of(PromptRemoval, found)
    kept = {prompt.id for prompt in of(Prompt, found)}
    assert (removal.reason, removal.kept_id in kept) == ("near_duplicate", True)
    assert removal.prompt_id not in kept
    assert removal.prompt_set_id == of(Import, found)[0].id
    assert found.rows + found.left_out["near_duplicate"] == 4
    assert {len(kept), found.pairs - found.rows} == {2, 0}


def test_other_rules_make_another_version_of_the_file(tmp_path: Path):
    """Else the rows that the first import left out would stay away from the second."""
    rows = [{**PLAIN, "prompt": f"The same question, again{end}"} for end in ("?", "!")]
    versions = {
        account(tmp_path, rows, hygiene=hygiene).importer.judge_version
        for hygiene in (HygieneSettings(), HygieneSettings(shared_prefix_chars=20))
    }
    assert len(versions) == 2


@pytest.mark.parametrize("form", ["preference", "sft"])
@pytest.mark.extra("presidio_analyzer")
def test_a_prompt_that_was_deleted_stays_away_masked_or_not(tmp_path: Path, form: str):
    text, answers = f"I am {MAIL}. Who am I?", ("Ann.", "Ann Lee.")
    rows: list[dict[str, Any]] = [{"prompt": text, "chosen": "Ann.", "rejected": "Bob."}, PLAIN]
    if form == "sft":
        rows = [{"prompt": text, "completion": answer} for answer in answers]
        rows.append({"prompt": "Why?", "completion": "Because."})
    references = answers if form == "sft" else ()
    mode = Mode.KNOWLEDGE_SEEKING if references else Mode.CREATIVE
    for known in (text, text.replace(MAIL, "[EMAIL]")):
        gone = Prompt(text=known, mode=mode, reference_answers=references, split=Split.TRAIN)
        found = account(tmp_path, rows, "mask", tombstones=[gone.id])
        assert [prompt.text for prompt in of(Prompt, found)] == ["Why?"]
        assert found.left_out["of prompts that a user had deleted"] == len(rows) - 1
        assert (found.personal_data, found.rows) == ({}, 1)


def test_labels_of_one_prompt_make_pairs(tmp_path: Path):
    rows = [
        {"prompt": "Why?", "completion": "Because.", "label": True},
        {"prompt": "Why?", "completion": "No.", "label": False},
        {"prompt": "Why?", "completion": "Never.", "label": False},
        {"prompt": "When?", "completion": "Now.", "label": True},
    ]
    found = account(tmp_path, rows)
    texts = {answer.id: answer.text for answer in of(Candidate, found)}
    pairs = {(texts[pair.chosen_id], texts[pair.rejected_id]) for pair in of(Pair, found)}
    assert pairs == {("Because.", "No."), ("Because.", "Never.")}
    assert len(of(Ranking, found)) == found.pairs == 2
    assert {r.recipe for r in of(Ranking, found)} == {found.importer.judge_version}


@pytest.mark.extra("presidio_analyzer")
def test_where_nothing_is_left_it_says_why(tmp_path: Path):
    with pytest.raises(DataFileError, match="holds nothing that could be imported"):
        account(tmp_path, [WITH_MAIL], "drop")
