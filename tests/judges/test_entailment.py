import json

import pytest

from judges import load
from judges.entailment import EntailmentJudge, EntailmentOptions, aggregate
from judges.panel.judge import Answer, Opinion
from rlhf_core.config import JudgeSettings
from rlhf_core.encoders.pair_encoder import TwoTexts
from rlhf_core.errors import ModelNotFoundError
from rlhf_core.files.text_pairs import PairTask
from rlhf_core.records import Outcome, Prompt
from tests.facts import prompt
from tests.judges.models import tiny_classifier, tiny_pair_encoder

ASKED = prompt(reference_answers=("A dog ran. It barked.",))


class Recorded:
    """An encoder with scripted probabilities; a word counts as a token."""

    def __init__(self, known: dict[TwoTexts, float]) -> None:
        self.known = known
        self.asked: list[TwoTexts] = []

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def probabilities(self, task: PairTask, pairs: list[TwoTexts]) -> dict[TwoTexts, float]:
        assert task is PairTask.ENTAILMENT
        self.asked += pairs
        return {pair: self.known[pair] for pair in pairs}


def opinion(
    known: dict[TwoTexts, float], text: str, asked: Prompt = ASKED, **options: object
) -> Opinion:
    judge = EntailmentJudge(EntailmentOptions.model_validate({"model": "recorded", **options}))
    judge.__dict__["_encoder"] = Recorded(known)
    (found,) = judge.score([Answer(asked, text)])
    return found


WHOLE = "A dog ran. It barked."
KNOWN = {(WHOLE, "A dog ran."): 0.9, (WHOLE, "It slept."): 0.1}


def test_sentences_are_averaged_or_the_worst_counts():
    assert opinion(KNOWN, "A dog ran. It slept.").score == pytest.approx(0.5)
    assert opinion(KNOWN, "A dog ran. It slept.", aggregate="min").score == pytest.approx(0.1)


def test_a_sentence_counts_with_its_best_chunk():
    """The premise is read in two chunks of three words."""
    known = {("A dog ran.", "It barked."): 0.2, ("It barked.", "It barked."): 0.95}
    assert opinion(known, "It barked.", chunk_tokens=3).score == pytest.approx(0.95)


def test_both_directions_say_what_is_added_and_what_is_missing():
    known = {(WHOLE, "A dog ran."): 0.9, ("A dog ran.", "A dog ran."): 0.99}
    known["A dog ran.", "It barked."] = 0.01
    found = opinion(known, "A dog ran.", direction="both")
    assert found.raw_output is not None
    assert json.loads(found.raw_output) == {"answer_follows": 0.9, "premise_follows": 0.5}
    assert found.score == pytest.approx(0.5)


def test_the_best_of_several_references_counts():
    several = prompt(reference_answers=("A cat.", "A dog ran. It barked."))
    known = {("A cat.", "A dog ran."): 0.2, **KNOWN}
    assert opinion(known, "A dog ran.", asked=several).score == pytest.approx(0.9)


def test_the_given_text_can_be_the_premise():
    grounded = prompt(context=WHOLE)
    assert opinion(KNOWN, "It slept.", grounded, premise="context").score == pytest.approx(0.1)
    found = opinion(KNOWN, "It slept.", premise="context")
    assert (found.outcome, found.reason) == (Outcome.ABSTAINS, "the prompt has no given text")


def test_each_sentence_and_chunk_is_read_once():
    judge = EntailmentJudge(EntailmentOptions(model="recorded"))
    encoder = Recorded(KNOWN)
    judge.__dict__["_encoder"] = encoder
    judge.score([Answer(ASKED, "A dog ran. A dog ran. It slept."), Answer(ASKED, "It slept.")])
    assert sorted(encoder.asked) == sorted(KNOWN)


def test_an_empty_answer_abstains():
    assert opinion(KNOWN, " \n").outcome is Outcome.ABSTAINS


def test_the_mean_of_no_sentence_is_0():
    assert aggregate([], "mean") == aggregate([], "min") == 0.0


@pytest.mark.parametrize(
    "labels", [("contradiction", "neutral", "ENTAILMENT"), ("entailment", "not_entailment")]
)
def test_any_nli_model_will_do(labels: tuple[str, ...]):
    options = {"kind": "entailment", "model": tiny_pair_encoder(labels)}
    judge = load(JudgeSettings.model_validate(options))
    judge.check()
    (found,) = judge.score([Answer(ASKED, "A dog.")])  # type: ignore[attr-defined]
    assert 0 < found.score < 1


def test_a_model_without_an_output_for_entailment_is_refused():
    options = {"kind": "entailment", "model": tiny_classifier(2)}
    with pytest.raises(ModelNotFoundError, match="outputs label_0, label_1, none of them called"):
        load(JudgeSettings.model_validate(options)).check()
