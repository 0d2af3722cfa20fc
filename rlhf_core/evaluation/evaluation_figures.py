"""Figures of an evaluation beside its win rate: length-controlled, and by part of the prompts.

deploy/docs/metrics.md defines each.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rlhf_core.evaluation.breakdown import PartResult, length_parts, win_rates_by_part
from rlhf_core.evaluation.comparison import Answers, JudgedComparison, ModelComparison
from rlhf_core.evaluation.judge_bias import sign
from rlhf_core.evaluation.length_control import length_controlled_win_rate
from rlhf_core.records import EvaluationFigure, EvaluationResult, Prompt
from rlhf_core.text.scripts import script_of

LENGTH_CONTROLLED = "length_controlled_win_rate"
LENGTH_EFFECT = "length_effect"
BY_PART = "win_rate_by_"
"""Beginning of the metric of a win rate in a part; a facet's name follows."""
MODE, BASELINE_LENGTH, SCRIPT, TOPIC = "mode", "baseline_length", "script", "topic"
LEAST_OF_TOPIC = 8
"""Prompts of a topic that is a part of its own; fewer show nothing after the correction."""
OTHER_TOPICS, NO_TOPIC = "other topics", "no topic"
"""Names of the parts of prompts of rarer topics, and of prompts without one."""


def evaluation_figures(
    comparison: ModelComparison, judged: JudgedComparison, confidence: float
) -> list[EvaluationFigure]:
    """Return the figures of one judge's evaluation, as rows.

    Args:
        comparison: The answers of both models.
        judged: The judge's evaluation of them.
        confidence: Confidence of the intervals, 0.95 for 95 %.

    Returns:
        The figures; those that the results do not define are left out, as with too few prompts.
    """
    scored = [row for row in judged.results if row.margin is not None]
    return [
        *_length_control(comparison, scored, judged.evaluation.id, confidence),
        *_by_part(comparison, scored, judged.evaluation.id, confidence),
    ]


def _length_control(
    comparison: ModelComparison,
    scored: Sequence[EvaluationResult],
    evaluation_id: str,
    confidence: float,
) -> list[EvaluationFigure]:
    lengths = {
        candidate.id: len(candidate.text)
        for side in (comparison.policy, comparison.baseline)
        for group in side.values()
        for candidate in group
    }
    found = length_controlled_win_rate(
        [_result(row) for row in scored],
        [lengths[row.policy_candidate_id] - lengths[row.baseline_candidate_id] for row in scored],
        [row.prompt_id for row in scored],
        confidence,
    )
    if found is None:
        return []
    rate = EvaluationFigure(
        evaluation_id=evaluation_id,
        metric=LENGTH_CONTROLLED,
        n=found.prompts,
        value=found.rate,
        low=found.low,
        high=found.high,
    )
    effect = EvaluationFigure(
        evaluation_id=evaluation_id,
        metric=LENGTH_EFFECT,
        n=found.prompts,
        value=found.length_effect,
    )
    return [rate, effect]


def _by_part(
    comparison: ModelComparison,
    scored: Sequence[EvaluationResult],
    evaluation_id: str,
    confidence: float,
) -> list[EvaluationFigure]:
    parts = parts_of(comparison.prompts, comparison.baseline, comparison.topics)
    results = [PartResult(row.prompt_id, parts[row.prompt_id], _result(row)) for row in scored]
    return [
        EvaluationFigure(
            evaluation_id=evaluation_id,
            metric=f"{BY_PART}{each.facet}",
            facet=each.part,
            n=each.prompts,
            value=each.rate,
            low=each.low,
            high=each.high,
            p=each.p,
        )
        for each in win_rates_by_part(results, confidence)
    ]


def parts_of(
    prompts: Sequence[Prompt], baseline: Answers, topics: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Mapping[str, str]]:
    """Return the part of each prompt by facet: mode, script, topic, and how long it is answered.

    The length is that of the baseline's answers, in terciles: the policy's own length depends on
    the policy, and so may its win rate.

    Args:
        prompts: The prompts.
        baseline: Answers of the baseline, by prompt id.
        topics: Topics of the prompts that have one, by prompt id; without any there is no such
            facet. Those of few prompts are one part together.
    """
    lengths = {
        prompt.id: sum(len(answer.text) for answer in baseline[prompt.id]) for prompt in prompts
    }
    terciles = length_parts(lengths)
    counts = Counter(topics[prompt.id] for prompt in prompts if prompt.id in topics)
    return {
        prompt.id: {
            MODE: str(prompt.mode),
            BASELINE_LENGTH: terciles[prompt.id],
            SCRIPT: script_of(prompt.text),
            **_topic_part(prompt.id, topics, counts),
        }
        for prompt in prompts
    }


def _topic_part(
    prompt_id: str, topics: Mapping[str, str], counts: Mapping[str, int]
) -> dict[str, str]:
    if not counts:
        return {}
    topic = topics.get(prompt_id)
    if topic is None:
        return {TOPIC: NO_TOPIC}
    return {TOPIC: topic if counts[topic] >= LEAST_OF_TOPIC else OTHER_TOPICS}


def _result(row: EvaluationResult) -> float:
    """Return 1 for a win of the policy, 0.5 for a tie, and 0 for a loss."""
    assert row.margin is not None, "unscored comparisons were left out"
    return (1 + sign(row.margin)) / 2
