"""What every fact has in common, and the closed sets of values facts are made of."""

from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, computed_field

from rlhf_core.identity import content_id


class Mode(StrEnum):
    """What kind of answer a prompt wants, and so which judges suit it."""

    TEXT_GROUNDED = "text_grounded"
    KNOWLEDGE_SEEKING = "knowledge_seeking"
    CREATIVE = "creative"


class Split(StrEnum):
    TRAIN = "train"
    HOLDOUT = "holdout"


class Outcome(StrEnum):
    """What a judge's answer came to. Only the first four are opinions."""

    SCORED = "scored"
    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    ABSTAINS = "abstains"
    UNPARSED = "unparsed"
    UNAVAILABLE = "unavailable"


class Presented(StrEnum):
    """How candidates were shown: alone, in the order of their sample indices, or the other."""

    ALONE = "alone"
    FORWARD = "forward"
    REVERSED = "reversed"


class PairOutcome(StrEnum):
    PREFERRED = "preferred"
    TIE = "tie"
    UNSCORED = "unscored"


class ModelKind(StrEnum):
    BASE = "base"
    ENDPOINT = "endpoint"
    EXTERNAL = "external"
    SFT = "sft"
    REWARD = "reward"
    POLICY = "policy"


class InputRole(StrEnum):
    """How a model rests on a row."""

    LEARNT = "learnt"
    """It learnt from the row; of a reward model, was taught or chosen by it."""
    CHOSEN_ON = "chosen_on"
    """Its weights were chosen by what they answer to this prompt."""
    NORMALISED_ON = "normalised_on"
    """A reward model's zero is the mean reward of this prompt's reference and others."""
    LEFT_OUT = "left_out"
    """It learnt from the ranking of this pair, but not from the pair, which was retracted."""
    BASE = "base"
    """It began as this model, which the config names as the policy."""
    SAMPLER = "sampler"
    """It learnt from rankings of answers of this model."""
    JUDGE = "judge"
    """It learnt from verdicts that this model was asked for."""
    REVISER = "reviser"
    """It learnt from revisions that this model wrote."""


PROXY = "proxy"
"""The judge under whose name the scores of a cycle's own reward model are kept, and its role."""


class Record(BaseModel):
    """A row. Subclasses say what identifies them; a row read back may carry more columns."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())
    table: ClassVar[str]

    def identity(self) -> tuple[Any, ...]:
        raise NotImplementedError

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def id(self) -> str:
        return content_id(self.table, *self.identity())
