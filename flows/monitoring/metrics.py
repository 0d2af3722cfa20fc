"""Figures of policy lines for Prometheus, read from the snapshots of their stores.

A scrape never keeps a writer waiting: it reads the last snapshot, and each store at most every
READ_SECONDS.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flows.cycle.cycle import DECIDES, TRAINED_ON
from flows.cycle.spending import spent_of_budget
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError
from rlhf_core.evaluation.exploitation import judges_misled
from rlhf_core.records import PROXY
from rlhf_core.store import reading, store_exists
from rlhf_core.store.line_figures import LineFigures, line_figures
from rlhf_core.store.trigger_queries import query_of

READ_SECONDS = 15.0


@dataclass(frozen=True)
class Family:
    """A family of metrics."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    is_counter: bool = False

    def empty(self) -> CounterMetricFamily | GaugeMetricFamily:
        kind = CounterMetricFamily if self.is_counter else GaugeMetricFamily
        return kind(f"solon_{self.name}", self.help, labels=("line", *self.labels))


FAMILIES = (
    Family("candidates", "Candidates sampled.", is_counter=True),
    Family("judgements", "Judgements.", ("judge", "outcome"), is_counter=True),
    Family("judgement_seconds", "Latency of all judgements.", ("judge",), is_counter=True),
    Family("judgement_cost_usd", "Cost of all judgements.", ("judge",), is_counter=True),
    Family("pairs", "Preference pairs; only preferred ones teach.", ("outcome",), is_counter=True),
    Family("cost_usd", "Cost of remote models in all runs.", is_counter=True),
    Family("budget_usd", "budget.max_usd, the limit of budget.period; absent without a limit."),
    Family(
        "budget_spent_usd", "Cost of remote models in that period: the last run, a day or a month."
    ),
    Family("failures", "Work that failed and stays missing.", ("stage",), is_counter=True),
    Family("stage_duration_seconds", "Duration of the stage when it last ended.", ("stage",)),
    Family("stage_end_timestamp_seconds", "Time at which the stage last ended.", ("stage",)),
    Family("cycle", "Cycle that ended last.", ()),
    Family("decisions", "Decisions about policies.", ("promoted",), is_counter=True),
    Family("champion_cycle", "Cycle that promoted the champion; 0 while it is the SFT model."),
    Family("refused_since_promotion", "Policies refused since the champion was promoted."),
    Family("win_rate", "Win rate of the last policy against its baseline.", ("judge", "role")),
    Family("win_rate_low", "Lower end of its interval.", ("judge", "role")),
    Family("win_rate_high", "Upper end of its interval.", ("judge", "role")),
    Family("unscored_comparisons", "Comparisons without a verdict.", ("judge", "role")),
    Family("policy_kl_nats", "KL divergence of the last policy from the SFT model, an answer."),
    Family("misled_judges", "Training judges that the last policy exploits; above 0 is an alarm."),
    Family("policy_metric", "Last value of each metric of the last policy's training.", ("name",)),
    Family("snapshot_age_seconds", "Age of the snapshot that these figures are from."),
)


class LineCollector(Collector):
    """Collects the figures of some lines.

    Args:
        configs: Configs of the lines, each with a name of its own.

    Raises:
        ConfigError: If two configs have one name, so that their series could not be told apart.
    """

    def __init__(self, configs: Sequence[Config]) -> None:
        names = [config.name for config in configs]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"two configs are named {name!r}; give each its own `name`")
        self._configs = configs
        self._lock, self._read_at = threading.Lock(), float("-inf")
        self._metrics: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        """Return the figures, which are read again if they are older than READ_SECONDS."""
        with self._lock:
            if time.monotonic() - self._read_at > READ_SECONDS:
                self._metrics, self._read_at = self._read(), time.monotonic()
            return self._metrics

    def _read(self) -> list[Metric]:
        families = {family.name: family.empty() for family in FAMILIES}
        for config in self._configs:
            for name, labels, value in _samples(config):
                families[name].add_metric([config.name, *labels], value)
        return list(families.values())


