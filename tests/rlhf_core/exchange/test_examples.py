"""Rows of every form, what is read from them, and what is said of those that are wrong."""

from typing import Any

import pytest

from rlhf_core.errors import DataFileError
from rlhf_core.exchange import Form
from rlhf_core.exchange.examples import Example, NothingToLearn
from rlhf_core.exchange.forms import form_of, read_example
from rlhf_core.files.formats import layout_of
from rlhf_core.files.roles import NAMES_IN_IMPORTS
from rlhf_core.files.scales import UNIT, Scale
from rlhf_core.records import Mode

ONE, TWO = {"role": "user", "content": "One?"}, {"role": "user", "content": "Two?"}
YES, NO = {"role": "assistant", "content": "Yes."}, {"role": "assistant", "content": "No."}
SYSTEM = {"role": "system", "content": "Be brief."}
PAIR = {"prompt": "Q", "chosen": "a", "rejected": "b"}


def read(cells: dict[str, Any], form: Form = "preference", scale: Scale | None = None) -> Example:
    layout = layout_of(cells, usual=NAMES_IN_IMPORTS)
    return read_example("f line 3", cells, form, scale, layout)


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        (PAIR, "preference"),
        ({"chosen": "a", "rejected": "b", "label": 1}, "preference"),
        ({"prompt": "Q", "answers": ["a", "b"]}, "ranking"),
        ({"prompt": "Q", "completion": "a", "label": False}, "kto"),
        ({"prompt": "Q", "completion": "a", "label": None}, "sft"),
        ({"messages": [ONE, YES]}, "sft"),
    ],
)
def test_the_form_is_told_by_the_columns(cells: dict[str, Any], form: str):
    assert form_of("f line 1", cells) == form


def test_columns_of_no_form_are_an_error():
    with pytest.raises(DataFileError, match="f line 1: columns question, reply are those of no"):
        form_of("f line 1", {"question": "Q", "reply": "a"})


def test_a_bare_preference_is_certain():
    found = read({**PAIR, "subset": "easy"})
    assert (found.prompt.text, [answer.text for answer in found.answers]) == ("Q", ["a", "b"])
    assert (found.utilities, found.scores, found.agreement) == ((1.0, -1.0), None, 1.0)
    assert found.margin(0, 1) == 1.0
    assert found.columns == {"subset": "easy"}


@pytest.mark.parametrize(
    ("more", "scale", "margin", "scores"),
    [
        ({"score_chosen": 0.75, "score_rejected": 0.25}, UNIT, 0.5, (0.75, 0.25)),
        ({"score_chosen": 9, "score_rejected": 1}, Scale(1, 9), 1.0, (1.0, 0.0)),
        ({"margin": 0.5}, UNIT, 0.5, None),
        ({"margin": 4}, Scale(0, 8), 0.5, None),
        # What is said of the margin holds, whatever the scores differ by.
        (
            {"margin": 0.5, "score_chosen": 0.25, "score_rejected": 0.75},
            UNIT,
            0.5,
            (0.25, 0.75),
        ),
    ],
)
def test_scores_and_margins_are_kept_as_shares(
    more: dict[str, float],
    scale: Scale,
    margin: float,
    scores: tuple[float, ...] | None,
):
    found = read({**PAIR, **more}, scale=scale)
    assert (found.margin(0, 1), found.scores) == (margin, scores)
    # Of 0.5: tanh of a quarter of log 3, where P = 3/4, is 2 − √3; of 1 there is no limit.
    assert found.utilities[0] == pytest.approx(2 - 3**0.5 if margin == 0.5 else 1.0)
    assert found.utilities[1] == -found.utilities[0]


def test_a_ranking_without_utilities_falls_in_equal_steps():
    found = read({"prompt": "Q", "answers": ["a", "b", "c"]}, "ranking")
    assert (found.utilities, found.scores) == ((0.5, 0.0, -0.5), None)
    rated = read({"prompt": "Q", "answers": ["a", "b"], "utilities": [0.5, -1.0]}, "ranking")
    assert (rated.utilities, rated.scores) == ((0.5, -1.0), (0.75, 0.0))


