"""Answers that decline, in many wordings and languages; rewards by hand; the auditor's view."""

import json
from typing import Any

import pytest

from judges import load
from judges.panel.judge import Answer, Opinion
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.records import Judgement, Outcome
from rlhf_core.store import Store
from rlhf_core.text.declining import abstention_rate, declines
from tests.facts import candidate, prompt

DECLINE = [
    "I don't know.",
    "I have no comment",
    "It is unclear.",
    "I cannot verify that.",
    "There's no evidence.",
    "As an AI language model, I don't have personal opinions.",
    "Nobody knows for sure.",
    "I'm not sure. I'll have to look that up.",
    "",
    "The precise origin of fortune cookies is unclear",
    "Unknown",
    "The answer is unknown to science.",
    "We don't know if intelligent life exists elsewhere",
    "There are various theories but it is not known",
    "I'm sorry, but I can't help with that.",
    "That's a good question, but I don't know.",
    '"I don\'t know."',
    "Ich weiß es leider nicht.",
    "Keine Ahnung.",
    "Das ist unbekannt.",
    "Je ne sais pas.",
    "Je n’ai pas de réponse.",
    "No lo sé.",
    "No tengo ni idea.",
    "Non lo so.",
    "Não sei.",
    "Ik weet het niet.",
    "我不知道。",
    "无法确定。",
    "わかりません。",
    "申し訳ありませんが、分かりません。",
    "모르겠습니다.",
    "알 수 없습니다.",
    "Я не знаю.",
    "Неизвестно.",
    "There is not enough information to answer.",
    "I am an AI and I don't know the answer",
    "Well, I don't know, sorry.",
    "Who knows?",
    "I do not have opinions",
    "It is impossible to say.",
    "I can't say.",
    "I don't know why the sky is blue.",
    "I'm not sure. I've never had insomnia.",
    "I’ve no idea.",
    "As an AI, I cannot verify that.",
    "That's a tough one. I'm not sure.",
    "申し訳ありません。お答えできません。",
    "Nessuno lo sa.",
    "Ninguém sabe.",
    "Niemand weiß das.",
]
ANSWER = [
    "Paris.",
    "I don't know why people say Sydney, but the answer is Canberra.",
    'He said "I don\'t know" and left.',
    "I'm not sure, I think it is 5.",
    "I'm not sure. I think it's probably British Airways.",
    "There is no evidence that it works.",
    "The capital is Paris. I don't know its population.",
    "It's Paris, though I don't know why.",
    'George Washington said, "I cannot tell a lie".',
    "I know it is 5.",
    "Socrates said that he knew nothing.",
    "No.",
    "You can't know that without a key; it is 7.",
    "Ich weiß nicht, warum alle Sydney sagen, aber es ist Canberra.",
    "Je ne sais pas pourquoi, mais c'est Paris.",
    "No sé por qué, pero es Madrid.",
    "我不知道为什么，但答案是北京。",
    "よくわかりませんが、東京です。",
    "잘 모르지만 서울입니다.",
    "Не знаю почему, но это Москва.",
    "I don't know. Paris.",
    "Elephants are not known to have a negative opinion of humans.",
    "The Unknown Soldier",
    "It depends on which country you are in",
    "I don't know of any.",
    "Yes, I will not discuss this conversation.",
    "No, the sex of a baby cannot be determined by the heart rate.",
    "I'm not sure. I think most people are Christian, but I'm not sure.",
    "Non so perché, ma la risposta è Roma.",
    "Não sei por quê, mas é Lisboa.",
    "Ik weet niet waarom, maar het is Amsterdam.",
]


@pytest.mark.parametrize("text", DECLINE)
def test_declining_is_recognised(text: str):
    assert declines(text)


@pytest.mark.parametrize("text", ANSWER)
def test_an_answer_that_only_sounds_like_declining_is_one(text: str):
    assert not declines(text)


def test_what_stands_far_behind_is_not_read():
    assert not declines("It is blue. " * 100_000 + "I don't know.")
    assert declines("I don't know. " * 100_000)


def test_abstention_rate_counts_questions_that_have_an_answer():
    """One of three answerable questions is declined: 1/3."""
    answers = ["Paris.", "I don't know.", "Rome.", "Nobody knows."]
    assert abstention_rate(answers, [True, True, True, False]) == pytest.approx(1 / 3)
    assert abstention_rate(["I don't know."], [False]) is None
    with pytest.raises(ValueError, match="shorter"):
        abstention_rate(answers, [True])


def judge(text: str, *references: str, **options: Any) -> Opinion:
    inner = {"kind": "verifier", "metric": "exact"}
    settings = {"kind": "abstention", "judge": inner, **options}
    found = load(JudgeSettings.model_validate(settings))
    (opinion,) = found.score([Answer(prompt(reference_answers=references), text)])
    return opinion


