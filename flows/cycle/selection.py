"""The reward model that selects the weights of the fine-tuning."""

from pathlib import Path

from judges.reward_model import RewardModelJudge, RewardModelOptions
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError, IdError, ModelNotFoundError
from rlhf_core.store.ids import whole_id

KEY = "sft.selection"


def selecting_judge(config: Config) -> RewardModelJudge | None:
    """Return the reward model that selects weights, before it is loaded; None without selection.

    Raises:
        ConfigError: If the model or the base that it was trained on is missing, or if it is not a
            reward model.
    """
    settings = config.sft.selection
    if settings is None:
        return None
    name = locate_reward_model(settings.reward_model, config.artifacts / "models")
    options = RewardModelOptions(
        model=name,
        system_prompt=config.policy.system_prompt,
        template_date=config.policy.template_date,
    )
    judge = RewardModelJudge(options)
    try:
        judge.check()
    except ModelNotFoundError as error:
        raise ConfigError(f"{KEY}.reward_model: {error}") from None
    return judge


def locate_reward_model(name: str, models: Path) -> str:
    """Return the folder of a reward model of this project, or the name unchanged if it has a slash.

    Args:
        name: Id of a reward model of this project, a prefix of the id, a folder or a hub id.
        models: Folder of this project's models.

    Raises:
        ConfigError: If a name without a slash matches no reward model, or several.
    """
    if (models / name).is_dir():
        return str(models / name)
    if "/" in name:
        return name
    ids = [folder.name for folder in models.glob("reward-*") if folder.is_dir()]
    try:
        return str(models / whole_id(name, ids, "reward model"))
    except IdError as error:
        raise ConfigError(
            f"{KEY}.reward_model: no reward model {name!r} in {models} ({error}); name the id of "
            "one there, a folder, or the hub id of a classifier with one output"
        ) from None
