"""Base class of all facts, and the closed sets of values that facts contain."""

from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, computed_field

from rlhf_core.identity import content_id


class Mode(StrEnum):
    """Kind of answer that a prompt asks for, which decides which judges suit it."""

    TEXT_GROUNDED = "text_grounded"
    KNOWLEDGE_SEEKING = "knowledge_seeking"
    CREATIVE = "creative"


class Split(StrEnum):
    TRAIN = "train"
    HOLDOUT = "holdout"


class Outcome(StrEnum):
    """Outcome of a judge's answer. Only the first four are opinions."""

    SCORED = "scored"
    FIRST = "first"
    SECOND = "second"
    TIE = "tie"
    ABSTAINS = "abstains"
    UNPARSED = "unparsed"
    UNAVAILABLE = "unavailable"


class Presented(StrEnum):
    """Presentation of candidates: alone, in the order of their sample indices, or reversed."""

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
    """Role that a row played in making a model."""

    LEARNT = "learnt"
    """The model learnt from the row, or was rewarded or chosen by it if it is a reward model."""
    CHOSEN_ON = "chosen_on"
    """The model's weights were chosen by their answers to this prompt."""
    NORMALISED_ON = "normalised_on"
    """A reward model's zero is the mean reward of this prompt's reference and others."""
    LEFT_OUT = "left_out"
    """The model learnt from this pair's ranking, but not from the pair, which was retracted."""
    BASE = "base"
    """The model was initialised from this one, which the config names as the policy."""
    SAMPLER = "sampler"
    """The model learnt from rankings of answers that this model sampled."""
    JUDGE = "judge"
    """The model learnt from verdicts that this model gave."""
    REVISER = "reviser"
    """The model learnt from revisions that this model wrote."""


PROXY = "proxy"
"""Name and role of the judge under which the scores of a cycle's own reward model are stored."""


class Record(BaseModel):
    """A row. Subclasses define what identifies it; a row read back may have more columns."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())
    table: ClassVar[str]

    def identity(self) -> tuple[Any, ...]:
        raise NotImplementedError

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def id(self) -> str:
        return content_id(self.table, *self.identity())
