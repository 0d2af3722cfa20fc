"""Local models: judges with the same one share it while any of them lives."""

import gc
import json
from typing import Any
from weakref import WeakValueDictionary

import pytest

from judges.language_model import local
from judges.language_model.fence import plain_prompt
from judges.language_model.local import LocalModel
from judges.language_model.question import Question
from rlhf_core.models.loading import load_language_model


def test_judges_of_one_model_load_it_once_and_free_it_together(monkeypatch: pytest.MonkeyPatch):
    loads = []

    def load(name, dtype, device):
        loads.append(name)
        return load_language_model(name, dtype, device)

    monkeypatch.setattr(local, "load_language_model", load)
    monkeypatch.setattr(local, "_loaded", WeakValueDictionary())
    models = [LocalModel("tiny-random") for _ in range(2)]
    answers: list[Any] = []
    for model in models:
        model.answer(
            ["hash"],
            [Question(plain_prompt("A or B?"), 1, ("A", "B"))],
            lambda _, said: answers.append(said),
        )
    assert loads == ["tiny-random"]
    first, second = (json.loads(answer.probabilities) for answer in answers)
    assert first == pytest.approx(second)  # the same weights, but inputs elsewhere in memory
    del model, models
    gc.collect()
    LocalModel("tiny-random").answer(
        ["hash"], [Question(plain_prompt("A?"), 1, ("A", "B"))], lambda _, said: None
    )
    assert loads == ["tiny-random"] * 2
