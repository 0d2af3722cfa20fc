"""The facts Solon keeps, one class a table. No SQL and no models here.

A record's id is the hash of what makes it that fact, so the same work done twice is the same row.
The store adds to every row when it was written, by which run and by which version of the code.
"""

from rlhf_core.records.base import (
    PROXY,
    Mode,
    ModelKind,
    Outcome,
    PairOutcome,
    Presented,
    Record,
    Split,
)
from rlhf_core.records.exchange import Import, ImportedRow
from rlhf_core.records.preferences import (
    Candidate,
    Judgement,
    Pair,
    Prompt,
    PromptSet,
    Ranking,
    Response,
    Revision,
    candidate_identity,
    split_of,
)
from rlhf_core.records.runs import (
    ConfigVersion,
    Failure,
    StageRun,
)
from rlhf_core.records.training import (
    Evaluation,
    JudgeBenchmark,
    Metric,
    ModelInput,
    ModelVersion,
    Promotion,
    Rollout,
)

__all__ = [
    "PROXY",
    "RECORDS",
    "Candidate",
    "ConfigVersion",
    "Evaluation",
    "Failure",
    "Import",
    "ImportedRow",
    "JudgeBenchmark",
    "Judgement",
    "Metric",
    "Mode",
    "ModelInput",
    "ModelKind",
    "ModelVersion",
    "Outcome",
    "Pair",
    "PairOutcome",
    "Presented",
    "Promotion",
    "Prompt",
    "PromptSet",
    "Ranking",
    "Record",
    "Response",
    "Revision",
    "Rollout",
    "Split",
    "StageRun",
    "candidate_identity",
    "split_of",
]

RECORDS: tuple[type[Record], ...] = (
    ConfigVersion,
    Prompt,
    PromptSet,
    Candidate,
    Response,
    Revision,
    Judgement,
    Ranking,
    Pair,
    ModelVersion,
    ModelInput,
    Rollout,
    Metric,
    Evaluation,
    Promotion,
    StageRun,
    Failure,
    JudgeBenchmark,
    Import,
    ImportedRow,
)
