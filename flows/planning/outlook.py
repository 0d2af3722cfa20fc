"""The win rate that the coming decision on promotion can show, known before the run."""

from collections.abc import Sequence
from dataclasses import dataclass

from judges.panel.panel import Panelist
from rlhf_core.config import Config
from rlhf_core.config.evaluation import PromotionSettings
from rlhf_core.evaluation.power import (
    POWER,
    detectable_win_rate,
    least_prompts,
    least_win_rate,
)
from rlhf_core.evaluation.spending import confidence_in_words, level_of
from rlhf_core.evaluation.wear import Wear, describe_wear, wear_of
from rlhf_core.records import Prompt, Split
from rlhf_core.store import Store, line_queries, store_exists


@dataclass(frozen=True)
class Outlook:
    """The coming decision of a line."""

    least_win_rate: float | None
    """Least win rate that it can promote; None if no decision is possible."""
    decision: str
    """The same in words, with the win rate that is promoted with a chance of 80 %."""
    wear: str
    """The error rate that earlier decisions on the held-out prompts spent, in words, or nothing."""


def decision_ahead(config: Config, prompts: Sequence[Prompt], deciding: Panelist) -> Outlook:
    """Return what the coming decision can show.

    Args:
        config: Config of the run.
        prompts: All of its prompts. Prompts on which the judge will abstain count here, though not
            in the decision.
        deciding: The judge that decides.
    """
    modes = deciding.settings.modes
    judged = [each.id for each in prompts if each.split is Split.HOLDOUT and each.mode in modes]
    wear = _wear_so_far(config, judged)
    least, said = _decision(wear, config.promotion, deciding.settings.name)
    return Outlook(least, said, describe_wear(wear, config.promotion))


def _decision(wear: Wear, settings: PromotionSettings, judge: str) -> tuple[float | None, str]:
    """Return the least win rate that can be promoted, and a sentence about it."""
    judged, above = wear.prompts, settings.win_rate_above
    level = level_of(wear.next_decision, 1 - settings.confidence)
    needed = max(settings.min_prompts, least_prompts(above, level) or 0)
    if judged < needed:
        minimum = (
            f"promotion.min_prompts = {needed}; hold out more (prompts.holdout), or lower the "
            "minimum"
            if needed == settings.min_prompts
            else f"the {needed} that decision {wear.next_decision} on the same prompts takes; hold "
            "out fresh ones, by adding prompts to the source"
        )
        return None, (
            f"NO DECISION IS POSSIBLE: {judge} can score {judged} held-out prompts, fewer than "
            f"{minimum}"
        )
    least = least_win_rate(judged, above, level)
    likely = detectable_win_rate(judged, above, level)
    if least is None or likely is None:
        return None, (
            f"NO DECISION IS POSSIBLE: winning all of {judged} held-out prompts does not show a "
            f"win rate above {above:.1%}; lower promotion.win_rate_above"
        )
    return least, (
        f"{judge} decides on {judged} held-out prompts, with {confidence_in_words(level)} "
        f"confidence (decision {wear.next_decision} on them): a win rate of {least:.1%} is the "
        f"least that can show, of prompts won or lost outright; a policy whose true win rate is "
        f"{likely:.1%} is promoted with a chance of {POWER:.0%}"
    )


def _wear_so_far(config: Config, prompt_ids: Sequence[str]) -> Wear:
    """Return how worn some held-out prompts are by the line's decisions."""
    if not store_exists(config.store):
        return wear_of(len(prompt_ids), [])
    return line_queries.holdout_wear(Store(config.store).query, config.name, prompt_ids)
