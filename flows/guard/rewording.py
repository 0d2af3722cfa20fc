"""Held-out answers that judges see again: reworded, or in the other order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from judges.panel.panel import JudgementTask
from rlhf_core.guard.rewording import rewordings
from rlhf_core.records import Candidate, Prompt

Answers = Mapping[str, Sequence[Candidate]]
AnswerPairs = Sequence[tuple[Prompt, Candidate, Candidate]]
"""A prompt each, with an answer of the policy and one of the baseline."""
POLICY, BASELINE = "policy", "baseline"
"""The sides: whose answer is reworded."""
ORDER = "order"
"""The rewording that changes no words: both answers are shown in the other order."""


@dataclass(frozen=True)
class Reworded:
    """An answer with its rewording, and the answer that it is compared with."""

    rewording: str
    side: str
    prompt: Prompt
    answer: Candidate
    opponent: Candidate
    text: str

    @property
    def tasks(self) -> tuple[JudgementTask, JudgementTask]:
        """The comparison as a judge sees it, with the reworded answer first, then second."""
        changed = self.answer.model_copy(update={"text": self.text, "token_ids": None})
        return (
            JudgementTask(self.prompt, changed, self.opponent),
            JudgementTask(self.prompt, self.opponent, changed),
        )


def compared_answers(
    prompts: Sequence[Prompt], policy: Answers, baseline: Answers, limit: int
) -> AnswerPairs:
    """Return two answers to each prompt: the first sample in which the sides differ.

    Args:
        prompts: Held-out prompts.
        policy: Answers of the policy, by prompt id.
        baseline: Answers of the baseline, by prompt id.
        limit: Prompts at most.
    """
    found = []
    for prompt in prompts:
        both = zip(policy[prompt.id], baseline[prompt.id], strict=True)
        differing = [two for two in both if _differ(*two)]
        found += [(prompt, *two) for two in differing[:1]]
    return found[:limit]


def reworded_answers(compared: AnswerPairs) -> list[Reworded]:
    """Return both answers to each prompt in each rewording that changes them."""
    return [
        Reworded(name, side, prompt, answer, other, text)
        for prompt, ours, theirs in compared
        for side, answer, other in ((POLICY, ours, theirs), (BASELINE, theirs, ours))
        for name, text in rewordings(answer.text, answer.is_finished).items()
    ]


def reordered_answers(compared: AnswerPairs, policy: Answers, baseline: Answers) -> list[Reworded]:
    """Return the second answer of each side beside the baseline's first; none of a single sample.

    Args:
        compared: The prompts, with two answers each.
        policy: Answers of the policy, by prompt id.
        baseline: Answers of the baseline, by prompt id.
    """
    found = []
    for prompt, _, _ in compared:
        first, *others = baseline[prompt.id]
        if others:
            sides = ((POLICY, policy[prompt.id][1]), (BASELINE, others[0]))
            found += [
                Reworded(ORDER, side, prompt, answer, first, answer.text)
                for side, answer in sides
                if _differ(answer, first)
            ]
    return found


def _differ(one: Candidate, other: Candidate) -> bool:
    return bool(one.text.strip() and other.text.strip()) and one.text != other.text
