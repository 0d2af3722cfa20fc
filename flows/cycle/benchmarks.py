"""Public benchmarks in an evaluation: the policy beside the SFT model and the baseline.

A model is measured once on each version of a benchmark. None of it decides on promotion.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from flows.cycle.estimates import CycleWork, Row
from rlhf_core.algorithms.scoring import sequence_logprobs
from rlhf_core.benchmarks.bbq import read_bbq
from rlhf_core.benchmarks.items import Item, ItemResult, measure
from rlhf_core.benchmarks.pairs import read_crows_pairs, read_winogender
from rlhf_core.benchmarks.tasks import (
    load_tasks,
    measure_tasks,
    require_library,
    tasks_version,
)
from rlhf_core.config import Config
from rlhf_core.config.benchmarks import BenchmarkSettings, BiasSettings, TaskSettings
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.distributed.launch import launched_world_size
from rlhf_core.errors import ConfigError
from rlhf_core.evaluation.benchmark_figures import benchmark_figures
from rlhf_core.identity import content_id, unit_interval
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import BenchmarkItem
from rlhf_core.store import Store

READERS: dict[str, Callable[..., Sequence[Item]]] = {
    "crows_pairs": read_crows_pairs,
    "winogender": read_winogender,
    "bbq": read_bbq,
}
CODE = "1"
"""Version of the measurement of bias; change it with every edit that changes results."""
MEASURED_SQL = "SELECT 1 FROM benchmark_items WHERE model_id = ? AND benchmark_version = ? LIMIT 1"
TOKENS_AN_ITEM = 100
"""Tokens that a model reads for one item, for the plan."""


class Models(Protocol):
    """The models of an evaluation, loaded when first needed."""

    @property
    def trunk(self) -> Trunk:
        """The trunk that holds them."""

    def role(self, model_id: str) -> Role:
        """Return the role in which the trunk holds a model."""


class _Benchmark(NamedTuple):
    """A benchmark that is ready to be measured."""

    version: str
    results: Callable[[str], Iterator[ItemResult]]
    """Measures a model, given its id."""


def check_benchmarks(config: Config) -> None:
    """Refuse, before a run begins, benchmarks that could not be measured at its end.

    Raises:
        ConfigError: If lm-evaluation-harness is missing, or cannot run in several processes.
        DataFileError: If a file is missing or has another format.
    """
    for settings in config.evaluation.benchmarks:
        if isinstance(settings, BiasSettings):
            _items(settings)
            continue
        require_library()
        if launched_world_size() > 1:
            raise ConfigError(
                "evaluation.benchmarks: tasks of lm-evaluation-harness run in one process only; "
                f"remove {settings.name!r}, or evaluate without torchrun"
            )


def estimate_benchmarks(work: CycleWork) -> list[Row]:
    """Estimate the items of bias on which policy and SFT model are measured.

    The items of tasks are known only after the library loaded them, and are not counted.
    """
    rows = []
    for settings in work.config.evaluation.benchmarks:
        if isinstance(settings, BiasSettings):
            count = 2 * len(_items(settings))
            seconds = work.sizes.forward(count * TOKENS_AN_ITEM)
            rows.append(Row("evaluate", f"items of {settings.name}", count, seconds))
    return rows


def run_benchmarks(
    config: Config,
    store: Store,
    models: Models,
    policy_id: str,
    others: Sequence[str],
) -> None:
    """Measure what is missing, and store the policy's figures beside those of the others.

    Args:
        config: Config of the run.
        store: The store.
        models: All these models; loaded only if something is missing.
        policy_id: The policy of the cycle.
        others: Ids of the models that it is compared with; repeated ones count once.
    """
    distinct = [model_id for model_id in dict.fromkeys(others) if model_id != policy_id]
    for settings in config.evaluation.benchmarks:
        benchmark = _prepare(settings, models)
        for model_id in (policy_id, *distinct):
            if not store.query(MEASURED_SQL, [model_id, benchmark.version]):
                store.append(
                    [
                        BenchmarkItem(
                            model_id=model_id,
                            benchmark=settings.name,
                            benchmark_version=benchmark.version,
                            **vars(result),
                        )
                        for result in benchmark.results(model_id)
                    ]
                )
        for other in distinct:
            where = "benchmark_version = ? AND model_id IN (?, ?)"
            items = store.rows(BenchmarkItem, where, [benchmark.version, policy_id, other])
            confidence = config.promotion.confidence
            store.append(benchmark_figures(policy_id, other, items, confidence))


def _prepare(settings: BenchmarkSettings, models: Models) -> _Benchmark:
    if isinstance(settings, TaskSettings):
        return _prepare_tasks(settings, models)
    items = _items(settings)
    version = content_id("bias", CODE, settings.name, [repr(item) for item in items])

    def results(model_id: str) -> Iterator[ItemResult]:
        def logprobs(sequences: Sequence[TokenSequence]) -> list[float]:
            role = models.role(model_id)
            found = on_all_ranks(sequence_logprobs, models.trunk, role, sequences)
            return [float(each) for each in found]

        return measure(items, models.trunk.tokenizer, logprobs)

    return _Benchmark(version, results)


def _prepare_tasks(settings: TaskSettings, models: Models) -> _Benchmark:
    tasks = load_tasks(settings)

    def results(model_id: str) -> Iterator[ItemResult]:
        return measure_tasks(models.trunk, models.role(model_id), settings, tasks)

    return _Benchmark(tasks_version(settings, tasks), results)


def _items(settings: BiasSettings) -> list[Item]:
    """Return the items of a benchmark, or those of lowest hash up to its limit."""
    items = list(READERS[settings.kind](settings.path))
    if settings.limit is None or settings.limit >= len(items):
        return items
    drawn = sorted(items, key=lambda item: unit_interval(settings.kind, item.name))
    kept = {item.name for item in drawn[: settings.limit]}
    return [item for item in items if item.name in kept]
