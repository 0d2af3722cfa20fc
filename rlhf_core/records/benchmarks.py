"""Records of public benchmarks of models."""

from typing import Any, ClassVar

from rlhf_core.records.base import Record


class BenchmarkItem(Record):
    """A model's result on one item of a benchmark, by one metric."""

    table: ClassVar[str] = "benchmark_items"
    model_id: str
    benchmark: str
    benchmark_version: str
    """Hash of everything that decides the result besides the model: items, settings and code."""
    item: str
    part: str
    cluster: str
    """Items of one cluster are not independent of each other."""
    metric: str
    value: float

    def identity(self) -> tuple[Any, ...]:
        return (self.model_id, self.benchmark_version, self.item, self.metric)


class BenchmarkFigure(Record):
    """A policy on a benchmark beside an earlier model; part is empty for the whole."""

    table: ClassVar[str] = "benchmark_figures"
    model_id: str
    against_id: str
    """The SFT model, or the baseline of the evaluation."""
    benchmark: str
    benchmark_version: str
    metric: str
    part: str = ""
    n: int
    value: float
    low: float
    high: float
    against_value: float
    against_low: float
    against_high: float
    difference: float
    """Mean difference on the items that both models have a result for."""
    difference_low: float
    difference_high: float
    p: float

    def identity(self) -> tuple[Any, ...]:
        return (self.model_id, self.against_id, self.benchmark_version, self.metric, self.part)
