"""The report of spot checks as a page; `solon spot-check --report` prints the same tables."""

import asyncio

from flows.ui.overview import pair_path
from flows.ui.parts import link, words
from flows.ui.source import Source
from flows.ui.tables import table


async def draw_report(source: Source) -> None:
    # Loads SciPy.
    from flows.audit.spot_check_report import (
        count_verdicts,
        disputes_table,
        judges_table,
        people_table,
        spot_check_report,
    )

    report = await asyncio.to_thread(spot_check_report, source.store)
    if not report.verdicts:
        words("p", "No pair was checked yet. Check some, and this page says which judges agree.")
        link("Check pairs", "/spot-check")
        return
    words("h2", "Judges")
    judges = judges_table(report)
    table("judges beside people", judges.columns, judges.rows)
    words("h2", "People")
    table(
        "verdicts of people",
        ["person", "verdicts"],
        [(name, count_verdicts(verdicts)) for name, verdicts in report.verdicts.items()],
    )
    if report.people:
        people = people_table(report)
        table("people beside each other", people.columns, people.rows)
    words("h2", "Where judges and people differ most")
    disputes = disputes_table(report, with_answers=False)
    table(
        "disputes",
        disputes.columns,
        disputes.rows,
        links={0: pair_path},
        empty="Nowhere: every judge says what people say.",
    )
