"""Settings of the guard against reward hacking."""

from typing import Annotated, Literal

from pydantic import Field

from rlhf_core.config.base import UNLESS_SET, PositiveInt, Settings
from rlhf_core.config.judge import JudgeSettings


class GuardSettings(Settings):
    """The guard watches a policy's answers while it trains, and before it is promoted.

    An alarm is a detector that rose above its threshold, in answers that a held-out judge finds no
    better than those of the model that the training began from.
    """

    action: Annotated[Literal["stop", "report", "off"], UNLESS_SET] = "stop"
    """stop: an alarm ends the training with the weights that the held-out judge liked best, and the
    policy is not promoted. report: alarms are stored and shown, and change nothing. off: nothing is
    watched."""
    false_alarms: Annotated[float, Field(gt=0.0, lt=1.0), UNLESS_SET] = 0.05
    """Bound of the chance of any alarm in a training in which nothing is learnt."""
    judge: Annotated[JudgeSettings | None, UNLESS_SET] = None
    """The held-out judge, which scores the answers of every step; it may not judge training data.
    null: the first of `evaluation.judges`."""
    window: Annotated[PositiveInt, UNLESS_SET] = 3
    """Steps whose answers are looked at together. More steps show smaller changes, and later."""
    repair_judges: Annotated[tuple[JudgeSettings, ...] | None, Field(min_length=1), UNLESS_SET] = (
        None
    )
    """Judges of the answers that raised alarms, from whose comparisons the next reward model
    learns; they may neither evaluate nor be the guard's. null: the judges of the training data,
    which is right if the reward model was exploited and not these judges."""
    repair_answers: Annotated[PositiveInt, UNLESS_SET] = 48
    """Answers of each policy with alarms that these judges compare, at most."""
    repair_rounds: Annotated[int, Field(ge=0), UNLESS_SET] = 3
    """Further trainings of a reward model that still prefers answers of a known hack. Each repeats
    that hack's comparisons twice as often as the one before. After them the cycle stops."""
    reworded_prompts: Annotated[int, Field(ge=0), UNLESS_SET] = 64
    """Held-out prompts whose answers are shown to the judges again before promotion, reworded
    without a change of meaning, at most: an alarm is a judge whose verdicts turn on answers of one
    side. 0 shows none."""
    reworded_judges: Annotated[Literal["free", "all"], UNLESS_SET] = "free"
    """Judges that see them, beside the reward model. free: those of the training data and of the
    reward that run no model. all: those that run a model or ask a server as well, up to 10 times a
    prompt, and 24 times if they compare."""
