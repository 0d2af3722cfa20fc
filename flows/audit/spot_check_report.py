"""What came of spot checks: how far judges and people agree, and where they differ most."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from flows.terminal.screen import print_table, shown
from rlhf_core.evaluation.human_agreement import (
    JudgeAgreement,
    PeopleAgreement,
    Vote,
    judge_agreements,
    people_agreements,
)
from rlhf_core.evaluation.shares import Share
from rlhf_core.records import Strategy
from rlhf_core.store import reading
from rlhf_core.store.audit.spot_checks import disputes, verdicts_of_people, votes_beside_people

DISPUTES = 10
FACETS = ("week", "mode", "strategy")


@dataclass(frozen=True)
class SpotCheckReport:
    """All figures with 95 % Wilson intervals, verdicts on one prompt being a cluster."""

    verdicts: dict[str, dict[str, int]]
    """Of each person, how often each verdict."""
    judges: list[JudgeAgreement]
    random_judges: list[JudgeAgreement]
    """On the pairs chosen at random, the only ones that speak for all pairs."""
    facets: dict[str, list[JudgeAgreement]]
    """The same by week, mode and strategy."""
    people: list[PeopleAgreement]
    krippendorff_alpha: float | None
    disputes: list[dict[str, Any]]
    age_seconds: float
    """Of the snapshot that was read."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def spot_check_report(path: Path | str) -> SpotCheckReport:
    """The figures of the store at `path`.

    Raises:
        StoreError: If there is no store.
    """
    with reading(path) as snapshot:
        votes = votes_beside_people(snapshot)
        verdicts = verdicts_of_people(snapshot)
        disputed = disputes(snapshot, DISPUTES)
        age_seconds = snapshot.age_seconds
    counts: dict[str, dict[str, int]] = {}
    for row in verdicts:
        person = counts.setdefault(row["person"], {})
        person[row["verdict"]] = person.get(row["verdict"], 0) + 1
    people, alpha = people_agreements(verdicts)
    return SpotCheckReport(
        verdicts=counts,
        judges=judge_agreements(votes),
        random_judges=judge_agreements(
            [vote for vote in votes if vote["strategy"] == Strategy.RANDOM]
        ),
        facets={facet: judge_agreements(votes, _by(facet)) for facet in FACETS},
        people=people,
        krippendorff_alpha=alpha,
        disputes=disputed,
        age_seconds=age_seconds,
    )


def _by(facet: str) -> Any:
    def value(vote: Vote) -> str:
        return str(vote[facet])

    return value


def print_report(found: SpotCheckReport, to: Console) -> None:
    if not found.verdicts:
        to.print("no pair was checked yet; `solon spot-check` begins", highlight=False)
        return
    for person, verdicts in found.verdicts.items():
        counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        to.print(Text(f"{shown(person)}: {sum(verdicts.values())} pairs ({counts})"))
    at_random = {(row.judge, row.judge_version): row for row in found.random_judges}
    print_table(
        ["judge", "version", "checks", "agrees with people", "on random pairs alone"],
        [
            (*_judge(row), row.checks, _share(row.agreement), _share(_agreement(at_random, row)))
            for row in found.judges
        ],
    )
    for facet, rows in found.facets.items():
        if len({row.facet for row in rows}) > 1:
            print_table(
                [facet, "judge", "version", "checks", "agrees with people"],
                [(row.facet, *_judge(row), row.checks, _share(row.agreement)) for row in rows],
            )
    _print_people(found, to)
    if found.disputes:
        to.print("where judges and people differ most:")
        print_table(
            ["pair", "prompt", "left", "right", "people", "judges against"],
            [_dispute(row) for row in found.disputes],
        )


def _print_people(found: SpotCheckReport, to: Console) -> None:
    if found.people:
        print_table(
            ["person", "and", "same answer", "Cohen's kappa"],
            [(row.person, row.other, _share(row.agreement), row.kappa) for row in found.people],
        )
    if found.krippendorff_alpha is not None:
        to.print(f"Krippendorff's alpha of all people: {found.krippendorff_alpha:.3f}")


def _judge(row: JudgeAgreement) -> tuple[str, str | None]:
    return row.judge, row.judge_version


def _agreement(
    rows: dict[tuple[str, str | None], JudgeAgreement], row: JudgeAgreement
) -> Share | None:
    found = rows.get((row.judge, row.judge_version))
    return found.agreement if found else None


def _share(found: Share | None) -> str:
    if found is None:
        return ""
    return f"{found.value:.2f} ({found.low:.2f}–{found.high:.2f}), n {found.n}"


def _dispute(row: dict[str, Any]) -> Sequence[Any]:
    against = f"{row['against']} of {row['votes']}"
    texts = (row["prompt"], row["left_text"], row["right_text"])
    return (row["pair_id"], *texts, "\n".join(row["people"]), against)