@pytest.mark.parametrize("answers", range(2, 10))
def test_an_order_without_utilities_is_certain_of_every_two(answers: int):
    """However many there are: nobody said that neighbours are nearly alike."""
    found = read({"prompt": "Q", "answers": [str(n) for n in range(answers)]}, "ranking")
    assert {found.margin(0, 1), found.margin(0, answers - 1)} == {1.0}


def test_utilities_are_strengths_whose_difference_is_a_probability():
    """tanh(s / 2) of strengths log 3, 0, −log 3: neighbours 3/4, the ends 9/10."""
    row = {"prompt": "Q", "answers": ["a", "b", "c"], "utilities": [0.5, 0.0, -0.5]}
    found = read(row, "ranking")
    assert found.margin(0, 1) == pytest.approx(2 * 0.75 - 1)
    assert found.margin(0, 2) == pytest.approx(2 * 0.9 - 1)
    tied = read({**row, "utilities": [1.0, 1.0, -1.0]}, "ranking")
    assert (tied.margin(0, 1), tied.margin(1, 2)) == (0.0, 1.0)


def test_the_text_a_prompt_is_about_is_not_read_twice():
    """Exports hold what the model reads, other files the prompt alone."""
    ours = read({**PAIR, "prompt": "A text.\n\nSum up.", "context": "A text."})
    theirs = read({**PAIR, "prompt": "Sum up.", "context": "A text."})
    assert ours.prompt == theirs.prompt
    assert (ours.prompt.text, ours.context, ours.mode) == ("Sum up.", "A text.", Mode.TEXT_GROUNDED)


def test_scores_and_ranks_order_the_answers():
    """Scores are shares of the scale, and utilities 2 s − 1; equal ranks are tied."""
    row = {"prompt": "Q", "answers": ["a", "b", "c"]}
    scored = read({**row, "scores": [4, 9, 1]}, "ranking", Scale(1, 9))
    assert [answer.text for answer in scored.answers] == ["b", "a", "c"]
    assert (scored.scores, scored.utilities) == ((1.0, 0.375, 0.0), (1.0, -0.25, -1.0))
    ranked = read({**row, "ranks": [2, 1, 2]}, "ranking")
    assert [answer.text for answer in ranked.answers] == ["b", "a", "c"]
    assert (ranked.scores, ranked.utilities) == (None, (0.5, -0.5, -0.5))
    assert (ranked.margin(0, 1), ranked.margin(1, 2)) == (1.0, 0.0)


def test_an_answer_that_repeats_with_the_same_score_is_one():
    row = {"prompt": "Q", "answers": ["a", "b", "a"], "scores": [1, 0, 1]}
    assert [answer.text for answer in read(row, "ranking").answers] == ["a", "b"]
    with pytest.raises(DataFileError, match="two of the answers are the same"):
        read({**row, "scores": [1, 0, 0.5]}, "ranking")
    with pytest.raises(NothingToLearn, match="equal answers"):
        read({**row, "answers": ["a", "a"], "scores": [1, 1]}, "ranking")


@pytest.mark.parametrize(
    ("preference", "scale", "better", "margin"),
    [
        (1, None, "a", 1.0),
        (2, None, "b", 1.0),
        (1.25, None, "a", 0.5),
        ("2", None, "b", 1.0),
        (-3, Scale(-3, 3), "a", 1.0),
        (1, Scale(-3, 3), "b", 1 / 3),
    ],
)
def test_a_preference_between_two_answers_names_the_better(
    preference: Any, scale: Scale | None, better: str, margin: float
):
    row = {"prompt": "Q", "response_1": "a", "response_2": "b", "preference": preference}
    found = read(row, scale=scale)
    assert found.answers[0].text == better
    assert found.margin(0, 1) == pytest.approx(margin)


@pytest.mark.parametrize("preference", [0, 1.5])
def test_a_tie_of_two_answers_teaches_nothing(preference: float):
    row = {"prompt": "Q", "response_1": "a", "response_2": "b", "preference": preference}
    with pytest.raises(NothingToLearn, match="equal scores"):
        read(row)


