"""Length-controlled win rates against AlpacaEval 2's published ones, on its own annotations.

`SOLON_BENCH_ALPACA_EVAL` names a checkout of github.com/tatsu-lab/alpaca_eval. Two files that its
code downloads are not in it, and are restored here:

- the difficulty of each instruction, by the same joint regression over all models, on those whose
  annotations are there and that are older than the published file; its shift and scale, which a
  sample of models leaves open, by the published weights and rates;
- the annotations of the baseline told to be verbose or concise, which steady the length's weight in
  each fit: the probabilities of their published fits on their real lengths.
"""

import csv
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.optimize import least_squares, minimize
from scipy.special import expit

from rlhf_core.evaluation.length_control import (
    PRIOR_DEVIATION,
    length_controlled_win_rate,
    length_feature,
)
from rlhf_core.evaluation.logistic import Floats, fit_logistic
from rlhf_core.models.device import Compute
from tests.benchmarks.result import NotHereError, Result, alone, compare

VARIABLE = "SOLON_BENCH_ALPACA_EVAL"
PEER = "AlpacaEval 2, length_controlled_v1"
JUDGE = "weighted_alpaca_eval_gpt4_turbo"
BASELINE = "gpt4_1106_preview"
GAMED = ("gpt4_1106_preview_verbose", "gpt4_1106_preview_concise")
GAMED_WEIGHT = 0.1
"""Weight of a comparison of a gamed baseline: 0.2 over two of them."""
PUBLISHED = f"src/alpaca_eval/leaderboards/data_AlpacaEval_2/{JUDGE}_leaderboard.csv"
WEIGHTS = f"src/alpaca_eval/metrics/weights/{JUDGE}/length_controlled_v1/baseline_{BASELINE}.csv"
LATER = ("FuseChat-", "NullModel")
"""Models added to the leaderboard long after the difficulties were published."""
WEAK = np.array([0.0, PRIOR_DEVIATION**-2, PRIOR_DEVIATION**-2])


@dataclass(frozen=True)
class Annotations:
    """A model's comparisons with the baseline: result, and length minus the baseline's, (N,)."""

    results: Floats
    differences: Floats

    @property
    def lengths(self) -> Floats:
        return length_feature(self.differences)


@dataclass(frozen=True)
class Published:
    """A model's published rate, 0 to 1, and weights of policy, length and difficulty, (3,)."""

    rate: float
    weights: Floats


def run(compute: Compute) -> list[Result]:
    """Compare the rates of all models whose annotations are there."""
    folder = Path(os.environ.get(VARIABLE) or "missing")
    if not (folder / PUBLISHED).is_file():
        raise NotHereError(f"{VARIABLE} must name a checkout of github.com/tatsu-lab/alpaca_eval")
    published, annotated = _published(folder), _annotated(folder)
    models = [name for name in annotated if name in published]
    difficulty = _difficulty({name: annotated[name] for name in models}, published)
    gamed = _gamed(folder, difficulty, published)
    rates = {name: _rate(annotated[name], difficulty, gamed) for name in models}
    gaps = [100 * abs(rates[name] - published[name].rate) for name in models]
    plain = [100 * abs(_without(annotated[name]) - published[name].rate) for name in models]
    count = f"{len(models)} models"
    return [
        *(_row(name, 100 * rates[name], 100 * published[name].rate) for name in models),
        alone(
            "length_control", [sum(gap <= 1 for gap in gaps)], "models within a point", count, None
        ),
        alone("length_control", [float(np.mean(gaps))], "points of difference, mean", count, None),
        alone("length_control", [max(gaps)], "points of difference, largest", count, None),
        alone(
            "length_control",
            [float(np.mean(plain))],
            "points without difficulty, mean",
            count,
            None,
        ),
    ]


def _row(name: str, ours: float, published: float) -> Result:
    return compare("length_control", [(ours, published)], "%", PEER, detail=name)


def _published(folder: Path) -> dict[str, Published]:
    with (folder / WEIGHTS).open() as file:
        weights = {row[""]: row for row in csv.DictReader(file)}
    with (folder / PUBLISHED).open() as file:
        rates = {row[""]: row["length_controlled_winrate"] for row in csv.DictReader(file)}
    result = {}
    for name, rate in rates.items():
        if rate and name in weights and name != BASELINE:
            length, difficulty, policy = (float(cell) for cell in list(weights[name].values())[1:])
            # AlpacaEval's length is the baseline's minus the model's.
            result[name] = Published(float(rate) / 100, np.array([policy, -length, difficulty]))
    return result


