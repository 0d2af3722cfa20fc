"""Settings beside fine-tuning itself: which of its weights are kept."""

from rlhf_core.config.base import PositiveInt, Settings


class SelectionSettings(Settings):
    """Keep the weights whose answers a reward model likes best (arXiv:2203.02155, section 3.5)."""

    reward_model: str
    """Id of a reward model among this project's models (reward-…), its folder, or the folder or hub
    id of a sequence classifier with one output. It reads prompts with `policy.system_prompt`, and a
    reward model of Solon's needs the model it was trained on where it was then."""
    every_epochs: PositiveInt = 1
    """Epochs from one trial to the next; the last weights are tried in any case."""
    prompts: PositiveInt = 32
    """Prompts of the training split that are answered in a trial, by `sampling`'s temperature and
    length. A hash draws them, and fine-tuning does not see them."""
