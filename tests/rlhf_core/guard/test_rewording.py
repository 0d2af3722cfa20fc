"""Rewordings keep the meaning: contractions, synonyms, layout, a closing sentence."""

import pytest

from rlhf_core.guard.rewording import (
    CLOSING,
    LONG,
    SHORT,
    add_closing_sentence,
    contract,
    expand,
    plain_layout,
    replace_synonyms,
    rewordings,
)


@pytest.mark.parametrize(
    ("text", "reworded"),
    [
        ("I don't know, and you can't.", "I do not know, and you cannot."),
        ("It isn’t. We're here; I'll go.", "It is not. We are here; I will go."),
        ("Won't it? Let's see.", "Will not it? Let us see."),
        ("the Smiths' house, it's been", "the Smiths' house, it's been"),
    ],
)
def test_contractions_are_spelled_out(text: str, reworded: str):
    """'s is left, since it stands for is, has and a possessor."""
    assert expand(text) == reworded


@pytest.mark.parametrize(
    ("text", "reworded"),
    [
        ("It is not far. I do not know.", "It's not far. I don't know."),
        ("Yes, it is. We are.", "Yes, it is. We are."),
        ("They cannot swim, and They are wet.", "They can't swim, and They're wet."),
        ("This is a credit.", "This is a credit."),
    ],
)
def test_words_are_contracted_where_another_follows(text: str, reworded: str):
    assert contract(text) == reworded


def test_function_words_are_replaced_and_keep_their_capital():
    text = "Because it rains, for example. Because of it, therefore, in order to eat."
    assert replace_synonyms(text) == "Since it rains, for instance. Because of it, thus, to eat."


def test_the_layout_goes_and_the_words_stay():
    text = "# Title\n\n- **one**  and two\n* three\n1. four\n\n\nSnake_case__name 2 * 3 * 4"
    assert plain_layout(text) == "Title\none and two\nthree\nfour\nSnake_case__name 2 * 3 * 4"


def test_a_closing_sentence_follows_a_full_stop_and_suits_no_other_script():
    assert add_closing_sentence("Paris\n") == f"Paris. {CLOSING}"
    assert add_closing_sentence("Is it?") == f"Is it? {CLOSING}"
    assert add_closing_sentence("東京です。") == "東京です。"


def test_only_what_changes_an_answer_is_a_rewording():
    assert set(rewordings("Paris.")) == {"closing"}
    assert rewordings("Paris", is_finished=False) == {}
    assert set(rewordings("**Paris**, because I don't know.")) == {
        *("whole_words", "synonyms", "plain_layout", "closing"),
    }


@pytest.mark.parametrize("text", ["", " \n", "42", '{"a": 1}', "So:\n```\nx = 1\n```", "東京"])
def test_code_and_empty_answers_stay(text: str):
    assert rewordings(text) == {}


def test_a_deeply_nested_answer_is_read_as_text():
    """What a model wrote may be anything; a parser that gives up is no error."""
    assert rewordings("[" * 100_000) == {}


def test_no_rewording_undoes_itself():
    """Each goes in one direction, so a second time changes nothing."""
    assert not set(LONG) & set(LONG.values())
    assert not set(SHORT) & set(SHORT.values())
    text = "I don't know, because it is not here. Therefore you will not."
    for reword in (expand, contract, replace_synonyms, plain_layout):
        assert reword(reword(text)) == reword(text)
