"""Models for judges: tiny ones, made once a test process, and one that says what a test wants."""

import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from judges import Judge
from judges._choice import Heard
from judges._question import Question
from rlhf_core.models.artifacts import open_trunk, save_role
from rlhf_core.models.loading import load_tokenizer, locate
from rlhf_core.models.trunk import Role
from tests.conftest import FP32
from tests.facts import response


@cache
def tiny_classifier(outputs: int = 1) -> str:
    """The folder of a random sequence classifier."""
    folder = tempfile.mkdtemp(prefix="classifier")
    tokenizer = load_tokenizer("tiny-random")
    config = LlamaConfig.from_pretrained(locate("tiny-random"), num_labels=outputs)
    torch.manual_seed(1)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@cache
def tiny_reward_model() -> str:
    """The folder of a random reward model as Solon saves them."""
    trunk = open_trunk("tiny-random", FP32, lora_rank=2)
    trunk.add_role(Role.REWARD, seed=1)
    for parameter in trunk.parameters(Role.REWARD):
        torch.nn.init.normal_(parameter, std=0.1)
    folder = Path(tempfile.mkdtemp(prefix="reward")) / "model"
    save_role(trunk, Role.REWARD, folder, Path(locate("tiny-random")))
    return str(folder)


def scripted(judge: Judge[Any], say: Callable[[Question], str]) -> list[Question]:
    """Let a function answer the judge's questions in words; the questions it was asked."""
    asked: list[Question] = []

    def ask(questions: Sequence[Question]) -> list[Heard]:
        asked.extend(questions)
        return [Heard(response(say(q), request_hash=q.text), is_new=True) for q in questions]

    judge._model.ask = ask  # type: ignore[attr-defined]
    return asked