def test_one_message_each_is_what_it_says():
    found = read({"prompt": [ONE], "chosen": [YES], "rejected": [NO]})
    assert (found.prompt.text, found.prompt.messages) == ("One?", None)
    assert found.is_conversation


def test_a_conversation_is_a_dialogue_beside_its_messages():
    found = read({"prompt": [SYSTEM, ONE, YES, TWO], "chosen": [YES, ONE, NO], "rejected": [NO]})
    assert found.prompt.text == (
        "System: Be brief.\n\nHuman: One?\n\nAssistant: Yes.\n\nHuman: Two?"
    )
    assert found.prompt.messages == (SYSTEM, ONE, YES, TWO)
    assert found.answers[0].text == "Yes.\n\nHuman: One?\n\nAssistant: No."
    assert found.answers[0].messages == (YES, ONE, NO)


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt", "answers"),
    [
        # As TRL's extract_prompt: letter by letter, a space to the word after it.
        ("The sky is blue.", "The sky is green.", "The sky is", [" blue.", " green."]),
        ([ONE, YES], [ONE, NO], "One?", ["Yes.", "No."]),
        # The answers begin with the assistant: the policy never speaks as the user.
        (
            [ONE, YES, TWO, NO],
            [ONE, YES, SYSTEM, NO],
            "One?",
            [
                "Yes.\n\nHuman: Two?\n\nAssistant: No.",
                "Yes.\n\nSystem: Be brief.\n\nAssistant: No.",
            ],
        ),
        (
            "\n\nHuman: Hi\n\nAssistant: I am A",
            "\n\nHuman: Hi\n\nAssistant: I am B",
            "Hi",
            ["I am A", "I am B"],
        ),
    ],
)
def test_a_prompt_that_is_not_named_is_what_both_begin_with(
    chosen: Any, rejected: Any, prompt: str, answers: list[str]
):
    found = read({"chosen": chosen, "rejected": rejected})
    assert found.prompt.text == prompt
    assert [answer.text for answer in found.answers] == answers


def test_the_turns_of_a_dialogue_are_messages():
    said = "\n\nHuman: One?\n\nAssistant: Yes.\n\nHuman: Two?\n\nAssistant:"
    found = read({"chosen": f"{said} Yes.", "rejected": f"{said} No."})
    assert found.prompt.messages == (ONE, YES, TWO)
    assert found.is_conversation


def test_a_dialogue_that_ends_in_silence_is_left_out():
    """As four rows of the harmless test set of hh-rlhf are."""
    said = "\n\nHuman: One?\n\nAssistant:"
    with pytest.raises(NothingToLearn, match="an answer without words"):
        read({"chosen": f"{said} ", "rejected": f"{said} No."})


