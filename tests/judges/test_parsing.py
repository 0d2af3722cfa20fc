import pytest

from judges._parsing import label_probabilities, last_label

LABELS = ("A", "B", "TIE")


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
        ("AB", None),
        ("BANANA", None),
        ("", None),
        ("neither", None),
        ("A/B? B.", "B"),
    ],
)
def test_the_last_label_that_is_a_word_counts(text: str, label: str | None):
    assert last_label(text, LABELS) == label


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ({"A": 0.6, "B": 0.2, "The": 0.2}, 0.75),
        ({"A": 0.3, " A": 0.3, "B": 0.2}, 0.75),
        ({"A": 0.1}, 1.0),
        ({"The": 0.9}, None),
        ({}, None),
    ],
)
def test_probability_is_that_among_the_labels(
    probabilities: dict[str, float], expected: float | None
):
    found = label_probabilities(probabilities, ("A", "B"))
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx({"A": expected, "B": 1 - expected})
