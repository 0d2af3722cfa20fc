"""Judges that do not answer: a preflight request before a run, and counts during each stage."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from judges import Ledger
from judges.panel.panel import Panelist
from rlhf_core.config import Config
from rlhf_core.config.evaluation import EndpointBaseline
from rlhf_core.config.judge import JudgeSettings
from rlhf_core.config.tree import JudgingSettings, held_out_judges, training_judges
from rlhf_core.endpoints.budget import Budget
from rlhf_core.errors import EndpointError, SilentJudgeError
from rlhf_core.records import Outcome
from rlhf_core.sampling.candidates import EndpointSampler

logger = logging.getLogger(__name__)

SILENT = frozenset({Outcome.UNAVAILABLE, Outcome.UNPARSED})
"""Outcomes of a judgement that was requested and has no verdict."""


def preflight(config: Config, budget: Budget) -> None:
    """Send one tiny request to every remote model that a config names.

    These are the models of all judges, the remote sampler and the reviser.

    Args:
        config: Config of the run.
        budget: Limit on the cost, to which each request adds.

    Raises:
        EndpointError: If a model does not answer; with the message of its server.
        InputError: If a judge or a model is misconfigured.
    """
    from flows.cycle.outside import remote_baseline
    from flows.cycle.revision import build_reviser

    ledger = Ledger(budget)
    judges = [*training_judges(config), *held_out_judges(config)]
    if config.sft.abstention is not None:
        judges.append(config.sft.abstention.judge)
    for settings in judges:
        Panelist(settings, ledger).preflight()
    if config.sampling.endpoint is not None:
        endpoint = config.sampling.endpoint
        sampler = EndpointSampler(endpoint, config.policy.system_prompt, config.sampling, budget)
        sampler.preflight()
    baseline = config.evaluation.baseline
    if isinstance(baseline, EndpointBaseline):
        remote_baseline(config, baseline, budget).preflight()
    if config.revision is not None:
        build_reviser(config.revision, ledger).model.preflight()


def is_too_silent(missing: int, requests: int, limits: JudgingSettings, is_over: bool) -> bool:
    """Return True if too many replies are missing for a stage to continue.

    Fewer than `silent_after` requests decide nothing until the stage ends, because their share
    means little. At the end of a stage with fewer requests, the limit is the share of
    `silent_after`, and not all replies may be missing.

    Args:
        missing: Requests without a readable reply.
        requests: Number of requests.
        limits: The share that may be missing, and the number of requests from which it holds.
        is_over: True if the stage sends no more requests.
    """
    if not missing or (requests < limits.silent_after and not is_over):
        return False
    is_mute = is_over and missing == requests
    return is_mute or missing > limits.max_silent_share * max(requests, limits.silent_after)


@dataclass
class SilenceCounter:
    """Counts the requests to a judge in one stage, and its missing or unreadable replies."""

    judge: JudgeSettings
    limits: JudgingSettings
    requests: int = 0
    silent: Counter[Outcome] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome, reason: str | None) -> None:
        self.requests += 1
        if outcome in SILENT:
            self.silent[outcome] += 1
            self.reasons[reason or outcome] += 1

    def check(self, is_over: bool) -> None:
        """Stop the stage if too many replies are missing; only warn if the judge's weight is 0.

        Args:
            is_over: True if the stage sends no more requests.

        Raises:
            SilentJudgeError: With the share, the number and the most frequent reasons.
        """
        if not is_too_silent(self.silent.total(), self.requests, self.limits, is_over):
            return
        if self.judge.weight > 0:
            raise SilentJudgeError(f"{self}; its verdicts are kept: fix the cause, and run again")
        if is_over:
            logger.warning("%s; its weight is 0, so the run continues", self)

    def __str__(self) -> str:
        missing = self.silent.total()
        counts = ", ".join(f"{count} {outcome}" for outcome, count in self.silent.most_common())
        reasons = "; ".join(reason for reason, _ in self.reasons.most_common(2))
        return (
            f"judge {self.judge.name!r} has no verdict on {missing} of {self.requests} "
            f"({missing / self.requests:.0%}; judging.max_silent_share is "
            f"{self.limits.max_silent_share:.0%}): {counts} ({reasons})"
        )


@dataclass
class MissingAnswers:
    """Counts the requests to a generating model in one stage, and the reasons of missing answers.

    Prompts without an answer are missing from the training data, and not at random: often they are
    the long or hard ones.
    """

    who: str
    limits: JudgingSettings
    requests: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, requests: int, reasons: Iterable[str]) -> None:
        """Count requests, and the reason of each that has no answer."""
        self.requests += requests
        self.reasons.update(reasons)

    def check(self, is_over: bool) -> None:
        """Stop the stage if too many answers are missing; the limits are those of judges.

        Args:
            is_over: True if the stage sends no more requests.

        Raises:
            EndpointError: With the share, the number and the most frequent reasons.
        """
        missing = self.reasons.total()
        if not is_too_silent(missing, self.requests, self.limits, is_over):
            return
        reasons = "; ".join(reason for reason, _ in self.reasons.most_common(2))
        raise EndpointError(
            f"{self.who} has no answer to {missing} of {self.requests} "
            f"({missing / self.requests:.0%}; judging.max_silent_share is "
            f"{self.limits.max_silent_share:.0%}): {reasons}; its answers are kept: fix the cause, "
            "and run again"
        )


class PanelistSilence:
    """Silence counters of a judge on a panel and of its members, in one stage.

    Args:
        panelist: The judge.
        limits: Share of verdicts that may be missing.
    """

    def __init__(self, panelist: Panelist, limits: JudgingSettings) -> None:
        self.panelist, self.limits = panelist, limits
        self._by_name: dict[str, SilenceCounter] = {}

    def count(self, verdicts: Iterable[tuple[Outcome, str | None, str | None]]) -> None:
        """Count verdicts, given as outcome, reason and raw output."""
        for outcome, reason, raw_output in verdicts:
            self._counter(self.panelist.settings).add(outcome, reason)
            for member, its_outcome, its_reason in self.panelist.member_outcomes(raw_output):
                self._counter(member).add(its_outcome, its_reason)

    def check(self, is_over: bool) -> None:
        """Stop the stage if too many replies of the judge or of a member are missing."""
        for counter in self._by_name.values():
            counter.check(is_over)

    def _counter(self, judge: JudgeSettings) -> SilenceCounter:
        return self._by_name.setdefault(judge.name, SilenceCounter(judge, self.limits))
