"""What a run would do, counted and estimated before any time or money is spent.

Only what the store lacks is counted. Counts are exact but for pairs and rankings, which depend on
ties, and for a training that was cut short, which counts as a whole one. Times are rough: tokens
times what a token takes on this machine, shared out over the processes that train as one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from flows.cycle.cycle import Cycle, next_cycle
from flows.cycle.forecast import slowdown_by_others, time_range
from flows.cycle.identity import config_hash
from flows.cycle.independence import refuse_judging_trainers
from flows.cycle.prompts import read_checked_prompts
from flows.cycle.silence import preflight
from flows.planning.done import LATER_CYCLE, Done, count_done
from flows.planning.estimates import (
    Row,
    Sizes,
    candidates_rows,
    evaluation_rows,
    measure_sizes,
    policy_rows,
    revision_rows,
    reward_model_rows,
    rewards_rows,
    sft_rows,
)
from flows.planning.outlook import decision_ahead
from flows.training.rankings import count_imported
from flows.training.rewards import check_rewards
from flows.training.texts import check_texts
from flows.training.trackers import check_tracker
from judges.panel.panel import Panelist
from rlhf_core.config import Config
from rlhf_core.distributed.launch import launched_world_size
from rlhf_core.endpoints.budget import Budget
from rlhf_core.models.device import choose_compute
from rlhf_core.models.loading import parameter_count
from rlhf_core.records import Prompt, Split
from rlhf_core.store import Store, store_exists

FIXED_SECONDS = 25.0
"""Loading models, starting Prefect, writing the report."""


@dataclass(frozen=True)
class Plan:
    config_hash: str
    compute: str
    processes: int
    policy: str
    parameters: int
    judges: list[str]
    evaluation_judges: list[str]
    prompts: int
    train: int
    holdout: int
    least_win_rate: float | None
    """That can be promoted; None where no decision is possible."""
    decision: str
    """The same in words."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Prompts of the source that will not be used, by reason."""
    personal_data: dict[str, int] = field(default_factory=dict)
    """Places in the texts, by kind, that prompts.privacy found."""
    ended: int = 0
    """Cycles that have ended before."""
    cycles: int = 1
    """Cycles that are to have ended."""
    rows: list[Row] = field(default_factory=list)
    slowdown: float = 1.0
    """How much longer the work takes beside the other programs of this machine."""

    @property
    def seconds(self) -> float:
        """What the run takes on a machine that does nothing else."""
        return FIXED_SECONDS + sum(row.seconds for row in self.rows) if self.rows else 0.0

    @property
    def time_range(self) -> tuple[float, float]:
        """The least and the most seconds that the run is likely to take."""
        return time_range(self.seconds, self.slowdown)

    @property
    def by_stage(self) -> dict[str, float]:
        """Seconds of each stage, in their order."""
        found: dict[str, float] = {}
        for row in self.rows:
            found[row.stage] = found.get(row.stage, 0.0) + row.seconds
        return found

    @property
    def cost_usd(self) -> float:
        return sum(row.cost_usd for row in self.rows)


