"""Rewards a right answer, forgives "I don't know", and punishes a wrong one."""

import json
from collections.abc import Sequence
from dataclasses import replace

from pydantic import model_validator

from judges import load
from judges.panel.judge import Answer, Opinion, PointwiseJudge, Workload, abstains, scored
from judges.panel.ledger import Ledger
from rlhf_core.config import JudgeSettings, Settings
from rlhf_core.config.base import Share
from rlhf_core.errors import ConfigError
from rlhf_core.text.declining import declines


class AbstentionOptions(Settings):
    judge: JudgeSettings = JudgeSettings(kind="similarity")
    """The judge that decides if an answer is right: kind and options of a judge that scores
    answers alone against the prompt's reference answers."""
    threshold: Share = 0.8
    """Score of that judge from which an answer is right."""
    right: float = 1.0
    """Reward of a right answer, and of declining a question whose reference declines too."""
    declined: float = -0.1
    """Reward of an answer that declines to answer: "I don't know"."""
    wrong: float = -1.0
    """Reward of a wrong answer."""

    @model_validator(mode="after")
    def _rewards_are_in_order(self) -> "AbstentionOptions":
        if not self.wrong <= self.declined <= self.right or self.wrong == self.right:
            raise ValueError("rewards must rise from `wrong` through `declined` to `right`")
        return self


class AbstentionJudge(PointwiseJudge[AbstentionOptions]):
    """Scores the reward, scaled so that the lowest is 0 and the highest 1.

    If a reference answer declines too (nobody knows), declining is right; if all of them do, any
    answer is wrong. The raw output holds the reward itself and how it was reached.
    """

    Options = AbstentionOptions
    code = "1"

    def __init__(self, options: AbstentionOptions, ledger: Ledger | None = None) -> None:
        super().__init__(options, ledger)
        judge = load(options.judge, ledger)
        if not isinstance(judge, PointwiseJudge):
            raise ConfigError(
                f"judge 'abstention': its judge must score answers alone, which {judge.kind!r} "
                "does not; similarity and verifier do"
            )
        self._judge: PointwiseJudge[Settings] = judge

    def models(self) -> tuple[str, ...]:
        return self._judge.models()

    def check_machine(self) -> None:
        self._judge.check_machine()

    def check(self) -> None:
        self._judge.check()

    def preflight(self) -> None:
        self._judge.preflight()

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        return self._judge.workload(prompt_tokens, answer_tokens)

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        comparable = [_comparable(answer) for answer in answers]
        compared = iter(self._judge.score([answer for answer in comparable if answer is not None]))
        return [
            self._decide(answer, next(compared) if other else None)
            for answer, other in zip(answers, comparable, strict=True)
        ]

    def _decide(self, answer: Answer, compared: Opinion | None) -> Opinion:
        references = answer.prompt.reference_answers
        if not references:
            return abstains("the prompt has no reference answer")
        if compared is not None and compared.score is None:
            return compared
        declined = declines(answer.text)
        if declined:
            is_right = any(declines(reference) for reference in references)
        else:
            is_right = compared is not None and (compared.score or 0.0) >= self.options.threshold
        reward = self.options.right if is_right else self.options.wrong
        if declined and not is_right:
            reward = self.options.declined
        made_of = {
            "declines": declined,
            "right": is_right,
            "answerable": any(not declines(reference) for reference in references),
            "reward": reward,
            "compared": compared.score if compared else None,
        }
        verdict = scored(self._scaled(reward), raw_output=json.dumps(made_of))
        record = compared or verdict  # which holds the costs of the comparison
        return replace(record, score=verdict.score, raw_output=verdict.raw_output)

    def _scaled(self, reward: float) -> float:
        return (reward - self.options.wrong) / (self.options.right - self.options.wrong)


def _comparable(answer: Answer) -> Answer | None:
    """Return the answer without references that decline; None if there is nothing to compare."""
    if declines(answer.text):
        return None
    references = tuple(text for text in answer.prompt.reference_answers if not declines(text))
    if not references:
        return None
    prompt = answer.prompt.model_copy(update={"reference_answers": references})
    return replace(answer, prompt=prompt)


JUDGE = AbstentionJudge
