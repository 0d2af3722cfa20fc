"""Scores by hand, and against the published SQuAD script's rules."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from judges import load
from judges.panel.judge import Answer, Opinion
from judges.verifiers import maths
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.records import Outcome
from rlhf_core.text.numbers import last_number
from rlhf_core.text.overlap import exact_match, normalise, token_f1
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


@pytest.mark.parametrize(
    ("text", "reference", "score"),
    [
        ("It is the Pacific Ocean, I think.", "Pacific Ocean", 1.0),
        ("pacific ocean", "The Pacific Ocean.", 1.0),
        ("The ocean that is called Pacific.", "Pacific Ocean", 0.0),  # not in a row
        ("The Pacifics", "Pacific", 0.0),  # words, not letters
        ("Paris", "Paris and London", 0.0),
        ("", "Paris", 0.0),
        ("anything", "The", None),
    ],
)
def test_contains_asks_for_the_words_of_the_reference_in_a_row(
    text: str, reference: str, score: float | None
):
    assert judge(text, reference, metric="contains").score == score


def test_best_of_several_references_counts():
    assert judge("Big Apple", "New York", "The Big Apple", metric="exact").score == 1.0


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It is 1,234.5 km", 1234.5),
        ("first 3 then -7", -7.0),
        ("about 6.02e23 of them", 6.02e23),
        ("5.", 5.0),
        ("3-5", 5.0),  # a range
        ("about 3,14", 3.14),
        ("3,140", 3140.0),
        ("1,2,3", 3.0),
        ("so 1/2", 0.5),
        ("1 1/2 cups", 1.5),
        ("from 5 to −7", -7.0),
        ("9" * 5000, None),
        ("none", None),
    ],
)
def test_last_number(text: str, number: float | None):
    last = last_number(text)
    assert (None if last is None else float(last.value)) == number


@pytest.mark.parametrize(
    ("text", "reference", "tolerance", "score"),
    [
        ("so 41 + 1 = 42", "42", 1e-6, 1.0),
        ("42.3", "42", 1e-6, 0.0),
        ("42.3", "42", 0.01, 1.0),
        ("no idea", "42", 1e-6, 0.0),
        ("3-5", "-5", 1e-6, 0.0),
        ("314", "3,14", 1e-6, 0.0),
        ("2", "1/2", 1e-6, 0.0),
        ("0.5", "1/2", 1e-6, 1.0),
        ("50%", "0.5", 1e-6, 1.0),
        ("50%", "50", 1e-6, 1.0),
        ("50%", "0.5%", 1e-6, 0.0),
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
        ({"metric": "json_schema"}, "that metric needs one"),
        ({"metric": "exact", "tests": "assert 1"}, "belongs to metric: code"),
        ({"metric": "bleu"}, "metric = 'bleu'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, str], message: str):
    with pytest.raises(ConfigError, match=message):
        judge("x", "x", **options)


MATHS = [
    (r"so \boxed{\frac{2}{4}}, as was to be shown in 3 steps", "1/2", 1.0),
    (r"\boxed{1} at first, then \boxed{(x+1)^2}", "$x^2 + 2x + 1$", 1.0),
    ("2 + 2 = 4\n#### 1,234", "#### 1234", 1.0),
    ("The answer is 0.5. I hope it helps in 2026.", "1/2", 1.0),
    ("A: 18", "#### 18", 1.0),
    ("3 apples and 4 pears, so 7", "7", 1.0),
    (r"\boxed{\sqrt{8}}", r"$2\sqrt{2}$", 1.0),
    ("The answer is 19.", "18", 0.0),
    ("no idea", "18", 0.0),
    ("", "18", 0.0),
]


def test_maths_compares_final_answers_by_algebra():
    found = load(JudgeSettings.model_validate({"kind": "verifier", "metric": "maths"}))
    opinions = found.score(
        [Answer(prompt(reference_answers=(wanted,)), text) for text, wanted, _ in MATHS]
    )
    assert [opinion.score for opinion in opinions] == [score for _, _, score in MATHS]


def test_maths_works_outside_the_main_thread():
    """Stages run in threads, where the library's own timeouts raise an error."""
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(judge, "4/2", "2", metric="maths").result().score == 1.0


