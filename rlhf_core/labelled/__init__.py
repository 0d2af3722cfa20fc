"""Answers that people, or other judges, have labelled: what a judge is measured against."""

from rlhf_core.labelled.facts import TIE, LabelledPair, LabelledSet, LabelledText
from rlhf_core.labelled.reading import FORMATS, read_labelled

__all__ = ["FORMATS", "TIE", "LabelledPair", "LabelledSet", "LabelledText", "read_labelled"]
