"""Ids that a stage hands to the next one; the store keeps them with the stage's run.

So a stage can run alone, in another process and hours later. Each stage hands over its own result
together with what it started from. A policy is therefore trained on the prompts of its reward
model, whatever was ingested since.
"""

from pydantic import BaseModel, ConfigDict

from flows.cycle.cycle import CandidateBatch, Cycle
from flows.cycle.identity import config_hash
from rlhf_core.errors import NotReadyError
from rlhf_core.store import line_queries


class Handover(BaseModel):
    """Ids that later stages of a cycle start from; those that no stage made yet are empty."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    prompt_set_id: str = ""
    reviser: str | None = None
    """Version of the reviser; None without revision."""
    sft_id: str = ""
    batch: CandidateBatch | None = None
    """The candidates of the cycle."""
    recipe: str = ""
    """Recipe of the rankings."""
    reward_id: str = ""
    policy_id: str = ""
    evaluation_id: str = ""


def handed_over(cycle: Cycle, stage: str) -> Handover:
    """Return what the last run of a stage in this cycle handed over.

    Raises:
        NotReadyError: If the stage has not ended in this cycle under this config.
    """
    version = config_hash(cycle.config)
    run = line_queries.last_stage_run(cycle.open_store(), cycle.line, cycle.number, stage, version)
    if run is None:
        raise NotReadyError(
            f"line {cycle.line}, cycle {cycle.number}: {stage} has not ended under this config; "
            f"{_advice(cycle, stage)}"
        )
    return Handover.model_validate_json(run.result)


def ranked(cycle: Cycle) -> Handover:
    """Return prompts, SFT model and rankings of this cycle, from which training starts.

    Raises:
        NotReadyError: If the candidates are not ranked yet, or others were sampled since.
    """
    rankings, sampled = handed_over(cycle, "pair"), handed_over(cycle, "sample")
    if sampled.batch != rankings.batch:
        raise NotReadyError(
            f"line {cycle.line}, cycle {cycle.number}: the candidates that were sampled last are "
            f"not ranked yet; {_advice(cycle, 'pair')}"
        )
    return rankings.model_copy(update={"sft_id": sampled.sft_id})


def _advice(cycle: Cycle, stage: str) -> str:
    return f"run `solon run {cycle.source or 'CONFIG'} --stage {stage}` first"
