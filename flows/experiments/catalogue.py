"""The experiments by name."""

from collections.abc import Mapping

from flows.experiments.experiment import Experiment
from flows.experiments.k_wise import K_WISE
from rlhf_core.errors import InputError

EXPERIMENTS: Mapping[str, Experiment] = {each.name: each for each in (K_WISE,)}


def find_experiment(name: str) -> Experiment:
    """Return the experiment of a name.

    Raises:
        InputError: If there is none; the message lists all names.
    """
    if name not in EXPERIMENTS:
        raise InputError(f"no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