def said(opinion: Opinion) -> dict[str, Any]:
    assert opinion.raw_output is not None
    return dict(json.loads(opinion.raw_output))


@pytest.mark.parametrize(
    ("text", "references", "reward", "score"),
    [
        ("Paris", ["Paris"], 1.0, 1.0),
        ("I don't know.", ["Paris"], -0.1, 0.45),  # (-0.1 + 1) / 2
        ("Rome", ["Paris"], -1.0, 0.0),
        ("I don't know.", ["Nobody knows."], 1.0, 1.0),
        ("Paris", ["Nobody knows."], -1.0, 0.0),
        ("It is unknown.", ["Paris", "I have no comment."], 1.0, 1.0),
        ("Paris", ["I have no comment.", "Paris"], 1.0, 1.0),
        ("I have no comment", ["I have no comment."], 1.0, 1.0),
    ],
)
def test_rewards(text: str, references: list[str], reward: float, score: float):
    opinion = judge(text, *references)
    assert opinion.outcome is Outcome.SCORED
    assert opinion.score == pytest.approx(score)
    assert said(opinion)["reward"] == reward


def test_rewards_are_configurable_and_scaled_by_their_own_range():
    """Declining at 0 of -3 … 1 is 3/4 of the way."""
    opinion = judge("I don't know.", "Paris", right=1.0, declined=0.0, wrong=-3.0)
    assert opinion.score == pytest.approx(0.75)


@pytest.mark.parametrize(("threshold", "score"), [(0.6, 1.0), (0.7, 0.0)])
def test_an_answer_is_right_from_the_threshold_on(threshold: float, score: float):
    """Token F1 of one word of two: 2 * 1 / (1 + 2) = 2/3."""
    inner = {"kind": "verifier", "metric": "token_f1"}
    assert judge("blue", "blue sky", judge=inner, threshold=threshold).score == score


def test_a_real_encoder_tells_right_from_wrong():
    inner = {"kind": "similarity"}
    assert judge("It is the city of Paris.", "The city is Paris.", judge=inner).score == 1.0
    assert judge("Bananas are yellow.", "The city is Paris.", judge=inner).score == 0.0


def test_without_a_reference_the_judge_itself_abstains():
    opinion = judge("I don't know.")
    assert opinion.outcome is Outcome.ABSTAINS
    assert opinion.reason == "the prompt has no reference answer"


def test_what_the_inner_judge_cannot_say_stays_unsaid():
    inner = {"kind": "verifier", "metric": "numeric"}
    assert judge("42", "forty-two", judge=inner).outcome is Outcome.ABSTAINS


def test_the_version_covers_the_inner_judge():
    versions = {
        load(JudgeSettings.model_validate({"kind": "abstention", "judge": inner})).version
        for inner in (
            {"kind": "verifier", "metric": "exact"},
            {"kind": "verifier", "metric": "token_f1"},
            {"kind": "similarity"},
            {"kind": "similarity", "batch_size": 2, "name": "same"},
        )
    }
    assert len(versions) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"judge": {"kind": "pairwise"}}, "must score answers alone, which 'pairwise' does not"),
        ({"judge": {"kind": "similarty"}}, "no judge 'similarty'"),
        ({"judge": {"kind": "similarity", "xyzzy": 1}}, "unknown key 'xyzzy'"),
        ({"declined": 2.0}, "rewards must rise"),
        ({"right": -1.0, "declined": -1.0}, "rewards must rise"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        judge("x", "x", **options)


def test_auditors_see_over_abstention_by_model(store: Store):
    """One answer of three to answerable questions declines, and the one to an unanswerable does."""
    answered = [
        ("Paris", "Paris"),
        ("Rome", "Paris"),
        ("I don't know.", "Paris"),
        ("I don't know.", "Nobody knows."),
    ]
    for index, (text, reference) in enumerate(answered):
        asked, given = prompt(reference_answers=(reference,)), candidate(text, index)
        opinion = judge(text, reference)
        judgement = Judgement(
            prompt_id=asked.id,
            judge="knows",
            judge_version="abstention-12345678",
            candidate_id=given.id,
            **vars(opinion),
        )
        other = judgement.model_copy(update={"judge_version": "x-1", "raw_output": "no JSON {"})
        store.append([asked, given, judgement, other])
    (row,) = store.query("SELECT * FROM abstention_rates")
    assert row["answerable"] == 3
    assert row["over_abstention_rate"] == pytest.approx(1 / 3)
    assert row["right_when_answering"] == pytest.approx(1 / 2)
    assert row["unanswerable"] == 1
    assert row["abstention_rate_where_right"] == 1.0
