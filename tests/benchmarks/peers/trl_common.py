"""What TRL's trainers share here: their settings, a clock, and the report on standard output."""

import contextlib
import json
import math
import resource
import time
from typing import Any

import torch
from peft import LoraConfig
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
)

SETTINGS = {
    "num_train_epochs": 1,
    "bf16": True,
    "use_cpu": not torch.cuda.is_available(),
    "gradient_checkpointing": False,
    "report_to": "none",
    "save_strategy": "no",
    "logging_strategy": "no",
    "disable_tqdm": True,
}


class Reached(Exception):
    """The mean score asked for."""


class Clock(TrainerCallback):
    """Seconds from the end of one step to that of the next, and the scores of PPO's answers."""

    def __init__(self, target: float) -> None:
        self.target = target
        self.seconds: list[float] = []
        self.scores: list[float] = []

    def on_train_begin(self, *args: object, **kwargs: object) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, *args: object, **kwargs: object) -> None:
        self.seconds.append(time.perf_counter() - self.started)
        last = self.scores[-2:]
        if last and sum(last) / len(last) >= self.target:
            raise Reached
        self.started = time.perf_counter()

    def on_log(self, *args: object, logs: dict[str, Any], **kwargs: object) -> None:
        if "objective/scores" in logs:
            self.scores.append(float(logs["objective/scores"]))


def read(path: str) -> list[dict[str, Any]]:
    with open(path) as file:
        return list(json.load(file))


def adapter(rank: str, task: str) -> LoraConfig:
    return LoraConfig(
        r=int(rank), lora_alpha=2 * int(rank), target_modules="all-linear", task_type=task
    )


def classifier(folder: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model with one score in place of its vocabulary, and its tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.bfloat16
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def report(trainer: Trainer, target: float = math.inf) -> None:
    """Train to the end, or to that mean score, and say what each step took."""
    clock = Clock(target)
    trainer.add_callback(clock)
    with contextlib.suppress(Reached):
        trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": clock.seconds, "scores": clock.scores, "peak_gb": peak}))
