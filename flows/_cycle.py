"""What every stage is handed: the config, which cycle this is, and who writes.

A cycle is one pass through all stages. The first starts from the SFT model; each later one from
the policy promoted last, with new samples, and trains its reward model on the rankings of all.
"""

import uuid
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from flows import _versions
from rlhf_core.config import Config
from rlhf_core.config.tree import BudgetSettings, SamplingSettings
from rlhf_core.identity import content_id, seed_from
from rlhf_core.models.budget import Budget
from rlhf_core.store import Store, queries, store_exists

if TYPE_CHECKING:
    from rlhf_core.models.device import Compute


LAST_STAGE = "report"


class CandidateBatch(BaseModel):
    """Which candidates belong together: one model, one way of sampling, one seed."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())
    model_id: str
    sampling: str
    seed: int


def new_run_id() -> str:
    return uuid.uuid4().hex[:12]


def ended_cycles(config: Config) -> int:
    """How many cycles of this config went through all stages; 0 where there is no store yet."""
    if not store_exists(config.store):
        return 0
    return len(queries.stage_runs_of(Store(config.store), config.hash, LAST_STAGE))


def next_cycle(config: Config) -> "Cycle":
    """The first cycle that has not ended."""
    return Cycle(config=config, number=ended_cycles(config) + 1, run_id=new_run_id())


@lru_cache(maxsize=16)
def _budget(run_id: str, limits: BudgetSettings) -> Budget:
    """One for all stages of a run, so that together they stay within it."""
    return Budget(limits)


class Cycle(BaseModel):
    """One pass through the stages; travels to each of them as a Prefect parameter."""

    model_config = ConfigDict(frozen=True)
    config: Config
    number: int
    run_id: str

    def open_store(self) -> Store:
        return Store(self.config.store, self.run_id)

    def compute(self) -> "Compute":
        """Of each process its own."""
        from flows._together import together
        from rlhf_core.models.device import choose_compute

        return together(choose_compute, self.config.compute)

    @property
    def budget(self) -> Budget:
        """What this run may still spend on remote models."""
        return _budget(self.run_id, self.config.budget)

    def folder(self, model_id: str) -> Path:
        """Where a model of this project lies."""
        return self.config.artifacts / "models" / model_id

    @property
    def report_path(self) -> Path:
        """Where the page of this cycle lies, once it ended."""
        return (
            self.config.artifacts / "reports" / f"{self.config.hash[:8]}-cycle-{self.number}.html"
        )

    def training_batches(self, store: Store, sft_id: str) -> list[CandidateBatch]:
        """The candidates this cycle may learn from: its own and those of the cycles before."""
        return [
            self.batch(self._sampler(store, sft_id, number), self.config.sampling, number)
            for number in range(1, self.number + 1)
        ]

    def batch(
        self, model_id: str, sampling: SamplingSettings, purpose: int | str
    ) -> CandidateBatch:
        """The candidates drawn from a model for a purpose: a cycle's number, or "evaluation"."""
        endpoint = sampling.endpoint.model if sampling.endpoint else None
        return CandidateBatch(
            model_id=model_id,
            sampling=content_id(
                sampling.temperature,
                sampling.max_new_tokens,
                self.config.policy.system_prompt,
                endpoint,
            ),
            seed=seed_from("candidates", self.config.seed, purpose),
        )

    def incumbent(self, store: Store, sft_id: str) -> str | None:
        """The policy promoted last before this cycle, of those that stand on this SFT model.

        Where that was trained anew, the policies of the one before it are no longer gone on from.
        """
        return queries.incumbent(store, self.config.hash, self.number, sft_id)

    def _sampler(self, store: Store, sft_id: str, number: int) -> str:
        endpoint = self.config.sampling.endpoint
        if endpoint is not None:
            return _versions.endpoint(self.config).id
        return queries.incumbent(store, self.config.hash, number, sft_id) or sft_id
