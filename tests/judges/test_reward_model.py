from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from judges import Answer, load
from rlhf_core.algorithms.reward_model import score_sequences
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.artifacts import load_role, open_trunk
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role
from tests.conftest import FP32
from tests.facts import prompt
from tests.judges.models import tiny_classifier, tiny_reward_model

ASKED = prompt("What is the capital of France?")
TEXTS = ["Paris.", "", "Bananas are yellow, and so is the sun on most days of the year."]


def judge(model: str):
    return load(JudgeSettings.model_validate({"kind": "reward_model", "model": model}))


def rewards_of(model: str) -> list[float]:
    opinions = judge(model).score([Answer(ASKED, text) for text in TEXTS])
    rewards = [float(opinion.raw_output) for opinion in opinions]
    chances = torch.sigmoid(torch.tensor(rewards)).tolist()
    assert [opinion.score for opinion in opinions] == pytest.approx(chances, abs=1e-4)
    return rewards


def sequences(chat: ChatFormat) -> list[TokenSequence]:
    question = tuple(chat.prompt_ids(ASKED.instruction))
    return [TokenSequence(question, tuple(chat.answer_ids(text))) for text in TEXTS]


@pytest.mark.parametrize("lora_rank", [2, None])
def test_our_reward_model_says_what_it_says_in_training(lora_rank: int | None):
    """An adapter, or a model of its own."""
    folder = tiny_reward_model(lora_rank)
    trunk = open_trunk("tiny-random", FP32, lora_rank)
    load_role(trunk, Role.REWARD, Path(folder))
    chat = ChatFormat(trunk.tokenizer, None)
    expected = score_sequences(trunk, sequences(chat), Role.REWARD).tolist()
    assert rewards_of(folder) == pytest.approx(expected, abs=0.05)  # bf16 where it is


def test_a_classifier_says_what_transformers_makes_of_it():
    """Each sequence alone and unpadded, in plain transformers."""
    chat = ChatFormat(judge(tiny_classifier())._chat.tokenizer, None)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_classifier()).eval()
    expected = []
    for sequence in sequences(chat):
        ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
        with torch.no_grad():
            expected.append(model(input_ids=ids).logits.item())
    assert rewards_of(tiny_classifier()) == pytest.approx(expected, abs=0.05)


def test_a_classifier_of_several_classes_is_refused_before_anything_runs():
    with pytest.raises(ModelNotFoundError, match="has 3 outputs; a reward model has one"):
        judge(tiny_classifier(3)).check()


def test_a_model_that_is_not_there_is_refused():
    with pytest.raises(ModelNotFoundError, match=r"no model '\./nowhere'"):
        judge("./nowhere").check()


def test_what_is_there_passes():
    for model in (tiny_classifier(), tiny_reward_model(), tiny_reward_model(None)):
        judge(model).check()
        assert judge(model).workload(10, 5).tokens == 15