@pytest.mark.parametrize(
    ("cells", "form", "message"),
    [
        ({**PAIR, "prompt": " \n"}, "preference", "the prompt is empty"),
        ({**PAIR, "chosen": ""}, "preference", "'answer' is empty"),
        ({**PAIR, "chosen": "\ud800"}, "preference", "half a surrogate pair"),
        ({**PAIR, "chosen": 7}, "preference", "must all be texts, or all be lists"),
        ({**PAIR, "prompt": 7, "chosen": 7, "rejected": 8}, "preference", "not int"),
        ({**PAIR, "prompt": [ONE], "chosen": [YES]}, "preference", "must all be texts, or all"),
        ({"prompt": "Q", "chosen": [ONE, YES], "rejected": [ONE, NO]}, "preference", "is not what"),
        ({"chosen": "Yes", "rejected": "No"}, "preference", "do not begin with a shared one"),
        ({"chosen": "Yes", "rejected": "Yes, no"}, "preference", "do not begin with a shared"),
        ({"chosen": [ONE, YES], "rejected": "No"}, "preference", "two texts or two lists"),
        ({**PAIR, "score_chosen": 1}, "preference", "come together"),
        ({**PAIR, "score_chosen": 9, "score_rejected": 1}, "preference", "as in --scale 1:10"),
        ({**PAIR, "score_chosen": 0, "score_rejected": 1}, "preference", "has the higher score"),
        ({**PAIR, "margin": 0}, "preference", "must be above 0"),
        ({**PAIR, "margin": float("nan")}, "preference", "must be a number"),
        ({**PAIR, "margin": True}, "preference", "must be a number"),
        ({**PAIR, "agreement": 2}, "preference", "must lie from 0 to 1"),
        ({**PAIR, "mode": "chatty"}, "preference", "mode 'chatty'; use text_grounded"),
        ({**PAIR, "context": 3}, "preference", "'context' must be text"),
        ({**PAIR, "reference": {"x": 1}}, "preference", "name one of them: reference.x"),
        ({"prompt": "Q", "rejected": "b"}, "preference", "no column 'chosen' (found: prompt"),
        ({"prompt": "Q", "answers": ["a"]}, "ranking", "must be a list of two or more"),
        ({"prompt": "Q", "answers": ["a", "a"]}, "ranking", "two of the answers are the same"),
        ({"prompt": "Q", "answers": ["a", "b"], "utilities": [0, 1]}, "ranking", "must fall"),
        ({"prompt": "Q", "answers": ["a", "b"], "utilities": [9, 1]}, "ranking", "lie from -1"),
        ({"prompt": "Q", "answers": ["a", "b"], "utilities": [1]}, "ranking", "a list of 2"),
        ({"prompt": "Q", "completion": "a", "label": 0.5}, "kto", "true or false, not 0.5"),
        ({"prompt": "Q", "completion": "a", "label": "maybe"}, "kto", "label = 'maybe': must be"),
        ({"prompt": "Q", "candidates": ["a", "b"]}, "ranking", "in which order are 'candidates'?"),
        (
            {"prompt": "Q", "answers": ["a", "b"], "scores": [1, 0], "ranks": [1, 2]},
            "ranking",
            "'scores' and 'ranks' both order the answers",
        ),
        ({"prompt": "Q", "answers": ["a", "b"], "scores": [1]}, "ranking", "a list of 2"),
        (
            {"prompt": "Q", "answers": ["a", "b"], "scores": [9, 1]},
            "ranking",
            "lies outside 0 to 1",
        ),
        ({"messages": [ONE]}, "sft", "two or more"),
        ({"messages": [ONE, {"role": "assistant"}]}, "sft", "must hold a text as content"),
        ({"messages": [ONE, {**YES, "mood": "x"}]}, "sft", "has a field 'mood'"),
        ({"messages": [ONE, []]}, "sft", "must hold role and content"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(cells: dict[str, Any], form: Form, message: str):
    with pytest.raises(DataFileError) as caught:
        read(cells, form)
    assert str(caught.value).startswith("f line 3: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        ({**PAIR, "rejected": "a"}, "preference"),
        ({**PAIR, "score_chosen": 0.5, "score_rejected": 0.5}, "preference"),
        ({"prompt": "Q", "answers": ["a", "b"], "utilities": [0, 0]}, "ranking"),
    ],
)
def test_a_row_that_prefers_nothing_is_no_error(cells: dict[str, Any], form: Form):
    with pytest.raises(NothingToLearn, match="equal"):
        read(cells, form)


def test_null_fields_of_a_message_are_not_there():
    """Parquet gives every message the fields that any message has."""
    found = read({"messages": [{**ONE, "name": None}, YES]}, "sft")
    assert found.prompt.text == "One?"


def test_a_row_is_known_by_all_it_says_and_not_by_its_place():
    one, other = read(dict(PAIR)), read_example("elsewhere", dict(PAIR), "preference", UNIT)
    assert one.hash == other.hash
    different = [
        {**PAIR, "subset": "x"},
        {**PAIR, "margin": 0.5},
        {**PAIR, "mode": "text_grounded"},
        {"prompt": "Q", "chosen": "b", "rejected": "a"},
        {
            "prompt": [{"role": "user", "content": "Q"}],
            "chosen": [{"role": "assistant", "content": "a"}],
            "rejected": [{"role": "assistant", "content": "b"}],
        },
    ]
    assert len({one.hash, *(read(cells).hash for cells in different)}) == 6