def plan_run(
    config: Config,
    cycles: int = 1,
    budget: Budget | None = None,
    before_measuring: Callable[[], None] | None = None,
) -> Plan:
    """Count and estimate what is missing until so many cycles of a config have ended.

    Args:
        config: The run, whole.
        cycles: How many cycles are to have ended.
        budget: What asking each remote model one tiny question may cost; None asks none.
        before_measuring: Called after all checks that cost nothing, and before the speed of this
            machine is measured: wait there for what would slow it down.

    Raises:
        InputError: For anything in the config, the prompts or the models that would stop the run.
        EndpointError: If a remote model does not answer.
    """
    panel = [Panelist(settings) for settings in config.judges]
    jury = [Panelist(settings) for settings in config.evaluation.judges]
    _check(config, [*panel, *jury])
    intake = read_checked_prompts(config)
    prompts = intake.prompts
    least_win_rate, decision = decision_ahead(config, prompts, jury[0])
    compute = choose_compute(config.compute)
    imported = count_imported(config)
    if before_measuring is not None:
        before_measuring()
    slowdown = slowdown_by_others()  # before this process is what keeps the machine busy
    cycle = next_cycle(config)
    evaluating = list({panelist.version: panelist for panelist in [*jury, *panel]}.values())
    rows: list[Row] = []
    if cycle.number <= cycles:
        if budget is not None:
            preflight(config, budget)
        sizes = measure_sizes(config, prompts, compute)
        work = _Work(config, prompts, panel, evaluating, sizes, imported)
        rows = work.rows_until(cycles, cycle)
    train = sum(prompt.split is Split.TRAIN for prompt in prompts)
    return Plan(
        slowdown=slowdown,
        config_hash=config_hash(config),
        compute=str(compute),
        processes=launched_world_size(),
        policy=config.policy.model,
        parameters=parameter_count(config.policy.model),
        judges=[f"{panelist.version} × {panelist.settings.weight:g}" for panelist in panel],
        evaluation_judges=[panelist.version for panelist in jury],
        prompts=len(prompts),
        train=train,
        holdout=len(prompts) - train,
        least_win_rate=least_win_rate,
        decision=decision,
        left_out=intake.left_out,
        personal_data=intake.personal_data,
        ended=cycle.number - 1,
        cycles=cycles,
        rows=_in_all(rows),
    )


def _check(config: Config, panelists: Sequence[Panelist]) -> None:
    for panelist in panelists:
        panelist.check()
    refuse_judging_trainers(config, Store(config.store) if store_exists(config.store) else None)
    check_texts(config.training)
    check_rewards(config.training)
    check_tracker(config)


@dataclass(frozen=True)
class _Work:
    """What cycles of a config are made of."""

    config: Config
    prompts: list[Prompt]
    panel: list[Panelist]
    evaluating: list[Panelist]
    sizes: Sizes
    imported: int
    """Rankings that come from files."""

    @cached_property
    def train(self) -> list[Prompt]:
        return [prompt for prompt in self.prompts if prompt.split is Split.TRAIN]

    @cached_property
    def holdout(self) -> list[Prompt]:
        return [prompt for prompt in self.prompts if prompt.split is Split.HOLDOUT]

    def rows_until(self, cycles: int, cycle: Cycle) -> list[Row]:
        """Return what is missing until so many cycles have ended, of which `cycle` is the next."""
        done = count_done(cycle, self.train, self.holdout, self.panel, self.evaluating)
        rows = self.rows(cycle.number, done)
        for number in range(cycle.number + 1, cycles + 1):
            rows += self.rows(number, LATER_CYCLE)
        return rows

    def rows(self, number: int, done: Done) -> list[Row]:
        """Return what is missing of a cycle.

        Args:
            number: Which cycle; its reward model learns from the rankings of all before it, too.
            done: What need not be done again.
        """
        config, train, sizes = self.config, self.train, self.sizes
        ranked = number * len(train) + self.imported
        rows = candidates_rows(config, train, self.panel, sizes, done)
        if not done.has_sft:
            before = [*revision_rows(config, train, sizes, done), *sft_rows(config, train, sizes)]
            rows = [*before, *rows]
        if not done.has_reward_model:
            rows += reward_model_rows(config, ranked, sizes)
        if not done.has_policy:
            rows += policy_rows(config, train, ranked, sizes)
            rows += rewards_rows(config, len(train), sizes)
        return rows + evaluation_rows(config, self.holdout, self.evaluating, sizes, done)


def _in_all(rows: Sequence[Row]) -> list[Row]:
    """Add up the rows of several cycles; what is done already has none."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        same = found.get((row.stage, row.what), Row(row.stage, row.what, 0))
        found[row.stage, row.what] = Row(
            row.stage,
            row.what,
            same.count + row.count,
            same.seconds + row.seconds,
            same.cost_usd + row.cost_usd,
        )
    return [row for row in found.values() if row.count]
