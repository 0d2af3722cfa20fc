"""Scores of a file of text pairs by one pointwise judge: one row per pair, in the file's order.

The first text of a pair serves as reference answer and as given text, the second as the answer:
for entailment, premise and hypothesis.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judges.panel.judge import Answer, PointwiseJudge
from judges.panel.ledger import Ledger
from judges.panel.progress import Progress, no_progress
from judges.panel.registry import load
from rlhf_core.config import JudgeSettings
from rlhf_core.config.compute import ComputeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.files.text_pairs import PairFormat, TextPair, read_text_pairs
from rlhf_core.records import Mode, Prompt, Split

BATCH = 4096
"""Pairs passed to the judge at once: enough to form batches of similar length."""


def score_pairs(
    kind: str,
    options: dict[str, Any],
    file: Path,
    known: PairFormat,
    progress: Progress = no_progress,
    compute: ComputeSettings | None = None,
) -> list[dict[str, Any]]:
    """Score every pair of a file.

    Args:
        kind: A judge that scores answers alone.
        options: Its options.
        file: The file of text pairs.
        known: The columns and labels of the file.
        progress: Shows how far it is.
        compute: Device and precision of the judge's own model.

    Returns:
        Score, outcome, reason and raw output of each pair; an unscored pair has no score.

    Raises:
        InputError: If the judge or its model cannot be used, or the file cannot be read.
    """
    settings = JudgeSettings.model_validate({"kind": kind, **options})
    judge = load(settings, Ledger(compute=compute))
    if not isinstance(judge, PointwiseJudge):
        raise ConfigError(f"judge {kind!r} compares two answers; name one that scores each alone")
    judge.check()
    answers = [_answer(pair) for pair in read_text_pairs(file, known, needs_label=False)]
    rows: list[dict[str, Any]] = []
    with progress(f"score {kind}", len(answers)) as advance:
        for start in range(0, len(answers), BATCH):
            batch = answers[start : start + BATCH]
            rows += [
                {
                    "score": opinion.score,
                    "outcome": opinion.outcome.value,
                    "reason": opinion.reason,
                    "raw_output": opinion.raw_output,
                }
                for opinion in judge.score(batch)
            ]
            advance(len(batch), "")
    return rows


def as_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return one line per row: the score or, without one, the outcome and its reason."""
    return [
        f"{row['score']:.6f}"
        if row["score"] is not None
        else f"{row['outcome']}: {' '.join(str(row['reason']).split())}"
        for row in rows
    ]


def _answer(pair: TextPair) -> Answer:
    prompt = Prompt(
        text="Compare.",
        context=pair.text,
        mode=Mode.TEXT_GROUNDED,
        reference_answers=(pair.text,),
        split=Split.HOLDOUT,
    )
    return Answer(prompt, pair.other)