Sample = tuple[str, tuple[str, ...], float]


def _samples(config: Config) -> Iterator[Sample]:
    if config.budget.max_usd is not None:
        yield "budget_usd", (), config.budget.max_usd
    if not store_exists(config.store):
        return
    with reading(config.store) as snapshot:
        figures = line_figures(snapshot, config.name)
        spent = spent_of_budget(query_of(snapshot), config.name, config.budget)
    yield "budget_spent_usd", (), spent.usd
    yield "snapshot_age_seconds", (), figures.age_seconds
    yield from _totals(figures)
    yield from _stages(figures)
    yield from _decisions(figures)
    for name, value in figures.rows["training"]:
        yield "policy_metric", (name,), value


def _totals(figures: LineFigures) -> Iterator[Sample]:
    yield "candidates", (), figures.rows["candidates"][0][0]
    seconds: dict[str, float] = {}
    costs: dict[str, float] = {}
    for judge, outcome, count, cost, latency in figures.rows["judgements"]:
        yield "judgements", (judge, outcome), count
        seconds[judge] = seconds.get(judge, 0.0) + latency
        costs[judge] = costs.get(judge, 0.0) + cost
    for judge in seconds:
        yield "judgement_seconds", (judge,), seconds[judge]
        yield "judgement_cost_usd", (judge,), costs[judge]
    for outcome, count in figures.rows["pairs"]:
        yield "pairs", (outcome,), count
    for stage, count in figures.rows["failures"]:
        yield "failures", (stage,), count
    yield "cost_usd", (), figures.rows["costs"][0][0]


def _stages(figures: LineFigures) -> Iterator[Sample]:
    for stage, seconds, ended_at, cycle in figures.rows["stages"]:
        yield "stage_duration_seconds", (stage,), seconds
        yield "stage_end_timestamp_seconds", (stage,), ended_at
        if stage == "report":
            yield "cycle", (), cycle


def _decisions(figures: LineFigures) -> Iterator[Sample]:
    for promoted, count in figures.rows["promotions"]:
        yield "decisions", (str(promoted).lower(),), count
    cycle, refused = next(iter(figures.rows["champion"]), (0, None))
    yield "champion_cycle", (), cycle
    if refused is not None:
        yield "refused_since_promotion", (), refused
    for each in figures.evaluations:
        judge = (each.judge, each.role)
        yield "unscored_comparisons", judge, each.unscored
        ends = {"": each.win_rate, "_low": each.win_rate_low, "_high": each.win_rate_high}
        for end, value in ends.items():
            if value is not None:
                yield f"win_rate{end}", judge, value
    for deciding in figures.evaluations:
        if deciding.role == DECIDES:
            trained_on = [e for e in figures.evaluations if e.role in (TRAINED_ON, PROXY)]
            yield "misled_judges", (), len(judges_misled(deciding, trained_on))
            yield "policy_kl_nats", (), deciding.kl


def registry_of(configs: Sequence[Config]) -> CollectorRegistry:
    """Return a registry that holds the figures of some lines alone."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LineCollector(configs))
    return registry


def write_metrics(configs: Sequence[Config], path: Path) -> None:
    """Write the figures once, whole or not at all, for node_exporter's textfile collector."""
    write_to_textfile(str(path), registry_of(configs))


def serve_metrics(configs: Sequence[Config], host: str, port: int) -> None:
    """Serve the figures until the process ends.

    Args:
        configs: Configs of the lines.
        host: Address to serve on.
        port: Port to serve on.

    Raises:
        ConfigError: If the address cannot be served on.
    """
    try:
        _, thread = start_http_server(port, host, registry_of(configs))
    except OSError as error:
        raise ConfigError(f"cannot serve on {host}:{port}: {error.strerror}") from None
    thread.join()
