"""Appending judgements in batches: the store against bare DuckDB without ids, lock or lineage."""

import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa

from rlhf_core.models.device import Compute
from rlhf_core.records import Judgement, Outcome
from rlhf_core.store import Store
from tests.benchmarks.ratio import ratio
from tests.benchmarks.result import Result

BATCHES, BATCH = 10, 256


def run(compute: Compute) -> list[Result]:
    """Ten batches of 256 rows, each its own transaction and connection on both sides."""

    def batch(number: int) -> list[Judgement]:
        return [
            Judgement(
                prompt_id="p",
                judge="j",
                judge_version="v",
                candidate_id=f"{number} {row}",
                outcome=Outcome.SCORED,
                score=0.5,
            )
            for row in range(BATCH)
        ]

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder) / "solon.duckdb")
            for number in range(BATCHES):
                store.append(batch(number))

    def theirs() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "bare.duckdb")
            for number in range(BATCHES):
                table = pa.Table.from_pylist([j.model_dump(mode="json") for j in batch(number)])
                with duckdb.connect(path) as connection:
                    connection.register("batch", table)
                    if number == 0:
                        connection.execute("CREATE TABLE judgements AS FROM batch LIMIT 0")
                    connection.execute("INSERT INTO judgements FROM batch")

    return [ratio("store", ours, "bare DuckDB", theirs, detail="2560 judgements")]
