"""The judge `classifier` says what transformers makes of each answer alone."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from judges import Answer, load
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.evaluation.aspects import Flag, Level, read_aspects
from rlhf_core.models.loading import load_tokenizer
from rlhf_core.records import Outcome
from tests.facts import prompt
from tests.judges.models import tiny_classifier

ASKED = prompt("Say something.")
TEXTS = ["Paris.", "Bananas are yellow, and so is the sun on most days of the year."]


def judge(model: str, **options: object):
    settings = {"kind": "classifier", "model": model, "label": "LABEL_1", **options}
    return load(JudgeSettings.model_validate(settings))


def logits(folder: str) -> list[torch.Tensor]:
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = load_tokenizer(folder)
    with torch.no_grad():
        return [model(input_ids=torch.tensor([tokenizer.encode(text)])).logits[0] for text in TEXTS]


@pytest.fixture
def exclusive() -> str:
    return tiny_classifier(3)


@pytest.fixture
def several(exclusive: str, tmp_path: Path) -> str:
    """The same model, whose labels do not exclude each other."""
    model = AutoModelForSequenceClassification.from_pretrained(exclusive)
    model.config.problem_type = "multi_label_classification"
    model.save_pretrained(tmp_path)
    load_tokenizer(exclusive).save_pretrained(tmp_path)
    return str(tmp_path)


def test_labels_that_exclude_each_other_share_the_probability(exclusive: str):
    expected = [float(torch.softmax(each, dim=0)[1]) for each in logits(exclusive)]
    opinions = judge(exclusive).score([Answer(ASKED, text) for text in TEXTS])
    assert [1 - opinion.score for opinion in opinions] == pytest.approx(expected, abs=0.01)
    assert read_aspects(opinions[0].raw_output) == {
        "LABEL_1": Flag(yes=round(1 - opinions[0].score, 6)),
        "LABEL_1_probability": Level(level=round(1 - opinions[0].score, 6)),
    }


def test_labels_that_do_not_have_one_probability_each(several: str):
    expected = [float(torch.sigmoid(each[1])) for each in logits(several)]
    opinions = judge(several, is_bad=False).score([Answer(ASKED, text) for text in TEXTS])
    assert [opinion.score for opinion in opinions] == pytest.approx(expected, abs=0.01)


def test_an_unknown_label_is_refused_before_anything_is_loaded(exclusive: str):
    with pytest.raises(ConfigError, match="no label 'toxic'; it has: LABEL_0, LABEL_1, LABEL_2"):
        judge(exclusive, label="toxic").check()


def test_answers_that_cannot_be_read_whole_have_a_reason(exclusive: str):
    longest = AutoConfig.from_pretrained(exclusive).max_position_embeddings
    found = judge(exclusive).score([Answer(ASKED, ""), Answer(ASKED, "word " * (2 * longest))])
    assert {opinion.outcome for opinion in found} == {Outcome.ABSTAINS}
    assert found[0].reason == "the answer is empty"
    assert f"of which it reads {longest}" in found[1].reason
    assert json.dumps([opinion.score for opinion in found]) == "[null, null]"
