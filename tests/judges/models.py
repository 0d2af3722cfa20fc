"""Models for judges: tiny ones, made once per test process, and one with scripted replies."""

import json
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from judges import Judge
from judges.language_model.choice import ModelReply
from judges.language_model.question import Question
from rlhf_core.encoders.pair_encoder import CALIBRATION
from rlhf_core.encoders.pair_heads import OUTPUTS
from rlhf_core.files.text_pairs import PairTask
from rlhf_core.models.artifacts import open_trunk, save_role
from rlhf_core.models.loading import load_tokenizer, locate
from rlhf_core.models.trunk import Role
from tests.conftest import FP32
from tests.facts import response


@cache
def tiny_classifier(outputs: int = 1) -> str:
    """Return the folder of a random sequence classifier."""
    folder = tempfile.mkdtemp(prefix="classifier")
    tokenizer = load_tokenizer("tiny-random")
    config = LlamaConfig.from_pretrained(locate("tiny-random"), num_labels=outputs)
    torch.manual_seed(1)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@cache
def tiny_reward_model(lora_rank: int | None = 2) -> str:
    """Return the folder of a random reward model as Solon saves it; full weights without a rank."""
    trunk = open_trunk("tiny-random", FP32, lora_rank)
    trunk.add_role(Role.REWARD, seed=1)
    for parameter in trunk.parameters(Role.REWARD):
        torch.nn.init.normal_(parameter, std=0.1)
    folder = Path(tempfile.mkdtemp(prefix="reward")) / "model"
    save_role(trunk, Role.REWARD, folder, Path(locate("tiny-random")))
    return str(folder)


def scripted(judge: Judge[Any], say: Callable[[Question], str]) -> list[Question]:
    """Have a function reply to the judge's questions; return the list that records them."""
    asked: list[Question] = []

    def ask(questions: Sequence[Question]) -> list[ModelReply]:
        asked.extend(questions)
        return [ModelReply(response(say(q), request_hash=q.text), is_new=True) for q in questions]

    judge._model.query = ask  # type: ignore[attr-defined]
    return asked


@cache
def tiny_pair_encoder(labels: tuple[str, ...] = OUTPUTS) -> str:
    """Return the folder of a random encoder of text pairs with those outputs."""
    folder = Path(tempfile.mkdtemp(prefix="pairs"))
    tokenizer = load_tokenizer("tiny-random")
    tokenizer.chat_template = None  # or a pair is read as two messages
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=0.5,
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    torch.manual_seed(1)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if labels == OUTPUTS:
        calibration = {task.value: {"temperature": 2.0} for task in PairTask}
        (folder / CALIBRATION).write_text(json.dumps(calibration))
    return str(folder)
