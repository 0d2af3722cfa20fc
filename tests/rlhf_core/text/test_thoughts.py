"""Thoughts and answers told apart by the marks of today's models."""

import pytest

from rlhf_core.text.thoughts import blank_out_thoughts, split_thoughts, with_thoughts


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("A", "", "A"),
        ("<think>\nB?\n</think>\n\nA", "B?", "A"),
        ("B? No.\n</think>\nA", "B? No.", "A"),  # the template holds the first mark
        ("<think>B? No", "B? No", ""),  # cut off
        ("<think></think>A", "", "A"),
        ("[THINK]B?[/THINK]A", "B?", "A"),
        ("<|channel|>analysis<|message|>B?<|channel|>final<|message|>A", "B?", "A"),
        ("<think>one</think>A<think>two</think>", "one\ntwo", "A"),
        ("I think A </thinker>", "", "I think A </thinker>"),
    ],
)
def test_thoughts_and_answer(text: str, thoughts: str, answer: str):
    assert split_thoughts(text) == (thoughts, answer)
    blank = blank_out_thoughts(text)
    assert len(blank) == len(text)
    assert blank.strip() == answer


def test_both_in_one_text_come_apart_again():
    assert with_thoughts("", "A") == "A"
    assert split_thoughts(with_thoughts("B?\nNo.", "A")) == ("B?\nNo.", "A")
