"""The reward model that chooses fine-tuned weights."""

from pathlib import Path

from judges.reward_model import RewardModelJudge, RewardModelOptions
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError, IdError, ModelNotFoundError
from rlhf_core.store.ids import whole_id

KEY = "sft.selection"


def selecting_judge(config: Config) -> RewardModelJudge | None:
    """The reward model that chooses, before it is loaded; None where nothing is chosen.

    Raises:
        ConfigError: If it is not there, or the model that it was trained on is not, or it is no
            reward model.
    """
    settings = config.sft.selection
    if settings is None:
        return None
    name = located(settings.reward_model, config.artifacts / "models")
    options = RewardModelOptions(model=name, system_prompt=config.policy.system_prompt)
    judge = RewardModelJudge(options)
    try:
        judge.check()
    except ModelNotFoundError as error:
        raise ConfigError(f"{KEY}.reward_model: {error}") from None
    return judge


def located(name: str, models: Path) -> str:
    """The folder of a reward model of ours by its id, or how that begins; any other name as it is.

    Raises:
        ConfigError: If it can be none but ours, and is not there, or may be several.
    """
    if (models / name).is_dir():
        return str(models / name)
    if "/" in name:
        return name
    ours = [folder.name for folder in models.glob("reward-*") if folder.is_dir()]
    try:
        return str(models / whole_id(name, ours, "reward model"))
    except IdError as error:
        raise ConfigError(
            f"{KEY}.reward_model: no reward model {name!r} in {models} ({error}); name the id of "
            "one there, a folder, or the hub id of a classifier with one output"
        ) from None
