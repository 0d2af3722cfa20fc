"""The win rate that a promotion takes, and whether a decision is possible, before the run."""

from collections.abc import Sequence

from judges.panel.panel import Panelist
from rlhf_core.config import Config
from rlhf_core.evaluation.intervals import least_mean
from rlhf_core.evaluation.wear import describe_wear
from rlhf_core.records import Prompt, Split
from rlhf_core.store import Store, line_queries, store_exists


def decision_ahead(
    config: Config, prompts: Sequence[Prompt], deciding: Panelist
) -> tuple[float | None, str]:
    """Return the least win rate that can be promoted, and a sentence about it.

    Args:
        config: Config of the run.
        prompts: All of its prompts. Prompts on which the judge will abstain count here, though not
            in the decision.
        deciding: The judge that decides.

    Returns:
        The win rate, None if no decision is possible; and the sentence.
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
        f"each of them outright must win {least:.1%}"
    )


def wear_so_far(config: Config, prompts: Sequence[Prompt]) -> str:
    """Return a sentence about the decisions that the held-out prompts took part in already.

    Args:
        config: Config of the run.
        prompts: All of its prompts.

    Returns:
        The sentence; empty before the first decision.
    """
    if not store_exists(config.store):
        return ""
    held_out = [prompt.id for prompt in prompts if prompt.split is Split.HOLDOUT]
    wear = line_queries.holdout_wear(Store(config.store).query, config.name, held_out)
    return describe_wear(wear, config.promotion.decisions_per_holdout)
