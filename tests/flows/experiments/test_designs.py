"""The parts of the experiments that decide what is measured, by hand."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flows.experiments.abstention import (
    UNKNOWABLE,
    abstention_prompts,
    is_unknowable,
    shares,
    unknowable_questions,
)
from flows.experiments.ai_labels import agrees, draw_pairs, short_pairs
from flows.experiments.catalogue import EXPERIMENTS, find_experiment
from flows.experiments.constitution import evasive_pairs, misplaced_pairs, share_of_first
from flows.experiments.laboratory import HeldOut, ScoredAnswers, judge_answers, pointwise
from flows.experiments.overoptimisation import late_change, standardised_gap
from flows.experiments.policies import Trajectory
from flows.experiments.prompts import read_prompts, short_prompts, write_prompts
from flows.experiments.ptx import split_texts
from flows.experiments.runner import Setting
from rlhf_core.algorithms.rollouts import Rollout
from rlhf_core.config import load_config
from rlhf_core.config.prompts import PromptSettings
from rlhf_core.errors import ConfigError, DataFileError, InputError, SilentJudgeError
from rlhf_core.evaluation.verdicts import PairVerdict, pair_verdict
from rlhf_core.files.labelled import LabelledPair
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.records import Mode, Outcome, Prompt, Split
from tests.conftest import ROOT
from tests.flows.conftest import SMOKE

DEFAULT = PromptSettings(path=str(ROOT / "deploy/prompts/default.jsonl"))
TINY = (f"prompts.path={DEFAULT.path}",)


def prompt(text: str, **fields: object) -> Prompt:
    given = {"mode": Mode.KNOWLEDGE_SEEKING, "split": Split.HOLDOUT, **fields}
    return Prompt.model_validate({"text": text, "context": None, "reference_answers": (), **given})


def answers(*texts: str, scores: tuple[float, ...], kl: float = 0.0) -> ScoredAnswers:
    """One answer to each prompt, in order."""
    rollouts = [
        Rollout(number, TokenSequence((1,), (2,)), text, (0.0,), "eos")
        for number, text in enumerate(texts)
    ]
    return ScoredAnswers((), rollouts, scores, scores, kl)


class Questions:
    """Held-out questions without a model."""

    def __init__(self, *prompts: Prompt) -> None:
        self.prompts = prompts


def test_unknowable_questions_are_distinct_invented_and_always_the_same():
    rows = unknowable_questions(UNKNOWABLE)
    assert len({row["prompt"] for row in rows}) == UNKNOWABLE
    assert rows == unknowable_questions(UNKNOWABLE)
    own = Path(DEFAULT.path).read_text()
    assert not any(str(row["prompt"]) in own for row in rows)


def test_abstention_asks_known_and_unknowable_questions():
    rows = abstention_prompts(DEFAULT)
    assert len(rows) == 80 + UNKNOWABLE  # the default prompts have 80 knowledge-seeking ones
    assert all(row["reference"] for row in rows)


def test_each_kind_of_question_is_counted_by_itself():
    """Two invented questions, one declined; three others: right, wrong, declined."""
    invented = [prompt(str(row["prompt"])) for row in unknowable_questions(2)]
    known = [prompt(f"Question {n}?") for n in range(3)]
    assert [is_unknowable(each) for each in (*invented, *known)] == [True, True, *[False] * 3]
    given = answers(
        "It was Tom.", "I don't know.", "Blue.", "Red.", "I don't know.",
        scores=(0.0, 0.0, 0.9, 0.2, 0.0),
    )  # fmt: skip
    third = pytest.approx(1 / 3)
    counted = shares(Questions(*invented, *known), given)  # type: ignore[arg-type]
    assert counted == {"made_up": 0.5, "right": third, "over_abstains": third, "wrong": third}


def test_short_prompts_have_no_context(tmp_path: Path):
    """The default prompts have 140 without a context, of which 90 are drawn."""
    rows = short_prompts(DEFAULT)
    path = tmp_path / "prompts.jsonl"
    write_prompts(path, rows)
    kept = read_prompts(PromptSettings(path=str(path)))
    known = {p.text: p.reference_answers for p in read_prompts(DEFAULT) if not p.context}
    assert len(kept) == 90
    assert all(known[p.text] == p.reference_answers for p in kept)


def test_prompts_that_all_have_a_context_are_refused(tmp_path: Path):
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps({"prompt": "Why?", "context": "Because."}))
    with pytest.raises(ConfigError, match="every prompt has a context"):
        short_prompts(PromptSettings(path=str(path)))


def test_a_third_of_the_texts_is_never_learnt_from():
    learnt, unseen = split_texts(["a", "b", "c", "d", "e", "f"])
    assert (learnt, unseen) == (["b", "c", "e", "f"], ["a", "d"])


def test_a_trajectory_is_measured_against_its_start():
    """Gains over the start, wins with ties as a half, KL never below 0."""
    start = answers("a", "b", scores=(0.2, 0.4))
    step = answers("c", "d", scores=(0.6, 0.4), kl=-0.01)
    followed = Trajectory(start, [step, replace(step, kl=2.0)])
    assert followed.held_out_gain == [(0.0, 0.0), (0.0, pytest.approx(0.2)),
                                      (2.0, pytest.approx(0.2))]  # fmt: skip
    assert [rate for _, rate in followed.win_rate] == [0.5, 0.75, 0.75]


def test_the_late_change_compares_the_last_third_with_the_one_before():
    """Six measurements: (5 + 6) / 2 − (3 + 4) / 2; the start at KL 0 does not count."""
    curve = [(float(n), float(n)) for n in range(7)]
    assert late_change(curve) == 2.0


def test_the_gap_is_in_deviations_of_the_start():
    """Scores 0 and 2 have deviation √2; reward and held-out score rise alike, so no gap."""
    start = answers("a", "b", scores=(0.0, 2.0))
    end = answers("a", "b", scores=(2.0, 4.0))
    assert standardised_gap(Trajectory(start, [end])) == 0.0
    stuck = replace(end, held_out=(0.0, 2.0))
    assert standardised_gap(Trajectory(start, [stuck])) == pytest.approx(2 / 2**0.5)
    alike = replace(start, held_out=(1.0, 1.0))
    assert standardised_gap(Trajectory(alike, [end])) is None


def test_constitution_pairs_put_the_reference_first():
    prompts = [prompt(f"Question {n}?", reference_answers=(f"answer {n}",)) for n in range(3)]
    assert [pair.first for pair in evasive_pairs(prompts)] == ["answer 0", "answer 1", "answer 2"]
    assert [pair.second for pair in misplaced_pairs(prompts)] == [
        "answer 1", "answer 2", "answer 0",
    ]  # fmt: skip


def test_a_judge_that_only_looks_at_the_order_prefers_nothing():
    """Probability 0.9 for whichever is first: both orders cancel."""
    assert share_of_first([pair_verdict(0.9, 0.9, None)]) == 0.5
    assert share_of_first([pair_verdict(0.6, 0.4, None), pair_verdict(0.9, 0.9, None)]) == 0.75


def test_a_pair_without_a_verdict_is_no_tie():
    """One preference of one verdict is all of them; nothing but silence is an error."""
    silent = PairVerdict(Outcome.UNAVAILABLE)
    assert share_of_first([pair_verdict(0.9, 0.1, None), silent]) == 1.0
    with pytest.raises(SilentJudgeError, match="none of 1 pairs"):
        share_of_first([silent])


def test_an_answer_that_the_held_out_judge_cannot_score_ends_the_experiment():
    """It compares with a reference, and the prompt has none; a score of 0 would be a bad answer."""
    judge = pointwise(load_config(Path(SMOKE), TINY))
    held_out = HeldOut(None, [prompt("Why?")], judge)  # type: ignore[arg-type]
    answer = Rollout(0, TokenSequence((1,), (2,)), "Because.", (0.0,), "eos")
    with pytest.raises(SilentJudgeError, match=r"verifier has no opinion on 1 of 1 .*reference"):
        judge_answers(held_out, [answer])


def test_labels_agree_with_people_or_not():
    assert [agrees(label, 1.0) for label in (1.0, 0.5, 0.0)] == [1.0, 0.5, 0.0]
    assert agrees(0.2, 0.0) == 1.0


def test_pairs_to_test_on_are_of_other_prompts():
    pairs = [LabelledPair(prompt(f"Question {n % 60}?"), f"a{n}", f"b{n}", 1.0) for n in range(240)]
    learnt, tested = draw_pairs(pairs, seed=1)
    assert not {p.prompt.id for p in learnt} & {p.prompt.id for p in tested}
    assert draw_pairs(pairs, seed=1) == (learnt, tested)
    assert draw_pairs(pairs, seed=2) != (learnt, tested)


def test_too_few_labelled_pairs_are_refused(tmp_path: Path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": "Why?", "chosen": "good", "rejected": "bad"}))
    with pytest.raises(DataFileError, match="1 of 1 rows are pairs"):
        short_pairs(path)


def test_missing_data_are_asked_for_in_the_form_that_they_need(tmp_path: Path):
    wanting = Setting(find_experiment("ai-labels"), tmp_path, Path(SMOKE), TINY)
    with pytest.raises(InputError, match=r"--data PATH: .*prompt, chosen and rejected"):
        wanting.trials()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_settings_of_every_arm_make_a_config(name: str, tmp_path: Path):
    data = tmp_path / "pairs.jsonl"
    data.write_text("{}")
    made = Setting(find_experiment(name), tmp_path, Path(SMOKE), TINY, data=data).trials()
    assert [trial.arm for trial in made] == list(find_experiment(name).arms)


@pytest.mark.parametrize("name", ["constitution", "ai-labels"])
def test_judging_experiments_measure_every_arm_of_a_tiny_model(name: str, tmp_path: Path):
    """Labels by people are people's; a good answer here is always the shorter one."""
    rows = [
        {"prompt": f"Question {n}?", "chosen": f"good {n}", "rejected": f"not so good {n}"}
        for n in range(120)
    ]
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    setting = Setting(find_experiment(name), tmp_path, Path(SMOKE), TINY, data=data)
    found = {
        trial.arm.name: setting.experiment.measure(trial).numbers for trial in setting.trials()
    }
    named = {measure.name for measure in setting.experiment.measures}
    assert all(set(numbers) == named for numbers in found.values())
    if name == "ai-labels":
        assert found["people"]["agreement"] == 1.0
        assert found["longer"]["agreement"] == 0.0
