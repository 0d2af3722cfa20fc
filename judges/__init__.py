"""The judges: `kinds()` lists them, `load()` makes one from its settings.

A judge is a file of this folder, or an entry point of an installed package: see README.md.
"""

from judges.panel.judge import (
    Answer,
    Contest,
    Judge,
    Opinion,
    PairwiseJudge,
    PointwiseJudge,
    Workload,
    abstains,
    scored,
    verdict,
)
from judges.panel.ledger import Ledger
from judges.panel.registry import check_kind, check_kinds, describe, judge_class, kinds, load
from rlhf_core.config import Settings

__all__ = [
    "Answer",
    "Contest",
    "Judge",
    "Ledger",
    "Opinion",
    "PairwiseJudge",
    "PointwiseJudge",
    "Settings",
    "Workload",
    "abstains",
    "check_kind",
    "check_kinds",
    "describe",
    "judge_class",
    "kinds",
    "load",
    "scored",
    "verdict",
]
