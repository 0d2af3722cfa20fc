"""The panel: it lists missing judgements, presents candidates to judges and records verdicts.

Judges see batches of texts; they know nothing of candidates, orders or the store. The panel turns
candidates into what a judge sees, and the judge's opinions into Judgement rows.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from judges.panel.judge import (
    NOT_BEGUN,
    Answer,
    Contest,
    Judge,
    Opinion,
    PairwiseJudge,
    Workload,
    abstains,
)
from judges.panel.ledger import Ledger
from judges.panel.registry import load
from rlhf_core.config import JudgeSettings
from rlhf_core.config.judge import DEFAULT_SCALE
from rlhf_core.errors import ConfigError, EndpointError
from rlhf_core.preferences.votes import Combination, Missing
from rlhf_core.records import Candidate, Judgement, Outcome, Presented, Prompt


@dataclass(frozen=True)
class JudgementTask:
    """One judgement to make: of one candidate, or of two in the order they are shown."""

    prompt: Prompt
    candidate: Candidate
    opponent: Candidate | None = None

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The answers that the judge sees, in the order they are shown."""
        shown = (self.candidate,) if self.opponent is None else (self.candidate, self.opponent)
        return tuple(Answer(self.prompt, one.text, one.is_finished) for one in shown)

    @property
    def contest(self) -> Contest | None:
        """The two answers as a pairwise judge sees them; None of one candidate alone."""
        if self.opponent is None:
            return None
        return Contest(
            self.prompt,
            self.candidate.text,
            self.opponent.text,
            self.candidate.is_finished,
            self.opponent.is_finished,
        )

    @property
    def presented(self) -> Presented:
        if self.opponent is None:
            return Presented.ALONE
        is_forward = _place(self.candidate) < _place(self.opponent)
        return Presented.FORWARD if is_forward else Presented.REVERSED


class Panelist:
    """A judge with its config entry.

    Args:
        settings: Its entry in the config.
        ledger: Cache of earlier model replies.

    Raises:
        ConfigError: If the judge or an option is unknown, or an option has no effect.
    """

    def __init__(self, settings: JudgeSettings, ledger: Ledger | None = None) -> None:
        self.settings = settings
        self._judge: Judge[Any] = load(settings, ledger)
        if self.is_pairwise and settings.scale != DEFAULT_SCALE:
            raise ConfigError(
                f"judge {settings.name!r} compares answers and returns probabilities, so `scale` "
                "does nothing; leave it out"
            )

    @cached_property
    def version(self) -> str:
        return self._judge.version

    @property
    def models(self) -> tuple[str, ...]:
        """The models behind its verdicts, as the config names them."""
        return self._judge.models()

    @property
    def batch(self) -> int:
        """Number of judgements to request and store at once; a crash can lose that many."""
        return self._judge.batch

    @property
    def is_pairwise(self) -> bool:
        return isinstance(self._judge, PairwiseJudge)

    @property
    def is_remote(self) -> bool:
        """True if its verdicts may change although its version does not; see Judge.is_remote."""
        return self._judge.is_remote

    def check(self) -> None:
        self._judge.check()

    def preflight(self) -> None:
        """Send each remote model behind it one tiny request, once a run.

        Raises:
            EndpointError: If a server does not answer; the message quotes the server.
        """
        try:
            self._judge.preflight()
        except EndpointError as error:
            raise EndpointError(f"judge {self.settings.name!r}: {error}") from None

    def member_outcomes(
        self, raw_output: str | None
    ) -> list[tuple[JudgeSettings, Outcome, str | None]]:
        """Return the settings, outcome and reason of each member judge, named after this one."""
        own = self.settings.name
        return [
            (member.model_copy(update={"name": f"{own}: {member.name}"}), outcome, reason)
            for member, outcome, reason in self._judge.member_outcomes(raw_output)
        ]

    def calls(self, candidates: int) -> int:
        """Return the number of judgements that ranking so many candidates of a prompt takes."""
        return candidates * (candidates - 1) if self.is_pairwise else candidates

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        return self._judge.workload(prompt_tokens, answer_tokens)

    def missing(
        self, tasks: Sequence[JudgementTask], known: Collection[str]
    ) -> list[JudgementTask]:
        """Return the tasks of its modes whose judgement is not among the known ids, each once."""
        asked = [task for task in tasks if task.prompt.mode in self.settings.modes]
        by_id = {self._record(task, _BLANK, "").id: task for task in asked}
        return [task for identity, task in by_id.items() if identity not in known]

    def judge(self, tasks: Sequence[JudgementTask], attempt: str) -> list[Judgement]:
        """Judge the tasks and return a record of each.

        Args:
            tasks: At most one batch.
            attempt: Names this run, so that a later run can retry an unavailable verdict.
        """
        opinions = self._evaluate(tasks)
        return [self._record(t, o, attempt) for t, o in zip(tasks, opinions, strict=True)]

    def _evaluate(self, tasks: Sequence[JudgementTask]) -> list[Opinion]:
        is_due = [all(answer.has_begun for answer in task.answers) for task in tasks]
        due = [task for task, is_whole in zip(tasks, is_due, strict=True) if is_whole]
        opinions = iter(self._query(due) if due else [])
        return [next(opinions) if is_whole else abstains(NOT_BEGUN) for is_whole in is_due]

    def _query(self, tasks: Sequence[JudgementTask]) -> list[Opinion]:
        if isinstance(self._judge, PairwiseJudge):
            contests = [task.contest for task in tasks if task.contest is not None]
            return self._judge.compare(contests)
        answers = [task.answers[0] for task in tasks]
        opinions: list[Opinion] = self._judge.score(answers)  # type: ignore[attr-defined]
        return opinions

    def _record(self, task: JudgementTask, opinion: Opinion, attempt: str) -> Judgement:
        return Judgement(
            prompt_id=task.prompt.id,
            judge=self.settings.name,
            judge_version=self.version,
            candidate_id=task.candidate.id,
            opponent_id=task.opponent.id if task.opponent else None,
            presented=task.presented,
            attempt=attempt if opinion.outcome is Outcome.UNAVAILABLE else "",
            **vars(opinion),
        )


_BLANK = Opinion(Outcome.ABSTAINS)


def _place(candidate: Candidate) -> tuple[int, str]:
    return candidate.sample_index, candidate.id


def ranking_tasks(
    panelist: Panelist, prompt: Prompt, candidates: Sequence[Candidate]
) -> list[JudgementTask]:
    """Return the tasks that rank these candidates: each alone, or every pair in both orders.

    Args:
        panelist: Its judge decides between single candidates and pairs.
        prompt: The prompt of all candidates.
        candidates: The candidates to rank.
    """
    if not panelist.is_pairwise:
        return [JudgementTask(prompt, candidate) for candidate in candidates]
    return [
        JudgementTask(prompt, one, other)
        for one in candidates
        for other in candidates
        if one is not other
    ]


def combination(
    panelists: Sequence[Panelist], tie_margin: float, missing: Missing = "unscored"
) -> Combination:
    """Return the rule that combines the panel's judgements; only judges with a weight decide.

    Args:
        panelists: The judges.
        tie_margin: Margin up to which two candidates are tied.
        missing: Treatment of pairs on which a judge with a weight has no verdict yet.
    """
    judges = [(p.version, p.settings.weight, p.settings.scale) for p in panelists]
    return Combination.of(judges, tie_margin, missing)
