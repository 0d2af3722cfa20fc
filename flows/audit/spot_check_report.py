"""The report of spot checks: agreement of judges with people, and their largest disputes."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from flows.terminal.screen import print_table, safe_text
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
    """Number of each verdict, by person."""
    judges: list[JudgeAgreement]
    random_judges: list[JudgeAgreement]
    """Agreement on the pairs drawn at random, which alone represent all pairs."""
    facets: dict[str, list[JudgeAgreement]]
    """Agreement by week, mode and strategy."""
    people: list[PeopleAgreement]
    krippendorff_alpha: float | None
    disputes: list[dict[str, Any]]
    age_seconds: float
    """Age of the snapshot."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def spot_check_report(path: Path | str) -> SpotCheckReport:
    """Return the report of the store at `path`.

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


@dataclass(frozen=True)
class ReportTable:
    """A table of the report, for the terminal and for the audit page."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def judges_table(report: SpotCheckReport) -> ReportTable:
    """Return each judge's agreement with people, on all pairs and on those drawn at random."""
    at_random = {(row.judge, row.judge_version): row.agreement for row in report.random_judges}
    return ReportTable(
        ("judge", "version", "checks", "agrees with people", "on random pairs alone"),
        [
            (*judge, row.checks, _share(row.agreement), _share(at_random.get(judge)))
            for row in report.judges
            for judge in [(row.judge, row.judge_version)]
        ],
    )


def facet_tables(report: SpotCheckReport) -> list[ReportTable]:
    """Return each judge's agreement by week, mode and strategy, if there are several of each."""
    return [
        ReportTable(
            (facet, "judge", "version", "checks", "agrees with people"),
            [
                (row.facet, row.judge, row.judge_version, row.checks, _share(row.agreement))
                for row in rows
            ],
        )
        for facet, rows in report.facets.items()
        if len({row.facet for row in rows}) > 1
    ]


def people_table(report: SpotCheckReport) -> ReportTable:
    """Return the agreement of each two people."""
    return ReportTable(
        ("person", "and", "same answer", "Cohen's kappa"),
        [(row.person, row.other, _share(row.agreement), row.kappa) for row in report.people],
    )


def disputes_table(report: SpotCheckReport, with_answers: bool) -> ReportTable:
    """Return the pairs on which judges and people differ most.

    Args:
        report: The report.
        with_answers: True to include the texts of both answers.

    Returns:
        One row a pair, which begins with the pair's id.
    """
    answers = ("left", "right") if with_answers else ()
    return ReportTable(
        ("pair", "prompt", *answers, "people", "judges against"),
        [
            (
                row["pair_id"],
                row["prompt"],
                *(row[f"{side}_text"] for side in answers),
                "\n".join(row["people"]),
                f"{row['against']} of {row['votes']}",
            )
            for row in report.disputes
        ],
    )


def count_verdicts(verdicts: dict[str, int]) -> str:
    """Return the counts of a person's verdicts in words, such as "3 left, 1 tie"."""
    return ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())


def print_report(report: SpotCheckReport, to: Console) -> None:
    """Print the report as tables."""
    if not report.verdicts:
        to.print("no pair was checked yet; `solon spot-check` begins", highlight=False)
        return
    for person, verdicts in report.verdicts.items():
        count = sum(verdicts.values())
        to.print(Text(f"{safe_text(person)}: {count} pairs ({count_verdicts(verdicts)})"))
    for table in (judges_table(report), *facet_tables(report)):
        print_table(table.columns, table.rows)
    if report.people:
        people = people_table(report)
        print_table(people.columns, people.rows)
    if report.krippendorff_alpha is not None:
        to.print(f"Krippendorff's alpha of all people: {report.krippendorff_alpha:.3f}")
    if report.disputes:
        to.print("where judges and people differ most:")
        disputes = disputes_table(report, with_answers=True)
        print_table(disputes.columns, disputes.rows)


def _share(share: Share | None) -> str:
    if share is None:
        return ""
    return f"{share.value:.2f} ({share.low:.2f}–{share.high:.2f}), n {share.n}"
