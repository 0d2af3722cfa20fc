"""What an imported row is in the store."""

from typing import Any

import pytest

from rlhf_core.exchange import Form
from rlhf_core.exchange.examples import Example
from rlhf_core.exchange.facts import Importer, demonstrated_prompt, match_labels
from rlhf_core.exchange.forms import read_example
from rlhf_core.files.scales import UNIT
from rlhf_core.records import (
    Candidate,
    ImportedRow,
    Judgement,
    Outcome,
    Pair,
    PairOutcome,
    Prompt,
    Ranking,
    Record,
    Split,
)
from rlhf_core.store import Store

PAIR = {"prompt": "Q", "chosen": "a", "rejected": "b"}


def importer(form: Form = "preference", digest: str = "d", holdout: float = 0.0) -> Importer:
    return Importer("theirs", form, digest, holdout)


def example(cells: dict[str, Any], form: Form = "preference") -> Example:
    return read_example("f line 1", dict(cells), form, UNIT)


def facts_of(writes: Importer, row: Example) -> list[Record]:
    return list(writes.facts(writes.prompt(row), [row]))


def facts(cells: dict[str, Any], form: Form = "preference") -> list[Record]:
    return facts_of(importer(form), example(cells, form))


def of(kind: type, records: list[Record]) -> list[Any]:
    return [record for record in records if type(record) is kind]


def test_a_preference_is_one_verdict_on_two_candidates():
    records = facts({**PAIR, "margin": 0.5})
    (verdict,), (pair,) = of(Judgement, records), of(Pair, records)
    texts = {candidate.id: candidate.text for candidate in of(Candidate, records)}
    assert (texts[pair.chosen_id], texts[pair.rejected_id]) == ("a", "b")
    assert (pair.margin, pair.agreement, pair.outcome) == (0.5, 1.0, PairOutcome.PREFERRED)
    assert pair.judgement_ids == (verdict.id,)
    is_first = verdict.candidate_id == pair.chosen_id
    assert verdict.outcome is (Outcome.FIRST if is_first else Outcome.SECOND)
    assert verdict.probability == (0.75 if is_first else 0.25)
    assert (verdict.judge, verdict.judge_version) == ("theirs", importer().judge_version)


def test_which_answer_stands_first_says_nothing_of_which_is_better():
    """Else the judge of every import would seem to prefer what it saw first."""
    firsts = 0
    for number in range(200):
        records = facts({**PAIR, "prompt": f"Q{number}"})
        firsts += of(Judgement, records)[0].outcome is Outcome.FIRST
    assert 70 < firsts < 130


def test_scores_are_judgements_of_a_second_version():
    records = facts({**PAIR, "score_chosen": 0.75, "score_rejected": 0.25})
    scored = [j for j in of(Judgement, records) if j.outcome is Outcome.SCORED]
    assert [judgement.score for judgement in scored] == [0.75, 0.25]
    assert {judgement.judge_version for judgement in scored} == {importer().scores_version}
    (pair,) = of(Pair, records)
    assert len(pair.judgement_ids) == 3
    assert pair.judge_versions == (importer().judge_version, importer().scores_version)


def test_a_ranking_is_a_verdict_on_every_two():
    records = facts(
        {"prompt": "Q", "answers": ["a", "b", "c"], "utilities": [0.5, 0.5, -1.0]}, "ranking"
    )
    (ranking,) = of(Ranking, records)
    assert ranking.utilities == (0.5, 0.5, -1.0)
    outcomes = [pair.outcome for pair in of(Pair, records)]
    assert outcomes == [PairOutcome.TIE, PairOutcome.PREFERRED, PairOutcome.PREFERRED]
    verdicts = [j.outcome for j in of(Judgement, records) if j.outcome is not Outcome.SCORED]
    assert len(verdicts) == 3
    assert verdicts.count(Outcome.TIE) == 1


