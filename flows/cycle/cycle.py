"""What every stage is handed: the config, which cycle of which line this is, and who writes.

A cycle is one pass through all stages. The first starts from the SFT model; each later one from
the policy promoted last, with new samples, and trains its reward model on the rankings of all. All
of them hang on the name of the policy line, so that an edit of the config continues it.
"""

import json
import uuid
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from flows.cycle import versions
from flows.cycle.identity import config_hash
from rlhf_core.config import Config
from rlhf_core.config.tree import BudgetSettings, SamplingSettings
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.endpoints.budget import Budget
from rlhf_core.identity import content_id, seed_from
from rlhf_core.store import Store, queries, store_exists

if TYPE_CHECKING:
    from rlhf_core.models.device import Compute

DECIDES, REPORTS, TRAINED_ON = "decides", "reports", "trained_on"
"""Roles of a judge in an evaluation."""


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
    """Return how many cycles of a line went through all stages; 0 where there is no store yet.

    One whose policy was decided on by another config has ended, too: only its page may be missing.
    """
    if not store_exists(config.store):
        return 0
    store = Store(config.store)
    ended = max(
        (run.cycle for run in queries.stage_runs_of(store, config.name, LAST_STAGE)), default=0
    )
    following = queries.promotions_of(store, config.name).get(ended + 1)
    is_decided = following is not None and following.config_hash != config_hash(config)
    return ended + is_decided


def next_cycle(config: Config, source: Path | None = None) -> "Cycle":
    """The first cycle that has not ended; as `cycle_of`."""
    return cycle_of(config, ended_cycles(config) + 1, source)


def cycle_of(config: Config, number: int, source: Path | None = None) -> "Cycle":
    """A cycle of a line, in a run of its own.

    Args:
        config: Of the line.
        number: Which cycle.
        source: The file that the config was read from.
    """
    path = str(source.resolve()) if source else ""
    return Cycle(config=config, number=number, run_id=new_run_id(), source=path)


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
    source: str = ""
    """Path of the config's file; empty where it was made without one."""

    @property
    def line(self) -> str:
        """Name of the policy line."""
        return self.config.name

    def open_store(self) -> Store:
        return Store(self.config.store, self.run_id)

    def compute(self) -> "Compute":
        """Return where this process computes; each process chooses its own device."""
        from rlhf_core.models.device import choose_compute

        return on_all_ranks(choose_compute, self.config.compute)

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
        return self.config.artifacts / "reports" / self.line / f"cycle-{self.number}.html"

    def own_batch(self, store: Store, sft_id: str) -> CandidateBatch:
        """The candidates that this cycle samples and has judged."""
        if self.config.sampling.endpoint is not None:
            model_id = versions.endpoint(self.config).id
        else:
            model_id = self.champion(store, sft_id) or sft_id
        return self.batch(model_id, self.config.sampling, self.number)

    def sampled_batches(self, store: Store, sft_id: str) -> set[tuple[str, int]]:
        """Return model and seed of the candidates this cycle may learn from.

        Its own, and what the line's cycles before it sampled, whatever was edited since.
        """
        signed = queries.stage_runs_of(store, self.line, "sample")
        former = [json.loads(run.detail) for run in signed if run.cycle < self.number]
        own = self.own_batch(store, sft_id)
        return {(own.model_id, own.seed), *((each["from"], each["seed"]) for each in former)}

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

    def champion(self, store: Store, sft_id: str) -> str | None:
        """The policy promoted last before this cycle, of those that stand on this SFT model.

        Where that was trained anew, the policies of the one before it are no longer gone on from.
        """
        return queries.champion(store, self.line, self.number, sft_id)


def evaluation_sampling(config: Config) -> SamplingSettings:
    """How the compared answers are drawn: always from the models themselves."""
    changes = {"temperature": config.evaluation.temperature, "endpoint": None}
    return config.sampling.model_copy(update=changes)
