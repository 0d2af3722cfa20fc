"""Verdicts as JSON, with reasons: asked for, read with and without log-probabilities, refused."""

import json
from typing import Any

import pytest

from judges import load
from judges.language_model.choice import ModelReply, read_choice
from judges.language_model.structured import parse_json_verdict
from judges.panel.judge import Answer, Contest
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ConfigError, EndpointError
from rlhf_core.records import Outcome
from tests.endpoint_faults.behaviours import is_tiny
from tests.facts import prompt, response
from tests.servers import Answer as Served
from tests.servers import Server, completion

ASKED = prompt("What is the capital of France?")
CONTEST = Contest(ASKED, "Paris.", "Bananas.")
SAID = '{"rationale": "A names it; \\"verdict\\": B is no fruit.", "verdict": "A"}'


def judge(kind: str, **options: Any):
    remote = {"model": "openai:m", "base_url": "http://127.0.0.1:9/v1"}
    return load(JudgeSettings.model_validate({"kind": kind, **remote, **options}))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (SAID, "A"),
        (f"```json\n{SAID}\n```", "A"),
        (f"<think>B? {{no}}</think>\n{SAID}", "A"),
        ('{"verdict": "b", "rationale": "short"}', "B"),
        ('{"rationale": "one\nline", "verdict": "TIE"}', "TIE"),
        ('{"rationale": "neither", "verdict": "both"}', None),
        ('{"rationale": "A is better, because', None),
        ('```json\n{"rationale": "A is better', None),
    ],
)
def test_the_label_and_its_place(text: str, label: str | None):
    said = parse_json_verdict(text, ("A", "B", "TIE"))
    assert said is not None
    assert (said.verdict.label if said.verdict else None) == label
    if said.verdict:
        assert text[said.verdict.place :].casefold().startswith(str(label).casefold())


def test_a_grade_may_be_a_number():
    said = parse_json_verdict('{"rationale": "fine", "verdict": 4}', ("1", "2", "3", "4", "5"))
    assert (said.verdict.label, said.rationale) == ("4", "fine")


@pytest.mark.parametrize("text", ["A", "The better one is B.", "A {B}", '["A"]'])
def test_other_texts_are_not_json(text: str):
    assert parse_json_verdict(text, ("A", "B")) is None


def test_a_cut_object_is_no_verdict_though_its_reasons_name_one():
    said = response('{"rationale": "A is better, because', finish_reason="length")
    found = read_choice(ModelReply(said, is_new=True), ("A", "B"), tie="TIE")
    assert (found.probabilities, found.record.outcome) == (None, Outcome.UNPARSED)


def test_the_probability_is_read_at_the_verdict_and_not_in_the_reasons():
    """0.8 / (0.8 + 0.1); in the reasons A has 0.99."""
    tokens = [
        ['{"rationale": "', {}],
        ["A", {"A": 0.99}],
        [' wins", "verdict": "', {}],
        ["B", {"B": 0.8, "A": 0.1}],
        ['"}', {}],
    ]
    text = "".join(token for token, _ in tokens)
    found = read_choice(
        ModelReply(response(text, probabilities=json.dumps(tokens)), is_new=True), ("A", "B")
    )
    assert found.probabilities == pytest.approx({"A": 1 / 9, "B": 8 / 9})
    assert found.details() == {"A": 0.1111, "B": 0.8889, "rationale": "A wins"}


@pytest.mark.parametrize("kind", ["pairwise", "constitution", "direct", "rubric"])
def test_every_judge_asks_for_json_instead_of_a_word(kind: str):
    """And keeps the reasons beside its verdict, or in the reply; chain of thought is clamped."""

    def answer(body: dict[str, Any], number: int) -> Served:
        schema = body["response_format"]["json_schema"]
        assert schema["strict"]
        labels = schema["schema"]["properties"]["verdict"]["enum"]
        best = "Yes" if "Yes" in labels else "5" if "5" in labels else "A"
        if not is_tiny(body):
            asked = body["messages"][-1]["content"]
            last = asked[asked.rindex("Reply with") :]
            assert last.startswith("Reply with a JSON object of two keys")
            assert all(f'"{label}"' in last for label in labels)
            assert body["max_tokens"] == 8 + 256
        said = {"rationale": "It is right.", "verdict": best if best in labels else labels[0]}
        return completion(json.dumps(said))

    server = Server(answer)
    options = {"highest": 5} if kind == "direct" else {}
    asked = judge(kind, base_url=server.url, verdict="json", **options)
    asked.check()
    asked.preflight()
    if kind in ("pairwise", "constitution"):
        (found,) = asked.compare([CONTEST])
        assert found.probability == (0.6 if kind == "constitution" else 1.0)
    else:
        (found,) = asked.score([Answer(ASKED, "Paris.")])
        assert found.score is not None
    server.close()
    if kind != "rubric":
        assert json.loads(found.raw_output)["rationale"] == "It is right."


def test_the_form_of_the_verdict_belongs_to_the_judges_version():
    versions = {judge("pairwise", verdict=form).version for form in ("auto", "json", "text")}
    assert len(versions) == 3
    assert judge("pairwise").version in versions


def test_text_asks_for_no_log_probabilities():
    server = Server(lambda body, number: completion("A"))
    (found,) = judge("pairwise", base_url=server.url, verdict="text").compare([CONTEST])
    server.close()
    assert found.probability == 1.0
    assert not {"logprobs", "top_logprobs", "response_format"} & set(server.requests[0])


def test_where_log_probabilities_are_needed_words_are_no_verdict():
    server = Server(lambda body, number: completion("A"))
    strict = judge("pairwise", base_url=server.url, verdict="logprobs")
    with pytest.raises(EndpointError, match="returns no log-probabilities, which `verdict: logp"):
        strict.preflight()
    (found,) = strict.compare([CONTEST])
    server.close()
    assert found.outcome is Outcome.UNPARSED
    assert "a probability of 0.0e+00 together" in str(found.reason)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("pairwise", {"model": "tiny-random", "verdict": "json"}, "is for a remote model"),
        ("pairwise", {"model": "tiny-random", "verdict": "text"}, "is for a remote model"),
        ("question_answering", {"verdict": "json"}, "asks for no label"),
        ("constitution", {"verdict": "json", "chain_of_thought": True}, "reasons already"),
    ],
)
def test_what_would_do_nothing_is_refused(kind: str, options: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        judge(kind, **options).check()