def test_a_label_is_a_score_of_1_or_0():
    records = facts({"prompt": "Q", "completion": "a", "label": False}, "kto")
    (label,), (row,) = of(Judgement, records), of(ImportedRow, records)
    assert (label.outcome, label.score) == (Outcome.SCORED, 0.0)
    assert (row.subject_table, row.subject_id) == ("judgements", label.id)


def test_rows_that_contradict_each_other_are_both_kept(store: Store):
    swapped = {"prompt": "Q", "chosen": "b", "rejected": "a"}
    store.append([*facts(PAIR), *facts(swapped), *facts({**PAIR, "run": "another"})])
    counts = store.counts()
    assert [counts[table] for table in ("candidates", "judgements", "pairs")] == [2, 3, 3]


def test_answers_are_shared_by_the_versions_of_a_file_and_verdicts_are_not():
    before = facts_of(importer(digest="d"), example(PAIR))
    after = facts_of(importer(digest="e"), example(PAIR))
    shared = {record.id for record in before} & {record.id for record in after}
    assert shared == {record.id for record in before if isinstance(record, Prompt | Candidate)}


def test_prompts_are_split_by_their_own_words():
    held_out = facts_of(importer(holdout=1.0), example(PAIR))
    assert of(Prompt, held_out)[0].split is Split.HOLDOUT
    padded = importer(holdout=0.5).prompt(example({**PAIR, "prompt": " Q\n"}))
    assert padded.text == " Q\n"
    assert padded.split is importer(holdout=0.5).prompt(example(PAIR)).split


@pytest.mark.parametrize(
    ("labels", "pairs"),
    [
        ({"a": [1], "b": [0]}, [("a", "b")]),
        ({"a": [1], "b": [0], "c": [0]}, [("a", "b"), ("a", "c")]),
        ({"a": [1], "b": [0], "c": [1], "d": [0], "e": [1]}, [("a", "b"), ("c", "d"), ("e", "b")]),
        ({"a": [1], "b": [0, 1]}, []),
        ({"a": [1], "c": [1]}, []),
        ({}, []),
    ],
)
def test_each_answer_is_matched_with_one_of_the_other_label(
    labels: dict[str, list[int]], pairs: list[tuple[str, str]]
):
    """No more pairs than answers, and none of an answer that is called both."""
    said = {answer: {bool(label): "id" for label in all} for answer, all in labels.items()}
    assert match_labels(said) == pairs


def test_matched_labels_rest_on_the_two_labels():
    labels = {"good": {True: "j-good"}, "bad": {False: "j-bad"}}
    ranking, pair = importer("kto").label_pairs("p", labels)
    assert (ranking.candidate_ids, ranking.utilities) == (("good", "bad"), (1.0, -1.0))
    assert (pair.chosen_id, pair.rejected_id, pair.margin) == ("good", "bad", 1.0)
    assert ranking.judgement_ids == pair.judgement_ids == ("j-bad", "j-good")
    assert pair.judge_versions == (importer("kto").judge_version,)
    assert {pair.left_id, pair.right_id} == {"good", "bad"}


def test_demonstrations_are_references_of_their_prompt():
    writes = importer("sft")
    shown = [example({"prompt": "Q", "completion": a}, "sft") for a in ("one", "three")]
    prompt = demonstrated_prompt(writes, shown)
    records = list(writes.facts(prompt, shown))
    assert prompt.reference_answers == ("one", "three")
    assert of(Prompt, records) == [prompt]
    assert [row.part for row in of(ImportedRow, records)] == [0, 1]
    assert {row.subject_id for row in of(ImportedRow, records)} == {prompt.id}


@pytest.mark.parametrize("view", ["check_orphans", "check_duplicate_ids"])
def test_the_checks_find_nothing_wrong_with_an_import(store: Store, view: str):
    writes = importer()
    store.append([writes.config, writes.model, *facts(PAIR), writes.record(1, 0, 0)])
    assert store.query(f"SELECT * FROM {view}") == []
    (vote,) = store.query("SELECT * FROM judge_votes")
    assert abs(vote["margin"]) == 1.0
