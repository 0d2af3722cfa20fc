"""The data of the training stages: texts from files, preferences from pairs."""

from itertools import combinations
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter

from flows.stages.train_policy import reads_reward_model
from flows.training.lineage import add_model
from flows.training.rankings import preference_matrix, ranked_candidates
from flows.training.rewards import _refuse_silence
from flows.training.texts import demonstrations, ptx_files, ptx_texts, read_texts
from judges import Opinion
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.config import load_config
from rlhf_core.config.training import LabelSettings, PPOSettings, PTXSettings, TrainingSettings
from rlhf_core.errors import DataFileError, TrainingError
from rlhf_core.identity import digest
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.loading import load_tokenizer
from rlhf_core.records import (
    Candidate,
    ModelKind,
    ModelVersion,
    Outcome,
    Pair,
    PairOutcome,
    Ranking,
    Revision,
)
from rlhf_core.store import Store, line_queries, queries
from tests.facts import candidate, prompt, response
from tests.flows.conftest import SMOKE

BY_JUDGES_ALONE = {"reward_model": 0.0, "judges": [{"kind": "brevity"}]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("texts.txt", "One text.\n\n  Another.  \n"),
        ("texts.jsonl", '{"text": "One text."}\n{"text": "Another.", "id": 2}\n'),
    ],
)
def test_texts_are_read_a_line_each(tmp_path: Path, name: str, content: str):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert [text.strip() for text in read_texts(tmp_path / name)] == ["One text.", "Another."]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("texts.txt", b"\n \n", "the file is empty"),
        ("texts.txt", b"\xff\xfe", "not utf-8"),
        (
            "texts.jsonl",
            b'{"text": "fine"}\n{"txt": "no"}\n',
            "line 2: no column 'text' (found: txt)",
        ),
        ("texts.jsonl", b"plain words\n", "line 1: not JSON"),
    ],
)
def test_the_error_of_a_broken_file_names_the_mistake(
    tmp_path: Path, name: str, content: bytes, message: str
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataFileError) as caught:
        read_texts(tmp_path / name)
    assert message in str(caught.value)


def test_long_texts_are_cut_and_the_first_token_is_given(tmp_path: Path):
    path = tmp_path / "texts.txt"
    path.write_text("a long text of many words\nx\n", encoding="utf-8")
    chat = ChatFormat(load_tokenizer("tiny-random"), None)
    (cut,) = ptx_texts(PTXSettings(path=str(path), max_tokens=5), chat, [])[:1]
    assert len(cut.prompt_ids) == 1
    assert len(cut.response_ids) == 4


@pytest.mark.parametrize(
    ("labels", "ties", "expected"),
    [
        ("hard", "dropped", [[0, 1, 0], [0, 0, 0], [0, 0, 0]]),
        ("soft", "dropped", [[0, 0.8, 0], [0.2, 0, 0], [0, 0, 0]]),
        ("soft", "half", [[0, 0.8, 0.5], [0.2, 0, 0], [0.5, 0, 0]]),
    ],
)
def test_pairs_teach_what_the_labels_say(labels: str, ties: str, expected: list[list[float]]):
    """A beats B by 0.6; A and C are tied; B and C were never compared."""

    def pair(left: str, right: str, outcome: PairOutcome, **more: object) -> Pair:
        return Pair(
            prompt_id="p",
            ranking_id="r",
            left_id=left,
            right_id=right,
            outcome=outcome,
            judgement_ids=(),
            judge_versions=(),
            config_hash="h",
            **more,
        )

    pairs = [
        pair("a", "b", PairOutcome.PREFERRED, chosen_id="a", rejected_id="b", margin=0.6),
        pair("a", "c", PairOutcome.TIE, margin=0.01),
        pair("b", "c", PairOutcome.UNSCORED),
    ]
    settings = LabelSettings.model_validate({"labels": labels, "ties": ties})
    found = preference_matrix(("a", "b", "c"), pairs, settings)
    torch.testing.assert_close(found, torch.tensor(expected), check_dtype=False)


def test_no_margin_makes_a_label_that_is_no_probability():
    """Imported pairs bring their own margins, which can exceed that of a certain win."""
    widest = Pair(
        prompt_id="p",
        ranking_id="r",
        left_id="a",
        right_id="b",
        outcome=PairOutcome.PREFERRED,
        chosen_id="a",
        rejected_id="b",
        margin=4 / 3,
        judgement_ids=(),
        judge_versions=(),
        config_hash="h",
    )
    soft = LabelSettings.model_validate({"labels": "soft"})
    assert preference_matrix(("a", "b"), [widest], soft).tolist() == [[0.0, 1.0], [0.0, 0.0]]


def ranked(store: Store, *best_first: Candidate) -> list[RankedCandidates]:
    """Return the training data of a ranking of these answers, each 0.5 better than the next."""
    ids = tuple(one.id for one in best_first)
    ranking = Ranking(
        prompt_id=prompt().id,
        model_id="sft-test",
        seed=1,
        recipe="r",
        candidate_ids=ids,
        utilities=tuple(0.75 - 0.5 * place for place in range(len(ids))),
        judgement_ids=(),
    )
    pairs = [
        Pair(
            prompt_id=prompt().id,
            ranking_id=ranking.id,
            left_id=better,
            right_id=worse,
            outcome=PairOutcome.PREFERRED,
            chosen_id=better,
            rejected_id=worse,
            margin=0.5,
            judgement_ids=(),
            judge_versions=(),
            config_hash="h",
        )
        for better, worse in combinations(ids, 2)
    ]
    store.append([prompt(), *best_first, ranking, *pairs])
    config = load_config(SMOKE, environment={})
    chat = ChatFormat(load_tokenizer("tiny-random"), None)
    return ranked_candidates(store, chat, [ranking], LabelSettings(), config)


