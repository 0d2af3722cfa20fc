"""Tiny models for judges that need one of their own, made once a test process."""

import tempfile
from functools import cache
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from rlhf_core.models.artifacts import open_trunk, save_role
from rlhf_core.models.loading import load_tokenizer, locate
from rlhf_core.models.trunk import Role
from tests.conftest import FP32


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
