"""Words that state a verdict, words that only look like one, and the verdict's place."""

import pytest

from judges.language_model.parsing import ParsedVerdict, find_last_label, parse_verdict

LABELS = ("A", "B", "TIE")
YES_NO = ("Yes", "No")
GRADES = tuple("123456789")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("A", "A"),
        ("**B**", "B"),
        ("Answer A is short, but B is right. B", "B"),
        ("First A, then B, so: A.", "A"),
        ("(B)", "B"),
        ("It is a TIE", "TIE"),
        ("a better answer", None),
        ("A better answer would name the year.", None),  # an article
        ("AB", None),
        ("BANANA", None),
        ("", None),
        ("neither", None),
        ("A/B? B.", "B"),
        ("A is not better", None),
        ("It is not A", None),
    ],
)
def test_the_last_label_that_is_a_word_counts(text: str, label: str | None):
    found = find_last_label(text, LABELS)
    assert (found.label if found else None) == label
    if found:
        assert text[found.place :].startswith(found.label)


@pytest.mark.parametrize(
    ("text", "labels", "label", "place"),
    [
        ("The better answer is B.", ("A", "B"), "B", 21),
        ("A more helpful answer is B.", ("A", "B"), "B", 25),
        ("Verdict: **B**, since A is long", ("A", "B"), "B", 11),
        ("b", ("A", "B"), "B", 0),
        ("(a)", ("A", "B"), "A", 1),
        ("the winner is a.", ("A", "B"), "A", 14),
        ("the answer is a poem", ("A", "B"), None, None),
        ("no", YES_NO, "No", 0),
        ("YES.", YES_NO, "Yes", 0),
        ("Yes, there is no doubt", YES_NO, "Yes", 0),
        ("The answer is no.", YES_NO, "No", 14),
        ("there is no harm in it", YES_NO, None, None),
        ("7. It is clear; 1 word is wrong", GRADES, "7", 0),
        ("Grade: 8/9", GRADES, "8", 7),
        ("<think>A, or is it B? A</think>\n\nB", ("A", "B"), "B", 33),
        ("is it A? I say A.</think>B", ("A", "B"), "B", 25),
        ("<think>Answer A is better. But", ("A", "B"), None, None),
    ],
)
def test_a_verdict_is_read_with_its_place(
    text: str, labels: tuple[str, ...], label: str | None, place: int | None
):
    found = parse_verdict(text, labels)
    assert found == (None if label is None else ParsedVerdict(label, place))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Let me compare the two answers, A and", None),
        ("Comparing A with B", None),
        ("B", "B"),  # max_tokens: 1
        ("**B", "B"),
        ("B. Because it is", "B"),
        ("The better answer is B", "B"),
        ("the winner is a", None),  # "a clear B", perhaps
    ],
)
def test_a_label_that_half_a_reply_names_is_no_verdict_unless_it_is_stated(
    text: str, label: str | None
):
    found = parse_verdict(text, ("A", "B"), is_cut=True)
    assert (found.label if found else None) == label


def test_a_tie_in_other_words_stands_nowhere():
    assert parse_verdict("Both are equally good.", ("A", "B"), "TIE") == ParsedVerdict("TIE", None)
