"""Prompts of the experiments, made from those of the config so that two cores suffice."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from rlhf_core.config.prompts import PromptSettings
from rlhf_core.errors import ConfigError
from rlhf_core.files.whole import whole_text
from rlhf_core.identity import unit_interval
from rlhf_core.prompts.reading import read_sent_prompts
from rlhf_core.records import Prompt

MOST = 90
"""Prompts of an experiment."""
PromptRow = Mapping[str, object]
PromptMaker = Callable[[PromptSettings], list[PromptRow]]


def read_prompts(settings: PromptSettings) -> list[Prompt]:
    """Return the prompts of a config that are single questions, in their order."""
    prompts = [sent.prompt for sent in read_sent_prompts(settings)]
    return [prompt for prompt in prompts if prompt.messages is None]


def short_prompts(settings: PromptSettings) -> list[PromptRow]:
    """Return prompts of the config without a context, which are short; at most MOST.

    A hash draws them, so the file's order has no influence.

    Raises:
        ConfigError: If every prompt has a context.
    """
    rows = [_row(prompt) for prompt in read_prompts(settings) if prompt.context is None]
    if not rows:
        raise ConfigError(
            "every prompt has a context, and the experiment needs prompts without; name another "
            "file with --set prompts.path=FILE"
        )
    return sorted(rows, key=lambda row: unit_interval("experiment", row["prompt"]))[:MOST]


def _row(prompt: Prompt) -> PromptRow:
    return {
        "prompt": prompt.text,
        "mode": prompt.mode.value,
        "reference": list(prompt.reference_answers),
    }


def write_prompts(path: Path, rows: Iterable[PromptRow]) -> None:
    """Write prompts as JSON lines, unless the file holds the same ones."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_text(path) as stream:
        stream.write(text)
