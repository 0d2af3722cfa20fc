"""How far judges agree with people, and people with each other."""

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
    """How often one judge version, or the final label, sides with people."""

    judge: str
    """The judge's name; "final label" for what all judges together came to."""
    judge_version: str | None
    facet: str
    """A week, mode or strategy; empty for all."""
    checks: int
    """Verdicts of people on pairs that it has a vote on."""
    agreement: Share | None
    """Among those where both prefer one answer; None where there are none."""


@dataclass(frozen=True)
class PeopleAgreement:
    """Two people on the pairs that both checked; left, right and tie are three answers."""

    person: str
    other: str
    agreement: Share
    kappa: float | None
    """Cohen's, beyond chance; None where chance explains all."""


def judge_agreements(
    votes: Iterable[Vote], facet_of: Callable[[Vote], str] = lambda _: ""
) -> list[JudgeAgreement]:
    """Agreement by judge version and facet; verdicts on one prompt count as a cluster.

    Args:
        votes: In the order the judges are to have.
        facet_of: What to tell apart, such as `lambda vote: vote["week"]`.
    """
    groups: defaultdict[tuple[str, str, str | None], list[Vote]] = defaultdict(list)
    for vote in votes:
        judge = LABEL if vote["source"] == "label" else vote["judge"]
        groups[facet_of(vote), judge, vote["judge_version"]].append(vote)
    ordered = sorted(groups.items(), key=lambda group: group[0][0])
    return [
        JudgeAgreement(judge, version, facet, len(found), _share(found))
        for (facet, judge, version), found in ordered
    ]


def _share(votes: Sequence[Vote]) -> Share | None:
    decided = [vote for vote in votes if vote["agrees"] is not None]
    return share([vote["agrees"] for vote in decided], [vote["prompt_id"] for vote in decided])


def people_agreements(
    verdicts: Iterable[Mapping[str, Any]],
) -> tuple[list[PeopleAgreement], float | None]:
    """Every two people who checked the same pairs, and Krippendorff's alpha of all of them.

    Args:
        verdicts: Rows of the view human_verdicts. Unsure is no answer.

    Returns:
        The alpha is None where no pair has two answers, or all are alike.
    """
    said: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    prompts: dict[tuple[str, str], Hashable] = {}
    for row in verdicts:
        pair = row["left_id"], row["right_id"]
        prompts[pair] = row["prompt_id"]
        if row["verdict"] != HumanVerdict.UNSURE:
            said[pair][row["person"]] = row["verdict"]
    people = sorted({person for answers in said.values() for person in answers})
    found = []
    for one, other in combinations(people, 2):
        common = [pair for pair, answers in said.items() if one in answers and other in answers]
        ours, theirs = [said[p][one] for p in common], [said[p][other] for p in common]
        alike = [float(a == b) for a, b in zip(ours, theirs, strict=True)]
        agreement = share(alike, [prompts[pair] for pair in common])
        if agreement is not None:
            found.append(PeopleAgreement(one, other, agreement, cohen_kappa(ours, theirs)))
    return found, krippendorff_alpha([list(a.values()) for a in said.values()], nominal)
