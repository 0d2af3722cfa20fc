"""Agreement of judges with people, and of people with each other."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from rlhf_core.evaluation.agreement import cohen_kappa, krippendorff_alpha, nominal
from rlhf_core.evaluation.shares import Share, share
from rlhf_core.records import HumanVerdict

LABEL = "final label"
Vote = Mapping[str, Any]
"""A row of the view judge_human_votes, with the prompt's mode and the week of the check."""


@dataclass(frozen=True)
class JudgeAgreement:
    """Agreement of one judge version, or of the final label, with people."""

    judge: str
    """The judge's name; "final label" for the result of all judges together."""
    judge_version: str | None
    facet: str
    """A week, mode or strategy; empty for all."""
    checks: int
    """Number of people's verdicts on pairs that the judge has a vote on."""
    agreement: Share | None
    """Agreement where both prefer one answer; None if there is no such verdict."""


@dataclass(frozen=True)
class PeopleAgreement:
    """Agreement of two people on their common pairs; the answers are left, right and tie."""

    person: str
    other: str
    agreement: Share
    kappa: float | None
    """Cohen's kappa; None if it is undefined."""


def judge_agreements(
    votes: Iterable[Vote], facet_of: Callable[[Vote], str] = lambda _: ""
) -> list[JudgeAgreement]:
    """Return the agreement by judge version and facet; verdicts on one prompt are a cluster.

    Args:
        votes: Votes in the order that the judges should have.
        facet_of: Returns the facet of a vote, as in `lambda vote: vote["week"]`.
    """
    groups: defaultdict[tuple[str, str, str | None], list[Vote]] = defaultdict(list)
    for vote in votes:
        judge = LABEL if vote["source"] == "label" else vote["judge"]
        groups[facet_of(vote), judge, vote["judge_version"]].append(vote)
    ordered = sorted(groups.items(), key=lambda group: group[0][0])
    return [
        JudgeAgreement(judge, version, facet, len(own), _share(own))
        for (facet, judge, version), own in ordered
    ]


def _share(votes: Sequence[Vote]) -> Share | None:
    decided = [vote for vote in votes if vote["agrees"] is not None]
    return share([vote["agrees"] for vote in decided], [vote["prompt_id"] for vote in decided])


def people_agreements(
    verdicts: Iterable[Mapping[str, Any]],
) -> tuple[list[PeopleAgreement], float | None]:
    """Return the agreement of every two people with common pairs, and Krippendorff's alpha of all.

    Args:
        verdicts: Rows of the view human_verdicts; "unsure" is no answer.

    Returns:
        The agreements, and alpha, which is None if no pair has two answers or all are equal.
    """
    answers_of: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    prompts: dict[tuple[str, str], Hashable] = {}
    for row in verdicts:
        pair = row["left_id"], row["right_id"]
        prompts[pair] = row["prompt_id"]
        if row["verdict"] != HumanVerdict.UNSURE:
            answers_of[pair][row["person"]] = row["verdict"]
    people = sorted({person for answers in answers_of.values() for person in answers})
    agreements = []
    for one, other in combinations(people, 2):
        common = [
            pair for pair, answers in answers_of.items() if one in answers and other in answers
        ]
        ours, theirs = [answers_of[p][one] for p in common], [answers_of[p][other] for p in common]
        alike = [float(a == b) for a, b in zip(ours, theirs, strict=True)]
        agreement = share(alike, [prompts[pair] for pair in common])
        if agreement is not None:
            agreements.append(PeopleAgreement(one, other, agreement, cohen_kappa(ours, theirs)))
    return agreements, krippendorff_alpha([list(a.values()) for a in answers_of.values()], nominal)
