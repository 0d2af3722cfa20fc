"""How far judges agree with people, as `solon spot-check --report` has it, on a page."""

import asyncio
from typing import Any

from flows.ui.overview import pair_path
from flows.ui.parts import link, words
from flows.ui.source import Source
from flows.ui.tables import table
from rlhf_core.evaluation.shares import Share


async def draw_report(source: Source) -> None:
    from flows.audit.spot_check_report import spot_check_report  # loads SciPy

    found = await asyncio.to_thread(spot_check_report, source.store)
    if not found.verdicts:
        words("p", "No pair was checked yet. Check some, and this page says which judges agree.")
        link("Check pairs", "/spot-check")
        return
    random = {(row.judge, row.judge_version): row.agreement for row in found.random_judges}
    words("h2", "Judges")
    table(
        "judges beside people",
        ["judge", "version", "checks", "agrees with people", "on random pairs alone"],
        [
            (
                row.judge,
                row.judge_version,
                row.checks,
                _share(row.agreement),
                _share(random.get((row.judge, row.judge_version))),
            )
            for row in found.judges
        ],
    )
    words("h2", "People")
    table(
        "verdicts of people",
        ["person", "verdicts"],
        [(name, _counts(verdicts)) for name, verdicts in found.verdicts.items()],
    )
    if found.people:
        table(
            "people beside each other",
            ["person", "and", "same answer", "Cohen's kappa"],
            [(row.person, row.other, _share(row.agreement), row.kappa) for row in found.people],
        )
    words("h2", "Where judges and people differ most")
    table(
        "disputes",
        ["pair", "prompt", "people", "judges against"],
        [_dispute(row) for row in found.disputes],
        links={0: pair_path},
        empty="Nowhere: every judge says what people say.",
    )


def _share(found: Share | None) -> str:
    if found is None:
        return ""
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f}), n {found.n}"


def _counts(verdicts: dict[str, int]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())


def _dispute(row: dict[str, Any]) -> tuple[Any, ...]:
    people = "\n".join(row["people"])
    return (row["pair_id"], row["prompt"], people, f"{row['against']} of {row['votes']}")
