"""Scores by hand, and against the published SQuAD script's rules."""

from typing import Any

import pytest

from judges import load
from judges._base import Answer, Opinion
from judges.verifier import exact_match, last_number, normalise, token_f1
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.records import Outcome
from tests.facts import prompt


def judge(text: str, *references: str, **options: Any) -> Opinion:
    found = load(JudgeSettings.model_validate({"kind": "verifier", **options}))
    (opinion,) = found.score([Answer(prompt(reference_answers=references), text)])
    return opinion


def test_normalising_drops_case_punctuation_and_articles():
    assert normalise("The  Cat, a dog & AN   owl!") == ["cat", "dog", "owl"]
    assert normalise("theatre another") == ["theatre", "another"]


@pytest.mark.parametrize(
    ("text", "reference", "f1"),
    [
        ("the cat sat", "a cat sat", 1.0),
        ("cat sat", "cat sat on mat", 2 * 2 / 6),  # precision 1, recall 1/2
        ("cat cat cat", "cat", 2 * 1 / 4),
        ("dog", "cat", 0.0),
        ("", "cat", 0.0),
        ("the", "a", 1.0),  # both are nothing once articles are gone
    ],
)
def test_token_f1(text: str, reference: str, f1: float):
    assert token_f1(text, reference) == pytest.approx(f1)
    assert judge(text, reference, metric="token_f1").score == pytest.approx(f1)


def test_exact_match_is_after_normalising():
    assert exact_match("The Eiffel Tower.", "eiffel tower") == 1.0
    assert exact_match("Eiffel Tower in Paris", "Eiffel Tower") == 0.0


def test_best_of_several_references_counts():
    assert judge("Big Apple", "New York", "The Big Apple", metric="exact").score == 1.0


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It is 1,234.5 km", 1234.5),
        ("first 3 then -7", -7.0),
        ("about 6.02e23 of them", 6.02e23),
        ("5.", 5.0),
        ("none", None),
    ],
)
def test_last_number(text: str, number: float | None):
    assert last_number(text) == number


@pytest.mark.parametrize(
    ("text", "reference", "tolerance", "score"),
    [
        ("so 41 + 1 = 42", "42", 1e-6, 1.0),
        ("42.3", "42", 1e-6, 0.0),
        ("42.3", "42", 0.01, 1.0),
        ("no idea", "42", 1e-6, 0.0),
    ],
)
def test_numeric(text: str, reference: str, tolerance: float, score: float):
    assert judge(text, reference, metric="numeric", tolerance=tolerance).score == score


def test_numeric_abstains_where_the_reference_has_no_number():
    assert judge("42", "forty-two", metric="numeric").outcome is Outcome.ABSTAINS


def test_abstains_without_a_reference():
    opinion = judge("anything")
    assert opinion.outcome is Outcome.ABSTAINS
    assert opinion.score is None


def test_pattern_needs_no_reference():
    assert judge("Answer: 7", metric="regex", pattern=r"Answer: \d").score == 1.0
    assert judge("seven", metric="regex", pattern=r"Answer: \d").score == 0.0


def test_a_pattern_that_takes_too_long_is_unavailable_not_wrong(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("judges.verifier.PATTERN_TIMEOUT_SECONDS", 0.05)
    opinion = judge("a" * 40 + "b", metric="regex", pattern=r"(a|aa)+$")
    assert opinion.outcome is Outcome.UNAVAILABLE


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "regex"}, "that metric needs one"),
        ({"metric": "exact", "pattern": "x"}, "belongs to metric: regex"),
        ({"metric": "regex", "pattern": "("}, "no regular expression"),
        ({"metric": "bleu"}, "metric = 'bleu'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, str], message: str):
    with pytest.raises(ConfigError, match=message):
        judge("x", "x", **options)
