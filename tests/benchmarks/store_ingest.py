"""Judgements into the store: against bare DuckDB without ids, lock, lineage or checks.

A million as one Arrow table, each side in a process of its own, and ten batches of 256 records.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow as pa

from rlhf_core.models.device import Compute
from rlhf_core.records import Judgement, Outcome
from rlhf_core.store import Store
from tests.benchmarks.ratio import ratio
from tests.benchmarks.result import Result, compare
from tests.benchmarks.versus import output_of

ROWS, GOAL, TURNS = 1_000_000, 0.5, 3
BATCHES, BATCH = 10, 256
SETTINGS = {"storage_compatibility_version": "v1.4.0"}


def run(compute: Compute) -> list[Result]:
    return [one_table(), small_batches()]


def one_table() -> Result:
    """Seconds from the table in memory to a closed file."""
    own, other = [], []
    for _ in range(TURNS):
        for side, found in (("ours", own), ("bare", other)):
            found.append(output_of([sys.executable, "-m", "tests.benchmarks.store_ingest", side]))
    sizes = [side[0]["file_mb"] for side in (own, other)]
    rate = ROWS / sorted(turn["seconds"] for turn in own)[TURNS // 2]
    return compare(
        "store_ingest",
        [(a["seconds"], b["seconds"]) for a, b in zip(own, other, strict=True)],
        "seconds",
        f"duckdb-{duckdb.__version__}",
        GOAL,
        peaks_gb=(max(t["peak_gb"] for t in own), max(t["peak_gb"] for t in other)),
        detail=f"{ROWS} judgements as an Arrow table of {own[0]['table_mb']:.0f} MB, "
        f"{rate:,.0f} rows/s; files of {sizes[0]:.0f} and {sizes[1]:.0f} MB; memory with the table",
    )


def small_batches() -> Result:
    """Each batch its own transaction and connection on both sides."""

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

    detail = f"{BATCHES} batches of {BATCH} judgements, into a new store"
    return ratio("store_ingest", ours, "bare DuckDB", theirs, detail=detail)


def million() -> pa.Table:
    """Judgements with the words they were read from, made by DuckDB as fast as it can."""
    sql = f"""
        SELECT md5(i::VARCHAR)[:20] AS id, md5((i // 8)::VARCHAR)[:20] AS prompt_id,
            'rubric' AS judge, 'rubric-' || i % 5 AS judge_version,
            md5((i // 2)::VARCHAR)[:20] AS candidate_id, NULL::VARCHAR AS opponent_id,
            'alone' AS presented, 'scored' AS outcome, i % 100 / 100 AS score,
            NULL::DOUBLE AS probability,
            'Grounded in the text, but ' || md5((i + 1)::VARCHAR) || '. Score: ' || i % 100
                AS raw_output,
            'because of ' || md5((i + 2)::VARCHAR) AS reason,
            [md5((i + 3)::VARCHAR)[:20]] AS response_ids, i % 7 / 7 AS latency_seconds,
            i % 900 AS prompt_tokens, i % 90 AS completion_tokens, 0.0::DOUBLE AS cost_usd,
            '' AS attempt
        FROM range({ROWS}) AS numbers(i)
    """
    return duckdb.connect().sql(sql).to_arrow_table()


def ingest(side: str, folder: Path) -> dict[str, float]:
    table = million()
    path = folder / "solon.duckdb"
    if side == "ours":
        store = Store(path)
        started = time.perf_counter()
        assert store.append_table(Judgement, table) == ROWS
    else:
        with duckdb.connect(path, config=SETTINGS) as connection:
            connection.register("batch", table)
            connection.execute("CREATE TABLE judgements AS FROM batch LIMIT 0")
        started = time.perf_counter()
        with duckdb.connect(path, config=SETTINGS) as connection:
            connection.register("batch", table)
            connection.execute("INSERT INTO judgements FROM batch")
    return {
        "seconds": time.perf_counter() - started,
        "file_mb": path.stat().st_size / 1e6,
        "table_mb": table.nbytes / 1e6,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(ingest(sys.argv[1], Path(folder))))
