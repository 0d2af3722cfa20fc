"""Scripted members; arithmetic by hand; reliability learnt without labels."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judges import load
from judges.jury import JuryJudge, compare_scores, majority, weighted_median
from judges.panel.judge import Answer, Contest, Opinion, PointwiseJudge, scored
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ConfigError, InputError, TrainingError
from rlhf_core.evaluation.dawid_skene import (
    SIDES,
    Reliability,
    expect,
    fit,
    maximise,
    one_hot,
    save,
)
from rlhf_core.evaluation.dawid_skene import load as load_reliability
from rlhf_core.records import Mode, Outcome, Prompt
from tests.facts import prompt

FIRST, SECOND, TIE = Outcome.FIRST, Outcome.SECOND, Outcome.TIE
BREVITY = {"kind": "brevity", "typical_words": 1}
EXACT = {"kind": "verifier", "metric": "exact"}
BLUE = {"kind": "verifier", "metric": "regex", "pattern": "blue", "name": "blue"}
ASKED = prompt(reference_answers=("blue",))


def jury(*members: dict[str, Any], **options: Any) -> JuryJudge:
    found = load(JudgeSettings.model_validate({"kind": "jury", "judges": members, **options}))
    assert isinstance(found, JuryJudge)
    return found


def decide(
    *members: dict[str, Any],
    first: str = "blue",
    second: str = "red it is",
    asked: Prompt = ASKED,
    **options: Any,
) -> Opinion:
    (opinion,) = jury(*members, **options).compare([Contest(asked, first, second)])
    return opinion


def test_the_same_words_cut_off_and_whole_are_two_answers(monkeypatch: pytest.MonkeyPatch):
    asked: list[bool] = []

    def score(answers: Sequence[Answer]) -> list[Opinion]:
        asked.extend(answer.is_finished for answer in answers)
        return [scored(1.0 if answer.is_finished else 0.5) for answer in answers]

    judge = load(JudgeSettings.model_validate(BREVITY))
    assert isinstance(judge, PointwiseJudge)
    monkeypatch.setattr(judge, "score", score)
    (opinion,) = compare_scores(judge, [Contest(ASKED, "same", "same", True, False)], scale=0.5)
    assert asked == [True, False]
    assert opinion.probability == pytest.approx(0.73105858)  # σ(0.5 / 0.5)


BRIEF, CERTAIN = 0.92414182, 0.99995460
"""σ of 1/(1+1) − 1/(1+3) = 1/4 over brevity's scale of 0.1; of 1 − 0 over the verifier's."""


def test_scores_vote_by_their_difference_over_their_scale():
    """The median of two is halfway."""
    opinion = decide(BREVITY, EXACT)
    assert opinion.probability == pytest.approx((BRIEF + CERTAIN) / 2)
    assert opinion.outcome is FIRST
    other = decide(BREVITY, EXACT, first="red it is", second="blue")
    assert other.probability == pytest.approx(1 - (BRIEF + CERTAIN) / 2)
    # 1/4 over 0.25 is 1, and σ(1) = 0.73105858.
    wide = decide({**BREVITY, "scale": 0.25}, {**EXACT, "weight": 0})
    assert wide.probability == pytest.approx(0.73105858)


def test_a_member_of_another_scale_makes_another_jury():
    assert jury(BREVITY, EXACT).version != jury({**BREVITY, "scale": 0.25}, EXACT).version


def test_the_median_of_three_is_the_middle_one():
    """Two are certain; with brevity thrice as heavy, its own probability holds the middle."""
    assert decide(BREVITY, EXACT, BLUE).probability == pytest.approx(CERTAIN)
    assert decide({**BREVITY, "weight": 3}, EXACT, BLUE).probability == pytest.approx(BRIEF)


@pytest.mark.parametrize(
    ("weighed", "median"),
    [
        ([(0.2, 1.0)], 0.2),
        ([(0.9, 1.0), (0.2, 1.0)], 0.55),
        ([(0.9, 1.0), (0.2, 1.0), (0.3, 1.0)], 0.3),
        ([(0.9, 5.0), (0.2, 1.0), (0.3, 1.0)], 0.9),
    ],
)
def test_weighted_median(weighed: list[tuple[float, float]], median: float):
    assert weighted_median(weighed) == pytest.approx(median)


def test_majority_counts_heads_by_weight():
    """0.6 and 0.9 say first, 0.1 second, 0.5 neither: (1 + 1 + 1/2) / 4; doubled 0.1: 2.5 / 5."""
    votes = [(0.6, 1.0), (0.9, 1.0), (0.1, 1.0), (0.5, 1.0)]
    assert majority(votes) == pytest.approx(2.5 / 4)
    assert majority([*votes, (0.1, 1.0)]) == pytest.approx(2.5 / 5)
    assert decide(BREVITY, EXACT, method="majority").probability == 1.0


def test_disagreement_is_kept():
    said = json.loads(decide(BREVITY, EXACT).raw_output or "")
    assert [(m["name"], m["outcome"]) for m in said["members"]] == [
        ("brevity", "first"),
        ("verifier", "first"),
    ]
    assert said["members"][0]["probability"] == pytest.approx(BRIEF)
    assert said["spread"] == pytest.approx(CERTAIN - BRIEF)


def test_members_without_an_opinion_cast_no_vote():
    opinion = decide(BREVITY, EXACT, asked=prompt())
    assert opinion.probability == pytest.approx(BRIEF)
    said = json.loads(opinion.raw_output or "")
    assert said["members"][1]["reason"].startswith("the prompt has no reference")


def test_where_nobody_has_an_opinion_the_jury_abstains_with_their_reasons():
    opinion = decide(BREVITY, EXACT, first="", asked=prompt())
    assert opinion.outcome is Outcome.ABSTAINS
    assert "brevity: the answer is empty; verifier: the prompt has no" in (opinion.reason or "")
    assert opinion.probability is None


def test_weight_0_is_heard_and_decides_nothing():
    opinion = decide(BREVITY, {**EXACT, "weight": 0})
    assert opinion.probability == pytest.approx(BRIEF)
    assert '"name": "verifier", "outcome": "first"' in (opinion.raw_output or "")


def test_a_member_judges_its_modes_alone():
    creative = {**EXACT, "modes": ["creative"]}
    assert decide(BREVITY, creative).probability == pytest.approx(BRIEF)
    asked = prompt(reference_answers=("blue",), mode=Mode.CREATIVE)
    assert decide(BREVITY, creative, asked=asked).probability == pytest.approx(
        (BRIEF + CERTAIN) / 2
    )


def test_each_distinct_answer_is_scored_once(monkeypatch: pytest.MonkeyPatch):
    found = jury(BREVITY, EXACT)
    scored: list[str] = []
    judge = found._jurors[0].judge
    inner = judge.score
    monkeypatch.setattr(
        judge, "score", lambda answers: scored.extend(a.text for a in answers) or inner(answers)
    )
    texts = ["a", "b", "c"]
    found.compare([Contest(ASKED, x, y) for x in texts for y in texts if x != y])
    assert sorted(scored) == texts


def test_pairwise_members_are_asked_as_they_are():
    opinion = decide({"kind": "pairwise", "model": "tiny-random"}, EXACT, method="majority")
    assert opinion.probability in (0.5, 1.0)


def test_the_version_covers_members_weights_modes_and_what_was_learnt(tmp_path: Path):
    file = tmp_path / "reliability.json"
    learnt = {"method": "dawid_skene", "reliability": str(file)}
    versions = [
        jury(BREVITY, EXACT).version,
        jury(BREVITY, {**EXACT, "metric": "token_f1"}).version,
        jury(BREVITY, {**EXACT, "weight": 2}).version,
        jury(BREVITY, {**EXACT, "modes": ["creative"]}).version,
    ]
    for chance in (0.9, 0.8):
        matrix = ((chance, 1 - chance, 0.0), (0.1, 0.9, 0.0))
        save(Reliability((0.5, 0.5), {"one": matrix}, 7), file)
        versions.append(jury(BREVITY, EXACT, **learnt).version)
    assert len(set(versions)) == len(versions)
    assert jury(BREVITY, {**EXACT, "name": "other"}).version == versions[0]


@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        ([BREVITY], {}, "at least 2"),
        ([BREVITY, {"kind": "similarty"}], {}, "no judge 'similarty'"),
        ([BREVITY, {"kind": "verifier", "xyzzy": 1}], {}, "unknown key 'xyzzy'"),
        ([BREVITY, BREVITY], {}, "two members are the same judge"),
        ([BREVITY, {"kind": "jury", "judges": [BREVITY, EXACT]}], {}, "a jury cannot be a member"),
        ([BREVITY, EXACT], {"method": "dawid_skene"}, "that method needs one"),
        ([BREVITY, EXACT], {"reliability": "x"}, "belongs to method: dawid_skene"),
        (
            [BREVITY, {**EXACT, "weight": 2}],
            {"method": "dawid_skene", "reliability": "x"},
            "weights other than 0 and 1",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    members: list[dict[str, Any]], options: dict[str, Any], message: str
):
    with pytest.raises(ConfigError, match=message):
        jury(*members, **options)


def test_the_posterior_by_hand():
    """Prior 1/2; a says first: .8 against .3; b says tie: .1 against .2: .08 / (.08 + .06)."""
    reliability = Reliability(
        (0.5, 0.5),
        {"a": ((0.8, 0.1, 0.1), (0.3, 0.6, 0.1)), "b": ((0.7, 0.2, 0.1), (0.2, 0.6, 0.2))},
        contests=1,
    )
    assert reliability.probability({"a": FIRST, "b": TIE}) == pytest.approx(0.08 / 0.14)
    assert reliability.probability({"a": FIRST}) == pytest.approx(0.8 / 1.1)
    assert reliability.probability({}) == pytest.approx(0.5)


def test_a_step_of_em_by_hand():
    """One judge votes on two contests; belief in first is 3/4 where it votes first, else 1/4.

    Where first is better (belief 3/4 + 1/4), it says first in 3/4 of the weight, second in 1/4.
    Prior: (3/4 + 1/4) / 2. Then, having said first: 1/2 * 3/4 against 1/2 * 1/4.
    """
    said = one_hot([{"a": FIRST}, {"a": SECOND}], ["a"])
    prior, confusion = maximise(said, np.array([[0.75, 0.25], [0.25, 0.75]]), pseudo_votes=0)
    assert prior == pytest.approx([0.5, 0.5])
    assert confusion[0] == pytest.approx(np.array([[0.75, 0.25, 0.0], [0.25, 0.75, 0.0]]))
    beliefs, objective = expect(said, prior, confusion, pseudo_votes=0)
    assert beliefs == pytest.approx(np.array([[0.75, 0.25], [0.25, 0.75]]))
    assert objective == pytest.approx(2 * np.log(0.5))


def planted(contests: int) -> tuple[list[dict[str, Outcome]], list[Outcome]]:
    """Votes of judges that are right in 90, 70, 60 and 20 %, some of them missing."""
    drawn = random.Random(7)
    rights = {"good": 0.9, "fair": 0.7, "poor": 0.6, "contrary": 0.2}
    truth = [drawn.choice(SIDES) for _ in range(contests)]
    votes = [
        {
            judge: side if drawn.random() < right else SIDES[1 - SIDES.index(side)]
            for judge, right in rights.items()
            if drawn.random() < 0.9
        }
        for side in truth
    ]
    return votes, truth


def test_reliability_is_learnt_without_truth_and_beats_the_majority():
    """The jury beats its best judge, who is silent one time in ten: .9 * .9 + .1 / 2 = .86."""
    votes, truth = planted(2000)
    found = fit(votes)
    for judge, right in {"good": 0.9, "fair": 0.7, "poor": 0.6, "contrary": 0.2}.items():
        assert found.confusion[judge][0][0] == pytest.approx(right, abs=0.05)
    by_reliability = [found.probability(v) > 0.5 for v in votes]
    heads = [sum({FIRST: 1, SECOND: -1}[said] for said in v.values()) > 0 for v in votes]
    assert accuracy(by_reliability, truth) > accuracy(heads, truth) + 0.1
    assert accuracy(by_reliability, truth) > 0.86


def accuracy(says_first: list[bool], truth: list[Outcome]) -> float:
    hits = [said == (side is FIRST) for said, side in zip(says_first, truth, strict=True)]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("pseudo_votes", [0.0, 1.0])
def test_likelihood_never_falls(pseudo_votes: float):
    votes, _ = planted(200)
    said = one_hot([v for v in votes if v], ["contrary", "fair", "good", "poor"])
    beliefs = np.full((len(said), 2), 0.5)
    beliefs[:, 0] += 0.1 * said[:, 2, 0]
    beliefs[:, 1] = 1 - beliefs[:, 0]
    objectives = []
    for _ in range(50):
        prior, confusion = maximise(said, beliefs, pseudo_votes)
        beliefs, objective = expect(said, prior, confusion, pseudo_votes)
        objectives.append(objective)
    assert np.all(np.diff(objectives) > -1e-9)
    assert objectives[-1] > objectives[0] + 1


def test_nothing_is_held_impossible():
    found = fit([{"a": FIRST, "b": FIRST}] * 3)
    assert all(chance > 0 for row in found.confusion["a"] for chance in row)
    with pytest.raises(TrainingError, match="no contest has a vote"):
        fit([{}])


def test_a_learnt_jury_judges_one_contest_at_a_time(tmp_path: Path):
    """The jury is trained on its members' votes; its opinion is the posterior of their votes."""
    plain = jury(BREVITY, EXACT)
    contests = [Contest(ASKED, "blue", "red it is"), Contest(ASKED, "so very red", "blue")] * 10
    votes = plain.votes(contests)
    assert list(votes[0].values()) == [FIRST, FIRST]
    reliability, file = fit(votes), tmp_path / "reliability.json"
    save(reliability, file)
    assert load_reliability(file) == reliability
    found = jury(BREVITY, EXACT, method="dawid_skene", reliability=str(file))
    found.check()
    together = found.compare(contests)
    assert together[0].probability == pytest.approx(reliability.probability(votes[0]))
    assert [found.compare([c])[0] for c in contests] == together


def test_a_reliability_of_other_members_is_refused(tmp_path: Path):
    file = tmp_path / "reliability.json"
    save(fit([{"brevity-00000000": FIRST}]), file)
    with pytest.raises(ConfigError, match=r"no reliability of brevity-\w+, verifier-\w+; train"):
        jury(BREVITY, EXACT, method="dawid_skene", reliability=str(file)).check()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"prior": [1], "confusion": {}, "contests": 1}'])
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str):
    file = tmp_path / "reliability.json"
    file.write_text(text)
    with pytest.raises(InputError, match="holds no reliability of a jury"):
        load_reliability(file)