def test_maths_that_overruns_is_unavailable_and_does_not_spoil_the_next(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("judges.verifiers.maths.TIMEOUT_SECONDS", 1.0)
    found = load(JudgeSettings.model_validate({"kind": "verifier", "metric": "maths"}))
    asked = prompt(reference_answers=("2",))
    tower, plain = found.score([Answer(asked, r"\boxed{9^{9^{9^{9}}}+x}"), Answer(asked, "2")])
    assert tower.outcome is Outcome.UNAVAILABLE
    assert "within 1 s" in (tower.reason or "")
    assert plain.score == 1.0


IMPOSSIBLE = r"$x\lim_{x\to 0} f(x)$"
"""The parser reads it, and sympy raises a TypeError when x gets a value."""


def test_only_an_answer_that_cannot_be_evaluated_is_a_0():
    found = load(JudgeSettings.model_validate({"kind": "verifier", "metric": "maths"}))
    other = IMPOSSIBLE.replace("0", "1")
    asked = [
        (IMPOSSIBLE, ("17",)),
        ("17", (IMPOSSIBLE,)),
        (other, (IMPOSSIBLE,)),
        ("17", (IMPOSSIBLE, "17")),
        ("18", (IMPOSSIBLE, "17")),
    ]
    answers = [Answer(prompt(reference_answers=references), text) for text, references in asked]
    opinions = found.score(answers)
    assert [opinion.score for opinion in opinions] == [0.0, None, None, 1.0, None]
    for opinion in (opinions[1], opinions[2], opinions[4]):
        assert opinion.outcome is Outcome.UNAVAILABLE
        assert "the reference" in (opinion.reason or "")
        assert "cannot be evaluated (TypeError: " in (opinion.reason or "")


def test_maths_abstains_where_the_reference_holds_none():
    assert judge("2", "two", metric="maths").outcome is Outcome.ABSTAINS


SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 0}},
    "required": ["age"],
}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"age": 3}', None),
        ('First:\n```json\n{"age": "x"}\n```\nBetter:\n```json\n{"age": 3}\n```\nDone.', None),
        ('{"age": -1}', "$.age: -1 is less than the minimum of 0"),
        ("{}", "$: 'age' is a required property"),
        ("age: 3", "no JSON"),
        ('{"age": NaN}', "NaN is no JSON"),
        ("[" * 50_000, "nested too deeply"),
        ('{"age": 3}' + " " * 100_000, "longer than 100000 characters"),
    ],
)
def test_json_schema(text: str, wrong: str | None):
    opinion = judge(text, metric="json_schema", json_schema=SCHEMA)
    assert opinion.score == float(wrong is None)
    assert (wrong or "") in (opinion.raw_output or "")


def test_a_schema_file_belongs_to_the_version(tmp_path: Path):
    file = tmp_path / "schema.json"
    settings = {"kind": "verifier", "metric": "json_schema", "json_schema": str(file)}
    file.write_text('{"type": "object"}')
    before = load(JudgeSettings.model_validate(settings)).version
    file.write_text('{"type": "array"}')
    assert load(JudgeSettings.model_validate(settings)).version != before
    assert judge("[]", metric="json_schema", json_schema=str(file)).score == 1.0


@pytest.mark.parametrize(
    ("schema", "message"),
    [({"type": "thing"}, "not a JSON schema"), ("nowhere.json", "'nowhere.json' is not a JSON")],
)
def test_a_schema_that_is_none_is_refused_before_the_run(schema: Any, message: str):
    options = {"kind": "verifier", "metric": "json_schema", "json_schema": schema}
    with pytest.raises(ConfigError, match=message):
        load(JudgeSettings.model_validate(options)).check()


def test_a_schema_elsewhere_is_not_fetched():
    options = {"metric": "json_schema", "json_schema": {"$ref": "http://127.0.0.1:9/schema.json"}}
    with pytest.raises(ConfigError, match="has an unresolvable reference"):
        judge("{}", **options)


def test_the_process_of_maths_knows_no_secret_and_ends_by_itself(
    monkeypatch: pytest.MonkeyPatch,
):
    """The process reads model output, and the kernel stops it if its parent is gone."""
    monkeypatch.setenv("SOLON_TEST_KEY", "secret")
    with maths.MathsWorker() as worker:
        assert worker.equal("1/2", "0.5") is True
        process = psutil.Process(worker._start().pid)
        assert "SOLON_TEST_KEY" not in process.environ()
        seconds, _ = process.rlimit(psutil.RLIMIT_CPU)
        used = process.cpu_times()
        assert used.user + used.system < seconds <= used.user + used.system + 9


SLOW = "^(a|a)+$"
FIFTY = "a" * 50


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"properties": {"name": {"pattern": SLOW}}}, {"name": f"{FIFTY}!"}),
        ({"patternProperties": {SLOW: {"type": "string"}}}, {f"{FIFTY}!": 1}),
        ({"patternProperties": {SLOW: {}}, "additionalProperties": False}, {f"{FIFTY}!": 1}),
    ],
)
def test_no_answer_keeps_a_pattern_of_a_schema_busy_for_ever(
    schema: dict[str, Any], answer: dict[str, Any]
):
    found = judge(json.dumps(answer), metric="json_schema", json_schema=schema)
    assert found.outcome is Outcome.UNAVAILABLE
    assert "longer than a second" in (found.reason or "")


def test_patterns_of_a_schema_decide():
    schema = {
        "properties": {"a": {"pattern": "^x"}},
        "patternProperties": {"^n_": {"type": "integer"}},
        "additionalProperties": False,
    }
    rules = {"metric": "json_schema", "json_schema": schema}
    assert judge('{"a": "xy", "n_b": 3}', **rules).score == 1.0
    assert judge('{"a": "y"}', **rules).score == 0.0
    assert judge('{"n_b": "3"}', **rules).score == 0.0
    assert judge('{"c": 1}', **rules).score == 0.0
    typed = {"metric": "json_schema", "json_schema": {"additionalProperties": {"type": "string"}}}
    assert judge('{"c": "1"}', **typed).score == 1.0
    assert judge('{"c": 1}', **typed).score == 0.0