def _annotated(folder: Path) -> dict[str, Annotations]:
    result = {}
    for path in sorted((folder / "results").glob(f"*/{JUDGE}/annotations.json")):
        rows = json.loads(path.read_text())
        results = np.array([row["preference"] - 1 for row in rows])
        lengths = [len(row["output_2"]) - len(row["output_1"]) for row in rows]
        result[path.parent.parent.name] = Annotations(results, np.array(lengths, dtype=float))
    return result


def _difficulty(annotated: Mapping[str, Annotations], published: Mapping[str, Published]) -> Floats:
    """Return the difficulty of each instruction, by its place, as AlpacaEval counts them.

    P(win) = σ(θ_model + φ_model · length + γ_instruction), with a standard normal prior of γ.
    """
    size = max(len(each.results) for each in annotated.values())
    used = [
        each
        for name, each in annotated.items()
        if len(each.results) == size and not name.startswith(LATER)
    ]
    models, ones = len(used), np.ones(len(used) * size)
    model, place = np.repeat(np.arange(models), size), np.tile(np.arange(size), models)
    rows = np.arange(len(ones))
    results = np.concatenate([each.results for each in used])
    lengths = np.concatenate([each.lengths for each in used])
    cells = np.concatenate([ones, lengths, ones])
    columns = np.concatenate([model, models + model, 2 * models + place])
    design = sparse.csr_matrix((cells, (np.tile(rows, 3), columns)))
    precision = np.concatenate([np.full(2 * models, WEAK[1]), np.ones(size)])

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = design @ weights
        nats = np.logaddexp(0, logits) - results * logits
        gradient = design.T @ (expit(logits) - results) + precision * weights
        return float(nats.sum() + precision @ weights**2 / 2), gradient

    start = np.zeros(design.shape[1])
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 3000})
    difficulty = fitted.x[2 * models :]
    weights = np.array([each.weights for each in published.values()])
    rates = np.array([each.rate for each in published.values()])

    def gaps(line: Floats) -> Floats:
        logits = weights[:, :1] + weights[:, 2:] * (line[0] + line[1] * difficulty)
        return np.asarray(expit(logits).mean(axis=1) - rates)

    shift, scale = least_squares(gaps, [0.0, 1.0]).x
    return np.asarray(shift + scale * difficulty)


def _gamed(
    folder: Path, difficulty: Floats, published: Mapping[str, Published]
) -> tuple[Floats, Floats]:
    """Return design and results of the gamed baselines; the policy is the same, so θ is 0."""
    lengths = {}
    for name in (BASELINE, *GAMED):
        answers = json.loads((folder / "results" / name / "model_outputs.json").read_text())
        lengths[name] = np.array([len(answer["output"]) for answer in answers], dtype=float)
    designs, results = [], []
    for name in GAMED:
        feature = length_feature(lengths[name] - lengths[BASELINE])
        design = np.column_stack([np.ones(len(feature)), feature, difficulty])
        results.append(expit(design @ published[name].weights))
        designs.append(design * [0, 1, 1])
    return np.vstack(designs), np.concatenate(results)


def _rate(annotated: Annotations, difficulty: Floats, gamed: tuple[Floats, Floats]) -> float:
    own = difficulty[: len(annotated.results)]
    design = np.column_stack([np.ones(len(own)), annotated.lengths, own])
    weights = np.concatenate([np.ones(len(own)), np.full(len(gamed[1]), GAMED_WEIGHT)])
    fit = fit_logistic(
        np.vstack([design, gamed[0]]),
        np.concatenate([annotated.results, gamed[1]]),
        weights,
        WEAK,
        range(len(weights)),
    )
    theta, _, slope = fit.coefficients
    return float(expit(theta + slope * own).mean())


def _without(annotated: Annotations) -> float:
    """Return the rate by the regression of an evaluation, which knows no difficulty."""
    found = length_controlled_win_rate(
        annotated.results.tolist(),
        annotated.differences.tolist(),
        range(len(annotated.results)),
    )
    assert found is not None, "800 instructions suffice"
    return found.rate
