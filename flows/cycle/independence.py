"""Judges that train never evaluate. Judges are compared by identity, not by their spelling.

Two entries are the same judge if their versions agree: explicit defaults, an address, a batch size
or another name for the same model make no difference. A jury stands for each of its members. One
function of the user's is one judge, whatever its arguments: what they change, only its code knows.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flows.cycle.selection import selecting_judge
from judges import Judge, load
from judges.functions.judge import FunctionJudge
from rlhf_core.config import Config
from rlhf_core.config.tree import held_out_judges, rewarding_judges
from rlhf_core.errors import ConfigError, ModelNotFoundError
from rlhf_core.models.loading import locate
from rlhf_core.store import Store, queries


def refuse_judging_trainers(
    config: Config, store: Store | None = None, models: Sequence[str] = ()
) -> None:
    """Refuse a config in which an evaluating judge, or a member of one, takes part in training.

    Args:
        config: Config of the run.
        store: Store with the models trained so far.
        models: Ids of the models that training continues from, or that are evaluated.

    Raises:
        ConfigError: With the judge, its part in training, and the mend.
    """
    trained: dict[str, str] = {}
    if store is not None:
        for version, model in queries.judges_behind(store, models).items():
            trained[version] = f"a judge that took part in the training of {model}"
    for where, judge in _trainers(config):
        for one in _with_members(judge):
            trained |= dict.fromkeys(_identities(one), f"the same judge as {where}")
    for settings in held_out_judges(config):
        place = "guard.judge" if settings is config.guard.judge else "evaluation.judges"
        judge = load(settings)
        for one in _with_members(judge):
            reason = next((trained[name] for name in _identities(one) if name in trained), None)
            if reason is None and store is not None:
                reason = _reward_model_reason(store, one, models, trained)
            if reason is not None:
                named = settings.name if one is judge else f"{settings.name}: {one.version}"
                raise ConfigError(
                    f"{place}: {named!r} is {reason}; a policy is evaluated only by "
                    "judges that took no part in its training. Name another judge, or set the "
                    "weight of the training one to 0"
                )


def _reward_model_reason(
    store: Store, judge: Judge[Any], models: Sequence[str], trained: Mapping[str, str]
) -> str | None:
    """Return why a judge with a reward model of the store takes part in training, or None."""
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
    """Yield every judge that takes part in training, with its place in the config."""
    places = {
        "judges": config.judges,
        "guard.repair_judges": config.guard.repair_judges or (),
        "training.reward.judges": rewarding_judges(config.training),
    }
    if config.sft.abstention is not None:
        places["sft.abstention.judge"] = (config.sft.abstention.judge,)
    for place, entries in places.items():
        for settings in entries:
            if settings.weight > 0:
                yield f"{settings.name!r} of {place}", load(settings)
    selecting = selecting_judge(config)
    if selecting is not None:
        yield "the reward model of sft.selection", selecting


def _with_members(judge: Judge[Any]) -> Iterator[Judge[Any]]:
    """Yield a judge and its members, at any depth."""
    yield judge
    for member in judge.members():
        yield from _with_members(member)


def _identities(judge: Judge[Any]) -> list[str]:
    """Return the names by which a judge is known; judges that share one are the same judge.

    They are its version, its version with its local model named by the resolved folder, and the
    user's function that it calls.
    """
    if isinstance(judge, FunctionJudge):
        return [judge.version, f"function {judge.options.function}"]
    model = getattr(judge.options, "model", None)
    if not isinstance(model, str) or ":" in model:
        return [judge.version]
    try:
        place = locate(model)
    except ModelNotFoundError:  # the judge's own check reports it
        return [judge.version]
    return [
        judge.version,
        type(judge)(judge.options.model_copy(update={"model": place})).version,
    ]
