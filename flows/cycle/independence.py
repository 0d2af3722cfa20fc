"""Judges that train never evaluate: found by what they are, not by how a config spells them.

Two entries are one judge when their versions agree: defaults spelt out, an address, a batch size or
another name for the same model change nothing. A jury is each of its members.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flows.cycle.selection import selecting_judge
from judges import Judge, load
from rlhf_core.config import Config
from rlhf_core.config.tree import rewarding_judges
from rlhf_core.errors import ConfigError, ModelNotFoundError
from rlhf_core.models.loading import locate
from rlhf_core.store import Store, queries


def refuse_judging_trainers(
    config: Config, store: Store | None = None, models: Sequence[str] = ()
) -> None:
    """Refuse a config of whose evaluating judges one, or a member of one, has a say in training.

    Args:
        config: Of the run.
        store: Where the models are that were trained before.
        models: Ids of those that training goes on from, or that are evaluated.

    Raises:
        ConfigError: With the judge, what it trains, and what would be right.
    """
    trained: dict[str, str] = {}
    if store is not None:
        for version, model in queries.judges_behind(store, models).items():
            trained[version] = f"one that had a say in the training of {model}"
    for where, judge in _trainers(config):
        for one in _within(judge):
            trained |= dict.fromkeys((one.version, _identity(one)), f"the same judge as {where}")
    for settings in config.evaluation.judges:
        judge = load(settings)
        for one in _within(judge):
            said = trained.get(_identity(one)) or trained.get(one.version)
            if said is None and store is not None:
                said = _taught(store, one, models, trained)
            if said is not None:
                named = settings.name if one is judge else f"{settings.name}: {one.version}"
                raise ConfigError(
                    f"evaluation.judges: {named!r} is {said}; a policy is evaluated only by judges "
                    "that took no part in its training. Name another judge, or set the weight of "
                    "the training one to 0"
                )


def _taught(
    store: Store, judge: Judge[Any], models: Sequence[str], trained: Mapping[str, str]
) -> str | None:
    """Say how a judge that asks a reward model of the store is one of the trainers, if it is."""
    if judge.members():
        return None
    folders = {name.rstrip("/").rpartition("/")[2] for name in judge.models()}
    for model in sorted(queries.reward_models(store, folders)):
        if model in queries.reward_models_behind(store, models):
            return f"the reward model {model}, which the policy was trained against"
        for version in queries.judges_behind(store, [model]):
            if version in trained:
                return f"the reward model {model}, which learnt from {version}, a training judge"
    return None


def _trainers(config: Config) -> Iterator[tuple[str, Judge[Any]]]:
    """Every judge with a say in training, and its place in the config."""
    places = {"judges": config.judges, "training.reward.judges": rewarding_judges(config.training)}
    if config.sft.abstention is not None:
        places["sft.abstention.judge"] = (config.sft.abstention.judge,)
    for place, entries in places.items():
        for settings in entries:
            if settings.weight > 0:
                yield f"{settings.name!r} of {place}", load(settings)
    selecting = selecting_judge(config)
    if selecting is not None:
        yield "the reward model of sft.selection", selecting


def _within(judge: Judge[Any]) -> Iterator[Judge[Any]]:
    """A judge, and those whose verdicts its own are made of, at any depth."""
    yield judge
    for member in judge.members():
        yield from _within(member)


def _identity(judge: Judge[Any]) -> str:
    """The judge's version with its local model by the place where that lies."""
    model = getattr(judge.options, "model", None)
    if not isinstance(model, str) or ":" in model:
        return judge.version
    try:
        place = locate(model)
    except ModelNotFoundError:  # that is for the judge's own check to say
        return judge.version
    return type(judge)(judge.options.model_copy(update={"model": place})).version
