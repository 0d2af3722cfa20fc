"""Runs of judges on labelled answers: pairs in both orders, each text once, batch by batch."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from judges.bench.attacks import Injection
from judges.panel.judge import Answer, Contest, Judge, Opinion, PairwiseJudge, Workload
from judges.panel.ledger import Ledger
from judges.panel.registry import load
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import EndpointError
from rlhf_core.evaluation.verdicts import PairVerdict, TextVerdict, pair_verdict
from rlhf_core.files.labelled import LabelledPair, LabelledText
from rlhf_core.records import Outcome

Advance = Callable[[int, float], None]
"""Called after each batch with the number of judgements and their cost in US dollars."""


@dataclass(frozen=True)
class Usage:
    """The cost of a run; the time includes loading models."""

    calls: int = 0
    seconds: float = 0.0
    cost_usd: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        mine, theirs = vars(self), vars(other)
        return Usage(**{name: mine[name] + theirs[name] for name in mine})


class JudgeRun:
    """A judge that runs on labelled answers.

    Args:
        settings: Its entry in the config.
        ledger: Cache of earlier model replies.
        advance: Called after each batch.

    Raises:
        ConfigError: If the judge or an option is unknown.
    """

    def __init__(
        self,
        settings: JudgeSettings,
        ledger: Ledger | None = None,
        advance: Advance = lambda count, cost: None,
    ) -> None:
        self.name = settings.name
        self.advance = advance
        self.usage = Usage()
        self._settings = settings
        self._judge: Judge[Any] = load(settings, ledger)

    def without_cache(self) -> "JudgeRun":
        """Return the same judge with an empty cache and the same budget."""
        ledger = Ledger(self._judge.ledger.budget, compute=self._judge.ledger.compute)
        return JudgeRun(self._settings, ledger, self.advance)

    @property
    def version(self) -> str:
        return self._judge.version

    @property
    def compares(self) -> bool:
        return isinstance(self._judge, PairwiseJudge)

    def check(self) -> None:
        self._judge.check()

    def preflight(self) -> None:
        """Send each remote model behind the judge one tiny request.

        Raises:
            EndpointError: If a server does not answer; the message quotes the server.
        """
        try:
            self._judge.preflight()
        except EndpointError as error:
            raise EndpointError(f"judge {self.name!r}: {error}") from None

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        return self._judge.workload(prompt_tokens, answer_tokens)

    def evaluate(self, entries: Sequence[Any]) -> list[Any]:
        """Judge pairs or texts, record the cost in `usage`, and return one verdict each.

        Args:
            entries: All LabelledPair, or all LabelledText, which a pairwise judge cannot judge.
        """
        self.usage = Usage()
        if self.compares:
            opinions = self._run([contest for pair in entries for contest in both_orders(pair)])
            return [_of_orders(*opinions[2 * n : 2 * n + 2]) for n in range(len(entries))]
        opinions = self._score(
            [Answer(entry.prompt, text) for entry in entries for text in entry.texts]
        )
        if entries and isinstance(entries[0], LabelledPair):
            scale = self._settings.scale
            both = [opinions[2 * n : 2 * n + 2] for n in range(len(entries))]
            return [_of_scores(first, second, scale) for first, second in both]
        return [TextVerdict(opinion.outcome, opinion.score) for opinion in opinions]

    def _score(self, answers: Sequence[Answer]) -> list[Opinion]:
        """Return an opinion on each answer; equal answers are scored once."""
        keys = [_key(answer) for answer in answers]
        distinct = dict(zip(keys, answers, strict=True))
        opinions = dict(zip(distinct, self._run(list(distinct.values())), strict=True))
        return [opinions[key] for key in keys]

    def _run(self, questions: Sequence[Any]) -> list[Opinion]:
        """Pass answers or contests to the judge in batches and add up the cost."""
        judge: Any = self._judge
        results: list[Opinion] = []
        for start in range(0, len(questions), judge.batch):
            batch = questions[start : start + judge.batch]
            began = time.perf_counter()
            opinions = judge.compare(batch) if self.compares else judge.score(batch)
            usage = _usage(opinions, time.perf_counter() - began)
            self.usage += usage
            self.advance(len(batch), usage.cost_usd)
            results += opinions
        return results


def both_orders(pair: LabelledPair) -> list[Contest]:
    """Return a pair in both orders."""
    return [
        Contest(pair.prompt, pair.first, pair.second),
        Contest(pair.prompt, pair.second, pair.first),
    ]


def question_count(
    compares: bool, pairs: Sequence[LabelledPair], texts: Iterable[LabelledText]
) -> int:
    """Return the number of judgements that running a judge on a set takes.

    Args:
        compares: True for a pairwise judge.
        pairs: The labelled pairs of the set.
        texts: The labelled texts of the set.
    """
    if compares:
        return 2 * len(pairs)
    answers = [Answer(pair.prompt, text) for pair in pairs for text in pair.texts]
    answers += [Answer(text.prompt, text.answer) for text in texts]
    return len({_key(answer) for answer in answers})


def apply_attack(pair: LabelledPair, attack: Injection) -> LabelledPair:
    """Return the pair with its worse answer changed by an attack."""
    if pair.target > 0.5:
        return replace(pair, second=attack.apply(pair.second))
    return replace(pair, first=attack.apply(pair.first))


def _key(answer: Answer) -> tuple[str, str]:
    return answer.prompt.id, answer.text


def _of_orders(shown_first: Opinion, shown_second: Opinion) -> PairVerdict:
    missing = _missing(shown_first, shown_second)
    return pair_verdict(shown_first.probability, shown_second.probability, missing)


def _of_scores(first: Opinion, second: Opinion, scale: float) -> PairVerdict:
    return pair_verdict(first.score, second.score, _missing(first, second), scale)


def _missing(*opinions: Opinion) -> Outcome | None:
    """Return the outcome that prevents a verdict; None if there is a verdict."""
    silent = (Outcome.UNAVAILABLE, Outcome.UNPARSED, Outcome.ABSTAINS)
    return next((kind for kind in silent for o in opinions if o.outcome is kind), None)


def _usage(opinions: Sequence[Opinion], seconds: float) -> Usage:
    return Usage(
        calls=len(opinions),
        seconds=seconds,
        cost_usd=sum(opinion.cost_usd for opinion in opinions),
        prompt_tokens=sum(opinion.prompt_tokens for opinion in opinions),
        completion_tokens=sum(opinion.completion_tokens for opinion in opinions),
    )
