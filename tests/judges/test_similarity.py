import pytest

from judges import load
from judges.panel.judge import Answer
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ModelNotFoundError
from rlhf_core.records import Outcome
from tests.facts import prompt

ASKED = prompt("Why is the sky blue?", reference_answers=("Blue light scatters more than red.",))


@pytest.fixture(scope="module")
def judge():
    return load(JudgeSettings(kind="similarity"))


def test_nearer_in_meaning_scores_higher(judge):
    texts = ["Air scatters blue light the most.", "Because of the ocean.", "I like cheese."]
    scores = [opinion.score for opinion in judge.score([Answer(ASKED, text) for text in texts])]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.6
    assert scores[2] < 0.2


def test_the_reference_itself_scores_one(judge):
    (opinion,) = judge.score([Answer(ASKED, ASKED.reference_answers[0])])
    assert opinion.score == pytest.approx(1.0, abs=1e-5)


def test_the_nearest_of_several_references_counts(judge):
    several = prompt("Who?", reference_answers=("A horse.", "Marie Curie."))
    (opinion,) = judge.score([Answer(several, "Marie Curie.")])
    assert opinion.score == pytest.approx(1.0, abs=1e-5)


def test_abstains_without_a_reference(judge):
    (opinion,) = judge.score([Answer(prompt("Write a haiku."), "Snow falls.")])
    assert opinion.outcome is Outcome.ABSTAINS


def test_against_sentence_transformers_own_cosine(judge):
    from sentence_transformers import SentenceTransformer, util

    from rlhf_core.models.loading import locate

    encoder = SentenceTransformer(locate("all-minilm-l6-v2"))
    text = "Short waves are scattered."
    vectors = encoder.encode([text, ASKED.reference_answers[0]], show_progress_bar=False)
    (opinion,) = judge.score([Answer(ASKED, text)])
    assert opinion.score == pytest.approx(util.cos_sim(*vectors).item(), abs=1e-5)


def test_a_model_that_is_not_there_is_found_before_anything_runs():
    settings = JudgeSettings.model_validate({"kind": "similarity", "model": "./nowhere"})
    with pytest.raises(ModelNotFoundError, match=r"no model '\./nowhere'"):
        load(settings).check()
