"""Settings of public benchmarks, on which an evaluation measures a policy beside earlier models."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from rlhf_core.config.base import PositiveInt, Settings


class BiasSettings(Settings):
    """A benchmark of bias by the model's own log-probabilities, from a local file."""

    kind: Literal["crows_pairs", "winogender", "bbq"]
    """Format of the file: CrowS-Pairs (a table with sent_more, sent_less, bias_type), Winogender's
    sentences (a table with sentid, sentence) or BBQ (JSON lines)."""
    name: str = ""
    """Name in the store and in reports; by default the kind."""
    path: Path
    """The file."""
    limit: PositiveInt | None = None
    """Measure only so many of its items, drawn by a hash; null measures all."""

    @model_validator(mode="before")
    @classmethod
    def _name_defaults_to_kind(cls, raw: object) -> object:
        return _named(raw)


class TaskSettings(Settings):
    """Tasks of lm-evaluation-harness; needs `pip install 'solon[benchmarks]'`."""

    kind: Literal["lm_eval"]
    """lm_eval."""
    name: str = ""
    """Name in the store and in reports; by default the kind."""
    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of tasks that lm-evaluation-harness ships, or paths of .yaml files in its format. A
    file may name Python code, which runs with your rights: name only files that you trust."""
    num_fewshot: Annotated[int, Field(ge=0)] | None = None
    """Worked examples before each question; null takes the task's own number."""
    limit: PositiveInt | None = None
    """Measure only the first so many items of each task; null measures all."""
    apply_chat_template: bool = False
    """Ask through the model's chat template, as users do; false reads the tasks' plain texts, as
    published results mostly do."""

    @model_validator(mode="before")
    @classmethod
    def _name_defaults_to_kind(cls, raw: object) -> object:
        return _named(raw)


BenchmarkSettings = Annotated[BiasSettings | TaskSettings, Field(discriminator="kind")]


def _named(raw: object) -> object:
    if isinstance(raw, dict) and not raw.get("name"):
        return {**raw, "name": raw.get("kind", "")}
    return raw
