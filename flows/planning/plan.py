"""The plan of a run: its missing work, counted and estimated before time or money is spent.

Counts are exact, with two exceptions: pairs and rankings depend on ties, and a training that was
interrupted counts as a whole one. Times are rough: the number of tokens times this machine's
seconds a token, divided among the processes that train together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from flows.cycle.benchmarks import check_benchmarks
from flows.cycle.cycle import Cycle, next_cycle
from flows.cycle.engine import check_base_engine, describe_engine, samples_base
from flows.cycle.estimates import CycleWork, Row, Sizes
from flows.cycle.flow_runs import Estimate
from flows.cycle.forecast import time_range
from flows.cycle.identity import config_hash
from flows.cycle.independence import refuse_judging_trainers
from flows.cycle.prompts import read_checked_prompts
from flows.cycle.silence import preflight
from flows.planning.done import LATER_CYCLE, count_done
from flows.planning.memory import memory_warning
from flows.planning.outlook import decision_ahead
from flows.planning.sizes import measure_sizes
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
"""Seconds to load models, start Prefect and write the report."""


@dataclass(frozen=True)
class Plan:
    """The missing work of a run, with the facts of the config that decide it."""

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
    """Least win rate that can be promoted; None if no decision is possible."""
    decision: str
    """The win rate that the coming decision can show, or why none is possible, in words."""
    wear: str = ""
    """The error rate that earlier decisions on the held-out prompts spent, in words, or nothing."""
    engine: str = ""
    """The engine that samples the policy's answers, in words; empty if it is this process."""
    memory: str = ""
    """Why the trainings do not fit this device, and what would, in words; or nothing."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Number of prompts of the source that are not used, by reason."""
    personal_data: dict[str, int] = field(default_factory=dict)
    """Number of spans of personal data in the prompts, by kind (prompts.privacy)."""
    ended: int = 0
    """Number of cycles that have ended."""
    cycles: int = 1
    """Number of cycles that will have ended after the run."""
    rows: list[Row] = field(default_factory=list)
    slowdown: float = 1.0
    """Factor by which other programs slow this machine down, measured with the speed."""

    @property
    def seconds(self) -> float:
        """Seconds of the run on an idle machine."""
        return FIXED_SECONDS + sum(row.seconds for row in self.rows) if self.rows else 0.0

    @property
    def time_range(self) -> tuple[float, float]:
        """Least and most seconds that the run is likely to take."""
        return time_range(self.seconds, self.slowdown)

    @property
    def by_stage(self) -> dict[str, float]:
        """Seconds of each stage, in their order."""
        seconds: dict[str, float] = {}
        for row in self.rows:
            seconds[row.stage] = seconds.get(row.stage, 0.0) + row.seconds
        return seconds

    @property
    def cost_usd(self) -> float:
        return sum(row.cost_usd for row in self.rows)


def plan_cycles(
    estimate: Estimate,
    config: Config,
    cycles: int = 1,
    budget: Budget | None = None,
    before_measuring: Callable[[], None] | None = None,
) -> Plan:
    """Return the plan of the work that is missing until some number of cycles has ended.

    Args:
        estimate: Returns the rows of one cycle.
        config: Config of the run.
        cycles: Number of cycles that will have ended after the run.
        budget: Limit on the cost of one tiny request to each remote model; None sends none.
        before_measuring: Called after all checks that cost nothing, before the speed is measured.

    Raises:
        InputError: If anything in the config, the prompts or the models would stop the run.
        EndpointError: If a remote model does not answer.
    """
    panel = [Panelist(settings) for settings in config.judges]
    jury = [Panelist(settings) for settings in config.evaluation.judges]
    _check(config, [*panel, *jury])
    prompts = (intake := read_checked_prompts(config)).prompts
    train = sum(prompt.split is Split.TRAIN for prompt in prompts)
    outlook = decision_ahead(config, prompts, jury[0])
    compute, imported = choose_compute(config.compute), count_imported(config)
    if before_measuring is not None:
        before_measuring()
    works: list[CycleWork] = []
    if (cycle := next_cycle(config)).number <= cycles:
        if budget is not None:
            preflight(config, budget)
        sizes = measure_sizes(config, prompts, compute)
        work = _next_work(cycle, prompts, panel, jury, sizes, imported)
        works = [work, *_later_works(work, cycles)]
    return Plan(
        slowdown=works[0].sizes.speed.slowdown if works else 1.0,
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
        least_win_rate=outlook.least_win_rate,
        decision=outlook.decision,
        wear=outlook.wear,
        engine=describe_engine(config),
        memory=memory_warning(config, compute),
        left_out=intake.left_out,
        personal_data=intake.personal_data,
        ended=cycle.number - 1,
        cycles=cycles,
        rows=_sum_rows([row for work in works for row in estimate(work)]),
    )


def _check(config: Config, panelists: Sequence[Panelist]) -> None:
    for panelist in panelists:
        panelist.check()
    refuse_judging_trainers(config, Store(config.store) if store_exists(config.store) else None)
    check_texts(config.training)
    check_rewards(config.training)
    check_tracker(config)
    if samples_base(config):
        check_base_engine(config)
    check_benchmarks(config)


def _next_work(
    cycle: Cycle,
    prompts: Sequence[Prompt],
    panel: Sequence[Panelist],
    jury: Sequence[Panelist],
    sizes: Sizes,
    imported: int,
) -> CycleWork:
    """Return the work of the next cycle, with the parts of it that are done already."""
    train = [prompt for prompt in prompts if prompt.split is Split.TRAIN]
    holdout = [prompt for prompt in prompts if prompt.split is Split.HOLDOUT]
    evaluating = list({panelist.version: panelist for panelist in [*jury, *panel]}.values())
    done = count_done(cycle, train, holdout, panel, evaluating)
    return CycleWork(
        cycle.config, cycle.number, train, holdout, panel, evaluating, sizes, imported, done
    )


def _later_works(work: CycleWork, cycles: int) -> list[CycleWork]:
    """Return the work of the cycles after the next one, of which nothing is done."""
    later = range(work.number + 1, cycles + 1)
    return [replace(work, number=number, done=LATER_CYCLE) for number in later]


def _sum_rows(rows: Sequence[Row]) -> list[Row]:
    """Add up the rows of several cycles, and drop those that count nothing."""
    sums: dict[tuple[str, str], Row] = {}
    for row in rows:
        same = sums.get((row.stage, row.what), Row(row.stage, row.what, 0))
        sums[row.stage, row.what] = Row(
            row.stage,
            row.what,
            same.count + row.count,
            same.seconds + row.seconds,
            same.cost_usd + row.cost_usd,
        )
    return [row for row in sums.values() if row.count]