def test_an_answer_that_was_cut_off_is_learnt_from_without_an_end(store: Store):
    """The first comes from a server, without tokens; one from a data set, complete; one neither.

    The last was cut off before its first word, so there is nothing of it to read.
    """
    chat = ChatFormat(load_tokenizer("tiny-random"), None)
    answers = [
        candidate("a b", place, finish_reason=reason)
        for place, reason in enumerate(("eos", "length", "external"))
    ]
    (found,) = ranked(store, *answers, candidate("", 3, finish_reason="length"))
    whole = tuple(chat.answer_ids("a b"))
    assert [s.response_ids for s in found.sequences] == [whole, whole[:-1], whole]
    assert found.preferences.shape == (3, 3)
    assert found.margins is not None
    assert found.margins[0].tolist() == [0.0, 0.5, 0.5]


def test_a_ranking_with_nothing_to_read_against_teaches_nothing(store: Store):
    assert ranked(store, candidate("a"), candidate("", 1, finish_reason="length")) == []


def test_a_revision_that_was_cut_off_is_shown_without_an_end(store: Store):
    """Its text is the last of the responses behind it; that the critique was cut off is no matter.

    An abstention has no response: its words are the config's.
    """
    responses = [response(text, finish_reason=reason) for text, reason in (
        ("critique", "length"), ("whole", "eos"), ("half", "length"),
    )]  # fmt: skip
    critique, whole, half = (said.id for said in responses)

    def revision(text: str, *response_ids: str) -> Revision:
        return Revision(
            prompt_id=prompt().id, reviser=f"r-{text}", model="m", round=1, text=text,
            response_ids=response_ids,
        )  # fmt: skip

    revisions = [
        revision("whole", critique, whole), revision("half", critique, half), revision("I can't.")
    ]  # fmt: skip
    store.append([prompt(), *responses, *revisions])
    cut_off = queries.revisions_cut_off(store, revisions)
    assert cut_off == {revisions[1].id}
    chat = ChatFormat(load_tokenizer("tiny-random"), None)
    shown = demonstrations(chat, [prompt()], revisions, cut_off=cut_off)
    ends = [sequence.response_ids[-1] == chat.tokenizer.eos_token_id for sequence in shown]
    assert ends == [True, False, True]


def test_answers_are_learnt_from_by_the_tokens_they_were_drawn_as(store: Store):
    """The first answer's text encodes to other tokens; the second has no known tokens."""
    chat = ChatFormat(load_tokenizer("tiny-random"), None)
    (found,) = ranked(store, candidate("b\ufffd", 0, token_ids=(200, 201, 2)), candidate("a", 1))
    assert found.sequences[0].response_ids == (200, 201, 2)
    assert found.sequences[1].response_ids == tuple(chat.answer_ids("a"))
    assert found.margins is not None
    assert found.margins.tolist() == [[0.0, 0.5], [-0.5, 0.0]]


def test_a_judge_nobody_can_reach_is_not_rewarded_by():
    """A missing opinion is replaced by the mean; if all are missing, the training ends."""
    missed = Opinion(Outcome.UNAVAILABLE, reason="connection refused")
    _refuse_silence("far", [missed, Opinion(Outcome.SCORED, score=0.5)])
    _refuse_silence("far", [Opinion(Outcome.ABSTAINS, reason="no reference")])
    _refuse_silence("far", [])
    with pytest.raises(TrainingError, match=r"'far' answered none of 2 .*connection refused"):
        _refuse_silence("far", [missed, missed])


def test_a_file_of_texts_is_part_of_a_models_lineage(store: Store, tmp_path: Path):
    """Name and content hash are recorded, because the file may change."""
    path = tmp_path / "texts.txt"
    path.write_text("One text.")
    files = ptx_files(PPOSettings(ptx=PTXSettings(path=str(path))))
    version = ModelVersion(kind=ModelKind.POLICY, base="tiny", recipe="{}", config_hash="hash")
    add_model(store, version, [prompt()], files=files)
    found = {row.input_table: row.input_id for row in line_queries.inputs_of(store, version.id)}
    assert found == {"prompts": prompt().id, "files": f"{path}@{digest(b'One text.')}"}
    assert ptx_files(PPOSettings(ptx=PTXSettings())) == []


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({"algorithm": "dpo"}, False),
        ({"algorithm": "ppo"}, True),
        ({"algorithm": "rloo"}, True),
        ({"algorithm": "best_of_n"}, True),
        ({"algorithm": "grpo"}, True),
        ({"algorithm": "rloo", "reward": BY_JUDGES_ALONE}, False),
        ({"algorithm": "grpo", "reward": BY_JUDGES_ALONE}, False),
        ({"algorithm": "best_of_n", "reward": BY_JUDGES_ALONE}, False),
        ({"algorithm": "ppo", "reward": BY_JUDGES_ALONE}, True),  # its critic begins as it
    ],
)
def test_the_reward_model_is_loaded_where_something_reads_it(
    training: dict[str, object], expected: bool
):
    settings = TypeAdapter(TrainingSettings).validate_python(training)
    assert reads_reward_model(settings) is expected
