"""Every view over 10 M judgements and 2 M pairs: whole, and filtered by what it is asked by.

Whole means every column of every row computed, and none fetched. SOLON_BENCH_STORE_SCALE makes a
share of the store; the goals are for all of it: 1 s filtered, 5 s whole, two cores to itself.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rlhf_core.models.device import Compute
from rlhf_core.store import Snapshot, reading
from tests.benchmarks.result import Result, alone

TURNS = 3
WHOLE_GOAL, FILTERED_GOAL = 5.0, 1.0
FILTERS = {
    "abstention_rates": "model_id = $model",
    "config_changes": "cycle = 2",
    "config_values": "config_hash = $config",
    "dissenting_votes": "pair_id = $pair",
    "duplicate_candidates": "prompt_id = $prompt",
    "duplicate_prompts": "contains(words, 'light')",
    "human_verdicts": "pair_id = $pair",
    "identical_pairs": "pair_id = $pair",
    "judge_agreement": "judge = $version",
    "judge_contests": "left_id = $candidate",
    "judge_costs": "run_id = $run",
    "judge_drift": "judge = 'rubric'",
    "judge_health": "judge_version = $version",
    "judge_human_agreement": "judge = 'rubric'",
    "judge_human_votes": "pair_id = $pair",
    "judge_reliability": "judge_version = $version",
    "judge_summary": "judge_version = $version",
    "judge_votes": "pair_id = $pair",
    "judgement_responses": "candidate_id = $candidate",
    "jury_members": "candidate_id = $candidate",
    "label_drift": "later_pair_id = $pair",
    "length_bias": "mode = 'creative'",
    "length_bias_by_week": "judge_version = $version",
    "model_ancestry": "model_id = $learner",
    "model_judgements": "model_id = $learner",
    "model_judges": "model_id = $learner",
    "model_lineage": "model_id = $model",
    "model_pairs": "pair_id = $pair",
    "model_promotions": "model_id = $learner",
    "model_prompts": "model_id = $learner",
    "model_runs": "model_id = $model",
    "model_sources": "model_id = $learner",
    "near_duplicate_prompts": "prompt_id = $prompt",
    "opinions": "candidate_id = $candidate",
    "over_abstaining": "version = $version",
    "pair_texts": "pair_id = $pair",
    "pair_votes": "pair_id = $pair",
    "position_bias": "judge_version = $version",
    "position_bias_by_week": "judge_version = $version",
    "prompt_models": "prompt_id = $prompt",
    "retracted_judgements": "prompt_id = $prompt",
    "revision_texts": "reviser = 'none'",
    "run_changes": "cycle = 2",
    "run_rows": "run_id = $run",
    "stage_costs": "run_id = $run",
    "standing_judgements": "candidate_id = $candidate",
    "suspicious_judges": "judge_version = $version",
    "tainted_inputs": "model_id = $learner",
    "tainted_models": "model_id = $learner",
    "tainted_pairs": "pair_id = $pair",
    "tainted_rankings": "subject_id = $prompt",
    "unjudged_candidates": "candidate_id = $candidate",
    "unjudged_prompts": "prompt_id = $prompt",
}
VIEWS_SQL = "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY view_name"
VALUES_SQL = """
SELECT pairs.id AS pair, left_id AS candidate, pairs.prompt_id AS prompt, pairs.run_id AS run,
       pairs.config_hash AS config, model_id AS model, judge_versions[1] AS version,
       (SELECT min(model_id) FROM model_inputs) AS learner
FROM pairs JOIN rankings ON rankings.id = ranking_id ORDER BY pairs.id LIMIT 1"""


def run(compute: Compute) -> Iterator[Result]:
    """The store's size, then each view; checks are asked whole alone."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "solon.duckdb"
        # In a process of its own, whose memory is not counted here.
        subprocess.run([sys.executable, "-m", "tests.benchmarks.big_store", path], check=True)
        size = path.stat().st_size / 1e6
        yield alone("store_views", [size], "MB", "the store's file", None)
        with reading(path) as snapshot:
            (values,) = snapshot.query(VALUES_SQL).as_dicts()
            for (view,) in snapshot.query(VIEWS_SQL).rows:
                if view in FILTERS:
                    yield _timed(snapshot, view, FILTERS[view], values)
                yield _timed(snapshot, view, "true", {})
        yield alone("store_views", [_peak_gb()], "GB", "memory at the peak, Python's too", None)


def _timed(snapshot: Snapshot, view: str, where: str, values: dict[str, str]) -> Result:
    """The fastest of some turns: the machine may have other work."""
    sql = f"SELECT count(*), bit_xor(hash(one)) FROM {view} AS one WHERE {where}"
    asked = {name: value for name, value in values.items() if f"${name}" in where}
    turns = []
    for _ in range(TURNS):
        started, worked = time.perf_counter(), time.process_time()
        ((rows, _),) = snapshot.query(sql, asked).rows
        turns.append((time.perf_counter() - started, time.process_time() - worked))
    seconds, cores = min(turns)
    is_whole = where == "true"
    detail = f"{view}{'' if is_whole else f' WHERE {where}'}: {rows:,} rows, {cores:.2f} core-s"
    result = alone("store_views", [seconds], "s", detail, _peak_gb())
    return replace(result, goal=WHOLE_GOAL if is_whole else FILTERED_GOAL)


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
