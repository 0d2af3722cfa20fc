"""Choices read at the verdict's own token over all spellings, from the words, or not at all."""

import json
from typing import Any

import pytest

from judges.language_model.choice import Choice, ModelReply, read_choice, token_index_at
from judges.language_model.label_mass import bare_token, label_mass
from rlhf_core.records import Outcome
from tests.facts import response

YES_NO = ("Yes", "No")


def read(text: str, tokens: Any, labels: tuple[str, ...] = ("A", "B"), **more: Any) -> Choice:
    said = response(text, probabilities=json.dumps(tokens), **more)
    return read_choice(ModelReply(said, is_new=True), labels)


def test_the_verdict_is_read_at_its_own_token_and_not_at_the_first():
    """P(B) = 0.9 / (0.9 + 0.06): the article "A" of the first token says nothing."""
    tokens = [
        ["The", {"The": 0.999, "A": 0.000075, "Both": 0.000006}],
        [" better", {" better": 1.0}],
        [" answer", {" answer": 1.0}],
        [" is", {" is": 1.0}],
        [" B", {" B": 0.7, " **": 0.02, "B": 0.2, " A": 0.05, " a": 0.01}],
        [".", {".": 1.0}],
    ]
    found = read("The better answer is B.", tokens)
    assert found.probabilities == pytest.approx({"A": 0.0625, "B": 0.9375})


def test_a_first_token_alone_is_not_where_a_later_verdict_stands():
    """Replies stored without each token's alternatives: 7.5e-5 at the first token is no vote."""
    for tokens in ({"The": 0.999, "A": 0.000075}, [["The", {"The": 0.999, "A": 0.000075}]]):
        found = read("The better answer is B.", tokens)
        assert found.probabilities == {"A": 0.0, "B": 1.0}


def test_no_in_lower_case_is_no():
    """0.99 + 0.0067 for No against 0.0009 for Yes."""
    found = read("no", [["no", {"no": 0.99, "Yes": 0.0009, " no": 0.0067}]], YES_NO)
    assert found.probabilities == pytest.approx({"Yes": 0.0009, "No": 0.9991}, abs=1e-4)


@pytest.mark.parametrize("mass", [1e-22, 0.49])
def test_little_mass_on_labels_and_no_words_is_no_vote(mass: float):
    found = read("", {"A": mass, "B": 0.0})
    assert (found.probabilities, found.record.outcome) == (None, Outcome.UNPARSED)
    assert f"{mass:.1e}" in str(found.record.reason)


def test_where_labels_are_unlikely_the_words_decide():
    found = read("B", [["B", {"B": 0.3, "A": 0.1, "Hm": 0.6}]])
    assert found.probabilities == {"A": 0.0, "B": 1.0}


def test_the_least_mass_is_a_setting():
    said = response(probabilities=json.dumps({"A": 0.03, "B": 0.01}))
    found = read_choice(ModelReply(said, is_new=True), ("A", "B"), min_label_mass=0.0)
    assert found.probabilities == pytest.approx({"A": 0.75, "B": 0.25})


def test_likely_labels_under_words_that_say_nothing_are_no_vote():
    found = read("A more helpful answer would", [["A", {"A": 0.9}]], finish_reason="length")
    assert found.probabilities is None
    assert "cut off" in str(found.record.reason)


def test_a_tie_counts_half_for_each():
    said = response("TIE", probabilities=json.dumps([["TIE", {"TIE": 0.6, "A": 0.3, "B": 0.1}]]))
    found = read_choice(ModelReply(said, is_new=True), ("A", "B"), tie="TIE")
    assert found.probabilities == pytest.approx({"A": 0.6, "B": 0.4})


@pytest.mark.parametrize("token", ["A", " A", "▁A", '"A"', "(A)", "**a**", "\n`A`", "A.", "A:"])
def test_every_spelling_counts(token: str):
    assert bare_token(token) == "a"
    assert label_mass({token: 0.8}, ("A", "B"), None, token) == {"A": 0.8, "B": 0.0}


def test_beginnings_of_labels_count_where_the_tokenizer_splits_them():
    """A tokenizer of single bytes has "Y" at the verdict, which could have been "N"."""
    found = read("Yes", [["Y", {"Y": 0.6, "N": 0.3, "T": 0.1}], ["es", {"es": 1.0}]], YES_NO)
    assert found.probabilities == pytest.approx({"Yes": 2 / 3, "No": 1 / 3})


@pytest.mark.parametrize(
    ("text", "tokens", "place", "number"),
    [
        ("I say B", ["I", " say", " B"], 6, 2),
        ("B", ["<think>", "A", "</think>", "\n\n", "B"], 0, 4),  # thoughts are not in the text
        ("\n B", ["B"], 2, 0),
        ("So: B", [" B"], 4, 0),  # the end alone
        ("So: B", [" B"], 1, None),
        ("So it is B", ["So", " it"], 9, None),  # the beginning alone
        ("B", ["something", " else"], 0, None),
        ("B", ["", " "], 0, None),
    ],
)
def test_a_place_in_the_text_falls_into_a_token(
    text: str, tokens: list[str], place: int, number: int | None
):
    assert token_index_at(text, tokens, place) == number
