"""A store of 10 M judgements and 2 M pairs, made inside DuckDB; what the views are timed on.

27,778 prompts, two models, nine answers each: 500,004 candidates and 2,000,016 pairs. Two judges
compare (4 M judgements each), three score, one of them in two versions (0.5 M each). Ids are 20
hexadecimal digits, as real ones, and rows lie in the order in which ten runs would have added them.
"""

import os
import sys
from pathlib import Path

import duckdb

from rlhf_core.store import Store

PROMPTS, MODELS, PARTS = 27_778, 2, 5
SCALE_VARIABLE = "SOLON_BENCH_STORE_SCALE"
SCRIPTS = Path(__file__).parent


def make_store(path: Path) -> Path:
    """Fill a new store, of a share of the prompts if the environment says so; its snapshot."""
    store = Store(path, run_id="bench")
    prompts = max(PARTS, round(PROMPTS * float(os.environ.get(SCALE_VARIABLE, "1"))))
    with duckdb.connect(str(path)) as connection:
        connection.execute((SCRIPTS / "big_store_macros.sql").read_text())
        for run in range(MODELS * PARTS):
            part = run % PARTS
            variables = {
                "run": run,
                "model": run // PARTS,
                "first": prompts * part // PARTS,
                "last": prompts * (part + 1) // PARTS,
            }
            for name, value in variables.items():
                connection.execute(f"SET VARIABLE {name} = {value}")
            connection.execute((SCRIPTS / "big_store_run.sql").read_text())
        connection.execute("CHECKPOINT")
    return store.publish()


if __name__ == "__main__":
    make_store(Path(sys.argv[1]))
