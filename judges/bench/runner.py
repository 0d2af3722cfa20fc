"""Hearing judges on labelled answers: pairs in both orders, each text once, batch by batch."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from judges.bench.attacks import Injection
from judges.panel.judge import Answer, Contest, Judge, Opinion, PairwiseJudge, Workload
from judges.panel.ledger import Ledger
from judges.panel.registry import load
from rlhf_core.config import JudgeSettings
from rlhf_core.evaluation.verdicts import PairVerdict, TextVerdict, compared
from rlhf_core.files.labelled import LabelledPair, LabelledText
from rlhf_core.records import Outcome

Advance = Callable[[int, float], None]
"""Told of each batch how many questions were answered and what they cost in US dollars."""


@dataclass(frozen=True)
class Spent:
    """What a hearing took; models are loaded within its time."""

    calls: int = 0
    seconds: float = 0.0
    cost_usd: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        mine, theirs = vars(self), vars(other)
        return Spent(**{name: mine[name] + theirs[name] for name in mine})


class Witness:
    """A judge that is heard.

    Args:
        settings: Its entry in the config.
        ledger: What language models were asked before.
        advance: Told of its progress.

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
        self.spent = Spent()
        self._settings = settings
        self._judge: Judge[Any] = load(settings, ledger)

    def without_memory(self) -> "Witness":
        """The same judge, whose models must be asked again; the budget stays the same."""
        ledger = Ledger(self._judge.ledger.budget)
        return Witness(self._settings, ledger, self.advance)

    @property
    def version(self) -> str:
        return self._judge.version

    @property
    def compares(self) -> bool:
        return isinstance(self._judge, PairwiseJudge)

    def check(self) -> None:
        self._judge.check()

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        return self._judge.workload(prompt_tokens, answer_tokens)

    def hear(self, entries: Sequence[Any]) -> list[Any]:
        """What it makes of pairs or texts, one verdict each; what that took is in `spent`.

        Args:
            entries: All LabelledPair, or all LabelledText, which a judge that compares cannot be
                asked about.
        """
        self.spent = Spent()
        if self.compares:
            opinions = self._ask([contest for pair in entries for contest in contests(pair)])
            return [_of_orders(*opinions[2 * n : 2 * n + 2]) for n in range(len(entries))]
        found = self._score(
            [Answer(entry.prompt, text) for entry in entries for text in entry.texts]
        )
        if entries and isinstance(entries[0], LabelledPair):
            scale = self._settings.scale
            both = [found[2 * n : 2 * n + 2] for n in range(len(entries))]
            return [_of_scores(first, second, scale) for first, second in both]
        return [TextVerdict(opinion.outcome, opinion.score) for opinion in found]

    def _score(self, answers: Sequence[Answer]) -> list[Opinion]:
        """An opinion on each answer; what stands there twice is asked once."""
        keys = [_key(answer) for answer in answers]
        distinct = dict(zip(keys, answers, strict=True))
        found = dict(zip(distinct, self._ask(list(distinct.values())), strict=True))
        return [found[key] for key in keys]

    def _ask(self, questions: Sequence[Any]) -> list[Opinion]:
        """The one place where a labelled answer reaches a judge."""
        judge: Any = self._judge
        found: list[Opinion] = []
        for start in range(0, len(questions), judge.batch):
            batch = questions[start : start + judge.batch]
            began = time.perf_counter()
            opinions = judge.compare(batch) if self.compares else judge.score(batch)
            spent = _spent(opinions, time.perf_counter() - began)
            self.spent += spent
            self.advance(len(batch), spent.cost_usd)
            found += opinions
        return found


def contests(pair: LabelledPair) -> list[Contest]:
    """A pair in both orders."""
    return [
        Contest(pair.prompt, pair.first, pair.second),
        Contest(pair.prompt, pair.second, pair.first),
    ]


def question_count(
    compares: bool, pairs: Sequence[LabelledPair], texts: Iterable[LabelledText]
) -> int:
    """How many questions hearing a judge takes."""
    if compares:
        return 2 * len(pairs)
    answers = [Answer(pair.prompt, text) for pair in pairs for text in pair.texts]
    answers += [Answer(text.prompt, text.answer) for text in texts]
    return len({_key(answer) for answer in answers})


def attacked(pair: LabelledPair, attack: Injection) -> LabelledPair:
    """The pair with the worse answer changed by an attack, which has `apply(text)`."""
    if pair.target > 0.5:
        return replace(pair, second=attack.apply(pair.second))
    return replace(pair, first=attack.apply(pair.first))


def _key(answer: Answer) -> tuple[str, str]:
    return answer.prompt.id, answer.text


def _of_orders(shown_first: Opinion, shown_second: Opinion) -> PairVerdict:
    missing = _missing(shown_first, shown_second)
    return compared(shown_first.probability, shown_second.probability, missing)


def _of_scores(first: Opinion, second: Opinion, scale: float) -> PairVerdict:
    return compared(first.score, second.score, _missing(first, second), scale)


def _missing(*opinions: Opinion) -> Outcome | None:
    """Why there is no verdict."""
    silent = (Outcome.UNAVAILABLE, Outcome.UNPARSED, Outcome.ABSTAINS)
    return next((kind for kind in silent for o in opinions if o.outcome is kind), None)


def _spent(opinions: Sequence[Opinion], seconds: float) -> Spent:
    return Spent(
        calls=len(opinions),
        seconds=seconds,
        cost_usd=sum(opinion.cost_usd for opinion in opinions),
        prompt_tokens=sum(opinion.prompt_tokens for opinion in opinions),
        completion_tokens=sum(opinion.completion_tokens for opinion in opinions),
    )
