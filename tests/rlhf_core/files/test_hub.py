"""Data sets on the hub by name, config and split; the hub is a folder of the same form here."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlhf_core.config.prompts import PromptSettings
from rlhf_core.errors import DataFileError
from rlhf_core.files.hub import HubSource, parse_hub_source
from rlhf_core.prompts.reading import read_sent_prompts

CARD = """---
configs:
- config_name: main
  data_files:
  - {split: train, path: main/train.jsonl}
  - {split: test, path: main/test.jsonl}
- config_name: socratic
  data_files:
  - {split: train, path: socratic/train.jsonl}
---
"""


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("hf:openai/gsm8k", HubSource("openai/gsm8k")),
        ("hf:openai/gsm8k:test", HubSource("openai/gsm8k", None, "test")),
        ("hf:openai/gsm8k:main:test", HubSource("openai/gsm8k", "main", "test")),
    ],
)
def test_the_parts_of_a_source(source: str, parts: HubSource):
    assert parse_hub_source(source) == parts


@pytest.mark.parametrize("source", ["hf:", "hf:a/b:", "hf:a/b::test", "hf:a/b:c:d:e"])
def test_a_source_that_is_not_clear_is_refused(source: str):
    with pytest.raises(DataFileError, match="write hf:owner/name, hf:owner/name:SPLIT or"):
        parse_hub_source(source)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` reads owner/name from a folder of that name if there is one."""
    pytest.importorskip("datasets")
    for config, split in [("main", "train"), ("main", "test"), ("socratic", "train")]:
        path = tmp_path / "openai" / "gsm8k" / config / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = {"question": f"{config} {split}?", "answer": "So it is.\n#### 42"}
        path.write_text(json.dumps(row) + "\n")
    (tmp_path / "openai" / "gsm8k" / "README.md").write_text(CARD)
    monkeypatch.chdir(tmp_path)


def read(source: str) -> Any:
    settings = {"path": source, "columns": {"prompt": "question", "reference": "answer"}}
    (sent,) = read_sent_prompts(PromptSettings.model_validate(settings))
    return sent.prompt


@pytest.mark.extra("datasets")
@pytest.mark.usefixtures("hub")
def test_config_and_split_are_read():
    prompt = read("hf:openai/gsm8k:main:test")
    assert prompt.text == "main test?"
    assert prompt.reference_answers == ("So it is.\n#### 42",)
    assert read("hf:openai/gsm8k:socratic:train").text == "socratic train?"


@pytest.mark.extra("datasets")
@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("source", "mend"),
    [
        ("hf:openai/gsm8k", "as in hf:openai/gsm8k:main:train"),
        ("hf:openai/gsm8k:main", "its configs are main, socratic: name one"),
        ("hf:openai/gsm8k:socratic", "as in hf:openai/gsm8k:socratic:train"),
        ("hf:openai/gsm8k:mean:train", "its configs are main, socratic"),
        ("hf:openai/gsm8k:main:dev", "dev"),
    ],
)
def test_an_error_names_the_configs_there_are(source: str, mend: str):
    with pytest.raises(DataFileError) as caught:
        read(source)
    assert str(caught.value).startswith(f"{source}: ")
    assert mend in str(caught.value)
    assert "\n" not in str(caught.value)
