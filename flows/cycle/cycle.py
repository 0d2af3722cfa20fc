"""The cycle: the argument of every stage, with the config, the cycle's number and the run's id.

A cycle is one pass through all stages. The first cycle starts from the SFT model. Each later cycle
starts from the line's champion, draws new samples, and trains its reward model on the rankings
of all cycles so far. Cycles belong to a policy line by its name, so that an edit of the config
continues the line.
"""

import json
import uuid
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from flows.cycle import versions
from flows.cycle.identity import config_hash
from flows.cycle.spending import period_start
from rlhf_core.config import Config
from rlhf_core.config.tree import BudgetSettings, SamplingSettings
from rlhf_core.endpoints.budget import Budget, Spend
from rlhf_core.identity import content_id, seed_from
from rlhf_core.store import Store, champions, line_queries, store_exists

if TYPE_CHECKING:
    from rlhf_core.models.device import Compute

DECIDES, REPORTS, TRAINED_ON = "decides", "reports", "trained_on"
"""Roles of a judge in an evaluation."""

LAST_STAGE = "report"


class CandidateBatch(BaseModel):
    """Candidates that belong together: one model, one set of sampling settings, one seed."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())
    model_id: str
    sampling: str
    seed: int


def new_run_id() -> str:
    return uuid.uuid4().hex[:12]


def ended_cycles(config: Config) -> int:
    """Return how many cycles of a line went through all stages; 0 if there is no store yet.

    A cycle that was decided under another config has ended, too: only its page may be missing.
    """
    if not store_exists(config.store):
        return 0
    store = Store(config.store)
    ended = max(
        (run.cycle for run in line_queries.stage_runs_of(store, config.name, LAST_STAGE)), default=0
    )
    following = line_queries.promotions_of(store, config.name).get(ended + 1)
    is_decided = following is not None and following.config_hash != config_hash(config)
    return ended + is_decided


def next_cycle(config: Config, source: Path | None = None) -> "Cycle":
    """Return the first cycle of a line that has not ended."""
    return cycle_of(config, ended_cycles(config) + 1, source)


def cycle_of(config: Config, number: int, source: Path | None = None) -> "Cycle":
    """Return a cycle of a line, with a new run id.

    Args:
        config: Config of the line.
        number: Number of the cycle, from 1.
        source: File that the config was read from.

    Returns:
        The cycle, which writes to the store under that run id.
    """
    path = str(source.resolve()) if source else ""
    return Cycle(config=config, number=number, run_id=new_run_id(), source=path)


@lru_cache(maxsize=16)
def _budget(run_id: str, limits: BudgetSettings, line: str, store: Path | str) -> Budget:
    """Return the one budget that all stages of a run share, less what the line has spent."""
    since = period_start(limits, datetime.now(UTC))
    if since is None or not store_exists(store):
        return Budget(limits)
    return Budget(limits, Spend(*line_queries.spent_since(Store(store).query, line, since)))


class Cycle(BaseModel):
    """One pass through the stages; each stage receives it as a Prefect parameter."""

    model_config = ConfigDict(frozen=True)
    config: Config
    number: int
    run_id: str
    source: str = ""
    """Path of the config file; empty if there is none."""

    @property
    def line(self) -> str:
        """Name of the policy line."""
        return self.config.name

    def open_store(self) -> Store:
        return Store(self.config.store, self.run_id)

    def compute(self) -> "Compute":
        """Return the device and precision of this process; each process chooses its own."""
        from rlhf_core.distributed.collective import on_all_ranks
        from rlhf_core.models.device import choose_compute

        return on_all_ranks(choose_compute, self.config.compute)

    @property
    def budget(self) -> Budget:
        """The amount that this run may still spend on remote models."""
        return _budget(self.run_id, self.config.budget, self.line, self.config.store)

    def folder(self, model_id: str) -> Path:
        """Return the folder of a model of this project."""
        return self.config.artifacts / "models" / model_id

    @property
    def report_path(self) -> Path:
        """Path of this cycle's page, which is written when the cycle ends."""
        return self.config.artifacts / "reports" / self.line / f"cycle-{self.number}.html"

    def own_batch(self, store: Store, sft_id: str) -> CandidateBatch:
        """Return the batch of candidates that this cycle samples and judges."""
        endpoint = self.config.sampling.endpoint
        if endpoint is not None:
            model_id = versions.endpoint(self.config, endpoint).id
        else:
            model_id = self.champion(store, sft_id) or sft_id
        return self.batch(model_id, self.config.sampling, self.number)

    def sampled_batches(self, store: Store, sft_id: str) -> set[tuple[str, int]]:
        """Return model and seed of each batch that this cycle may learn from.

        These are its own batch, those of the line's earlier cycles, also of other configs, and
        those of champions that were rolled back while it was open; but for those that a tainted
        model sampled: a model that learnt from them would be tainted too.
        """
        signed = line_queries.stage_runs_of(store, self.line, "sample")
        former = [json.loads(run.detail) for run in signed if run.cycle < self.number]
        own = self.own_batch(store, sft_id)
        rollbacks = champions.rollbacks_during(store, self.line, self.number)
        batches = {(each["from"], each["seed"]) for each in former}
        batches |= {(each.from_id, own.seed) for each in rollbacks}
        tainted = line_queries.tainted_models(store) if batches else set()
        usable = {(model_id, seed) for model_id, seed in batches if model_id not in tainted}
        return {(own.model_id, own.seed), *usable}

    def batch(
        self, model_id: str, sampling: SamplingSettings, purpose: int | str
    ) -> CandidateBatch:
        """Return the batch that is drawn from a model for a purpose.

        Args:
            model_id: The model that answers.
            sampling: Temperature, length, endpoint and engine.
            purpose: Decides the seed: the number of a cycle, "evaluation" or "abstention".
        """
        endpoint = sampling.endpoint.model if sampling.endpoint else None
        engine = sampling.engine.kind
        return CandidateBatch(
            model_id=model_id,
            sampling=content_id(
                sampling.temperature,
                sampling.max_new_tokens,
                self.config.policy.system_prompt,
                endpoint,
                *self.config.policy.template_changes(),
                *([["engine", engine]] if engine != "local" else []),
            ),
            seed=seed_from("candidates", self.config.seed, purpose),
        )

    def champion(self, store: Store, sft_id: str) -> str | None:
        """Return the champion before this cycle's own decision, if it stands on this SFT model.

        A rollback while the cycle is open changes it. After the SFT model is trained again,
        policies of the previous one are not resumed.
        """
        found = champions.champion(store, self.line, self.number, sft_id)
        return found.policy_id if found else None


def evaluation_sampling(config: Config) -> SamplingSettings:
    """Return the sampling settings of the evaluation, which never samples from an endpoint."""
    changes = {"temperature": config.evaluation.temperature, "endpoint": None}
    return config.sampling.model_copy(update=changes)
