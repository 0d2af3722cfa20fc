"""Judges that do not answer: asked for before a stage begins, and counted until it ends."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from judges import Ledger
from judges.panel.panel import Panelist
from rlhf_core.config import Config
from rlhf_core.config.judge import JudgeSettings
from rlhf_core.config.tree import JudgingSettings, rewarding_judges
from rlhf_core.endpoints.budget import Budget
from rlhf_core.errors import EndpointError, SilentJudgeError
from rlhf_core.records import Outcome
from rlhf_core.sampling.samplers import EndpointSampler

logger = logging.getLogger(__name__)

SILENT = frozenset({Outcome.UNAVAILABLE, Outcome.UNPARSED})
"""Outcomes that are no verdict, though one was asked for."""


def preflight(config: Config, budget: Budget) -> None:
    """Ask every remote model that a config names one tiny question.

    Args:
        config: Its judges, those of the evaluation and of the reward, the remote sampler and the
            reviser.
        budget: What may be spent; each question counts.

    Raises:
        EndpointError: For the first that does not answer, with its server's words.
        InputError: If a judge or a model is not as it should be.
    """
    from flows.cycle.revision import open_reviser

    ledger = Ledger(budget)
    judges = [*config.judges, *config.evaluation.judges, *rewarding_judges(config.training)]
    if config.sft.abstention is not None:
        judges.append(config.sft.abstention.judge)
    for settings in judges:
        Panelist(settings, ledger).preflight()
    if config.sampling.endpoint is not None:
        endpoint = config.sampling.endpoint
        sampler = EndpointSampler(endpoint, config.policy.system_prompt, config.sampling, budget)
        sampler.preflight()
    if config.revision is not None:
        open_reviser(config.revision, ledger).model.preflight()


def is_too_silent(missing: int, asked: int, limits: JudgingSettings, is_over: bool) -> bool:
    """Return whether too many answers are missing for a stage to go on.

    Until so many questions that the share means something, no number is too many; at the end of a
    stage with fewer, as many may be missing as of so many, but not all.

    Args:
        missing: Questions without a readable answer.
        asked: Questions in all.
        limits: The share that may be missing, and from how many questions on.
        is_over: Whether the stage asks nothing more.
    """
    if not missing or (asked < limits.silent_after and not is_over):
        return False
    is_mute = is_over and missing == asked
    return is_mute or missing > limits.max_silent_share * max(asked, limits.silent_after)


@dataclass
class Attendance:
    """How often a judge was asked in one stage, and how often it had no readable answer."""

    judge: JudgeSettings
    limits: JudgingSettings
    asked: int = 0
    silent: Counter[Outcome] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome, reason: str | None) -> None:
        self.asked += 1
        if outcome in SILENT:
            self.silent[outcome] += 1
            self.reasons[reason or outcome] += 1

    def check(self, is_over: bool) -> None:
        """Stop where too many answers are missing. A judge of weight 0 decides nothing: a warning.

        Args:
            is_over: Whether the stage asks nothing more.

        Raises:
            SilentJudgeError: With the share, the number and the commonest reasons.
        """
        if not is_too_silent(self.silent.total(), self.asked, self.limits, is_over):
            return
        if self.judge.weight > 0:
            raise SilentJudgeError(f"{self}; what was judged is kept: mend it, and run again")
        if is_over:
            logger.warning("%s; its weight is 0, so the run goes on", self)

    def __str__(self) -> str:
        missing = self.silent.total()
        counts = ", ".join(f"{count} {outcome}" for outcome, count in self.silent.most_common())
        said = "; ".join(reason for reason, _ in self.reasons.most_common(2))
        return (
            f"judge {self.judge.name!r} has no verdict on {missing} of {self.asked} "
            f"({missing / self.asked:.0%}; judging.max_silent_share is "
            f"{self.limits.max_silent_share:.0%}): {counts} ({said})"
        )


@dataclass
class MissingAnswers:
    """How often a model that writes was asked in one stage, and why it gave no answer.

    What it leaves out is left out of the training data, and by no means at random: often the
    prompts that are long or hard.
    """

    who: str
    limits: JudgingSettings
    asked: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, asked: int, reasons: Iterable[str]) -> None:
        """Count so many questions, and the reason of each that has no answer."""
        self.asked += asked
        self.reasons.update(reasons)

    def check(self, is_over: bool) -> None:
        """Stop where too many answers are missing, by the limits that judges have.

        Args:
            is_over: Whether the stage asks nothing more.

        Raises:
            EndpointError: With the share, the number and the commonest reasons.
        """
        missing = self.reasons.total()
        if not is_too_silent(missing, self.asked, self.limits, is_over):
            return
        said = "; ".join(reason for reason, _ in self.reasons.most_common(2))
        raise EndpointError(
            f"{self.who} has no answer to {missing} of {self.asked} "
            f"({missing / self.asked:.0%}; judging.max_silent_share is "
            f"{self.limits.max_silent_share:.0%}): {said}; what it wrote is kept: mend it, and run "
            "again"
        )


class RollCall:
    """A judge on a panel in one stage, and the members it asks, each of whom must answer.

    Args:
        panelist: The judge.
        limits: How many verdicts may be missing.
    """

    def __init__(self, panelist: Panelist, limits: JudgingSettings) -> None:
        self.panelist, self.limits = panelist, limits
        self._by_name: dict[str, Attendance] = {}

    def hear(self, said: Iterable[tuple[Outcome, str | None, str | None]]) -> None:
        """Count verdicts: outcome, reason and raw output of each."""
        for outcome, reason, raw_output in said:
            self._attendance(self.panelist.settings).add(outcome, reason)
            for member, its_outcome, its_reason in self.panelist.members_said(raw_output):
                self._attendance(member).add(its_outcome, its_reason)

    def check(self, is_over: bool) -> None:
        """Stop where too many answers are missing, as `Attendance.check` says."""
        for attendance in self._by_name.values():
            attendance.check(is_over)

    def _attendance(self, judge: JudgeSettings) -> Attendance:
        return self._by_name.setdefault(judge.name, Attendance(judge, self.limits))
