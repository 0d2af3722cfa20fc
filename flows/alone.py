"""Groups of stages and single stages that run by themselves, by name.

Each finds in the store what the stage before it handed over, in this cycle and under this config.
"""

from collections.abc import Callable, Mapping
from typing import Any

from flows.cycle.cycle import CandidateBatch, Cycle
from flows.cycle.handover import Handover, handed_over
from flows.pipeline import evaluation, feedback, pipeline, policy, promotion, reward_model
from flows.stages.ingest import ingest
from flows.stages.judge import judge
from flows.stages.pair import pair
from flows.stages.repair import repair
from flows.stages.report import report
from flows.stages.revise import revise
from flows.stages.sample import sample
from flows.stages.train_sft import train_sft
from rlhf_core.errors import ConfigError


def run_alone(cycle: Cycle, name: str) -> None:
    """Run a group of stages or a single stage of a cycle.

    Args:
        cycle: The cycle under way.
        name: One of ALONE.

    Raises:
        ConfigError: If there is no stage of that name.
        NotReadyError: If the stage before it has not ended.
    """
    if name not in ALONE:
        raise ConfigError(f"no stage {name!r}; there are {', '.join(ALONE)}")
    ALONE[name](cycle)


def _revise(cycle: Cycle) -> None:
    revise(cycle, handed_over(cycle, "ingest").prompt_set_id)


def _train_sft(cycle: Cycle) -> None:
    had = handed_over(cycle, "revise" if cycle.config.revision else "ingest")
    train_sft(cycle, had.prompt_set_id, had.reviser)


def _sample(cycle: Cycle) -> None:
    had = handed_over(cycle, "train_sft")
    sample(cycle, had.prompt_set_id, had.sft_id)


def _judge(cycle: Cycle) -> None:
    had = handed_over(cycle, "sample")
    judge(cycle, had.prompt_set_id, _batch(had))


def _pair(cycle: Cycle) -> None:
    had = handed_over(cycle, "judge")
    pair(cycle, had.prompt_set_id, _batch(had))


def _repair(cycle: Cycle) -> None:
    had = handed_over(cycle, "pair")
    repair(cycle, had.prompt_set_id, _batch(had))


def _batch(had: Handover) -> CandidateBatch:
    assert had.batch is not None, "each stage after sample hands it over"
    return had.batch


ALONE: Mapping[str, Callable[[Cycle], Any]] = {
    "feedback": feedback,
    "ingest": ingest,
    "revise": _revise,
    "train_sft": _train_sft,
    "sample": _sample,
    "judge": _judge,
    "pair": _pair,
    "repair": _repair,
    "reward-model": reward_model,
    "train_reward": reward_model,
    "policy": policy,
    "train_policy": policy,
    "evaluate": evaluation,
    "promote": promotion,
    "report": report,
    "cycle": pipeline,
}
"""The groups and, after each group of several stages, its stages."""
