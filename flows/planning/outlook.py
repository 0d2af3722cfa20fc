"""Whether a run can come to a decision, and what a policy must then show: known before it runs."""

from collections.abc import Sequence

from judges.panel.panel import Panelist
from rlhf_core.config import Config
from rlhf_core.evaluation.intervals import least_mean
from rlhf_core.records import Prompt, Split


def decision_ahead(
    config: Config, prompts: Sequence[Prompt], deciding: Panelist
) -> tuple[float | None, str]:
    """Return the least win rate that can be promoted, and a sentence about it.

    The rate is None where no decision is possible. A prompt that the judge turns out to have no
    opinion on counts here and not there.

    Args:
        config: Of the run.
        prompts: All of its prompts.
        deciding: The judge that decides.
    """
    settings, name = config.promotion, deciding.settings.name
    held_out = [prompt for prompt in prompts if prompt.split is Split.HOLDOUT]
    judged = sum(prompt.mode in deciding.settings.modes for prompt in held_out)
    if judged < settings.min_prompts:
        return None, (
            f"NO DECISION IS POSSIBLE: {name} can score {judged} held-out prompts, fewer than "
            f"promotion.min_prompts = {settings.min_prompts}; hold out more (prompts.holdout), or "
            "lower the minimum"
        )
    least = least_mean(judged, settings.win_rate_above, settings.confidence)
    if least is None:
        return None, (
            f"NO DECISION IS POSSIBLE: winning all of {judged} held-out prompts does not show a "
            f"win rate above {settings.win_rate_above:.1%}; lower promotion.win_rate_above"
        )
    return least, (
        f"{name} decides on {judged} held-out prompts: to be promoted, a policy that wins or loses "
        f"each of them whole must win {least:.1%}"
    )
