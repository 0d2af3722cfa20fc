"""The experiments by name."""

from collections.abc import Mapping

from flows.experiments.abstention import ABSTENTION
from flows.experiments.ai_labels import AI_LABELS
from flows.experiments.algorithms import ALGORITHMS
from flows.experiments.comparison_only import COMPARISON_ONLY
from flows.experiments.constitution import CONSTITUTION_LABELS
from flows.experiments.experiment import Experiment
from flows.experiments.k_wise import K_WISE
from flows.experiments.overoptimisation import OVEROPTIMISATION
from flows.experiments.ptx import PTX
from rlhf_core.errors import InputError

EXPERIMENTS: Mapping[str, Experiment] = {
    each.name: each
    for each in (
        ABSTENTION,
        K_WISE,
        PTX,
        ALGORITHMS,
        OVEROPTIMISATION,
        COMPARISON_ONLY,
        CONSTITUTION_LABELS,
        AI_LABELS,
    )
}


def find_experiment(name: str) -> Experiment:
    """Return the experiment of a name.

    Raises:
        InputError: If there is none; the message lists all names.
    """
    if name not in EXPERIMENTS:
        raise InputError(f"no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
