from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from judges import Answer, load
from rlhf_core.algorithms.scoring import score_sequences
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.artifacts import load_role, open_trunk
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role
from rlhf_core.records.conversation import ask
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
    question = tuple(chat.prompt_ids(ask(ASKED.instruction)))
    return [TokenSequence(question, tuple(chat.answer_ids(text))) for text in TEXTS]


@pytest.mark.parametrize("lora_rank", [2, None])
def test_our_reward_model_says_what_it_says_in_training(lora_rank: int | None):
    """The reward model is an adapter or a full model."""
    folder = tiny_reward_model(lora_rank)
    trunk = open_trunk("tiny-random", FP32, lora_rank)
    load_role(trunk, Role.REWARD, Path(folder))
    chat = ChatFormat(trunk.tokenizer, None)
    expected = score_sequences(trunk, sequences(chat), Role.REWARD).tolist()
    assert rewards_of(folder) == pytest.approx(expected, abs=0.05)  # bf16 where it is


def test_a_classifier_says_what_transformers_makes_of_it():
    """The reference scores each sequence alone and unpadded, with plain transformers."""
    chat = ChatFormat(judge(tiny_classifier())._chat.tokenizer, None)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_classifier()).eval()
    expected = []
    for sequence in sequences(chat):
        ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
        with torch.no_grad():
            expected.append(model(input_ids=ids).logits.item())
    assert rewards_of(tiny_classifier()) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("is_ours", [True, False])
def test_an_answer_that_was_cut_off_is_read_without_an_end(is_ours: bool):
    """Training reads only the sampled tokens; with an end token it would be another answer."""
    model = tiny_reward_model() if is_ours else tiny_classifier()
    reader = judge(model)
    answers = [Answer(ASKED, text, is_finished) for text in TEXTS for is_finished in (True, False)]
    read = reader._sequences(answers)
    end = reader._chat.tokenizer.eos_token_id
    for whole, cut in zip(read[::2], read[1::2], strict=True):
        assert whole.response_ids == (*cut.response_ids, end)
    rewards = reader.rewards(answers)
    assert rewards[3] is None  # "", cut off before its first word
    expected = reader._rewards([s for s in read if s.response_ids]).tolist()
    found = [reward for reward in rewards if reward is not None]
    assert found == pytest.approx(expected, abs=0.05)
    assert abs(found[0] - found[1]) > 0.01
    opinion = reader.score(answers)[3]
    assert opinion.score is None
    assert opinion.reason == "the answer was cut off before its first word"


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
