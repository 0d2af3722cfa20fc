"""Writes the faults as the table of deploy/docs/endpoints.md: python -m tests.endpoint_faults."""

from tests.endpoint_faults import FAULTS
from tests.servers import ROOT

PAGE = ROOT / "deploy" / "docs" / "endpoints.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


def table() -> str:
    """The faults as a table in Markdown."""
    lines = [
        "| a server that … | as seen at | for | what Solon does | requests |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.name} | {one.seen} | {one.by} | {one.result} | {one.requests} |" for one in FAULTS
    ]
    return "\n".join(lines)


def page_with_table(page: str) -> str:
    """The page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
