"""The status of policy lines on a terminal, within a hundred columns."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.reports.status import (
    ChampionState,
    Decision,
    Disk,
    LineStatus,
    RunState,
    ServerStatus,
    Spending,
)
from flows.terminal.screen import safe_text

WIDTH = 100
MESSAGE_LENGTH = 160
PERIODS = {"run": "by the last run", "day": "today (UTC)", "month": "this month (UTC)"}
"""Words for `budget.period`."""
UNITS = ("B", "kB", "MB", "GB", "TB")
NO_SERVER = (
    "none is asked: set PREFECT_API_URL, or serve on this machine, to see runs and automations"
)
Row = tuple[str, str, str]
"""Label, text and style."""


def print_status(
    status: LineStatus, server: ServerStatus | None, to: Console, now: datetime | None = None
) -> None:
    """Print the status of one line.

    Args:
        status: What the store tells.
        server: What the Prefect server tells; None if no server is asked.
        to: The console.
        now: The present time; None for the clock's.
    """
    now = now or datetime.now(UTC)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=11)
    table.add_column(overflow="fold")
    last = ""
    for label, text, style in [*_store_rows(status, now), *_server_rows(server, now)]:
        table.add_row("" if label == last else label, Text(safe_text(text), style=style))
        last = label
    to.print(Text(safe_text(status.line), style="bold"), Text(safe_text(status.config)))
    to.print(table, width=min(to.width, WIDTH))


def _store_rows(status: LineStatus, now: datetime) -> Iterator[Row]:
    """Yield what the store tells of a line."""
    if not status.is_begun:
        yield "cycle", f"none has begun; there is no store {status.store} yet", ""
        yield from _disk_rows(status.disk)
        return
    yield "champion", _champion(status.champion, now), ""
    if status.decision is not None:
        yield "last cycle", _decision(status.decision, now), ""
    if status.wear_in_words:
        yield "held out", status.wear_in_words, ""
    yield "cycle", _cycle(status), ""
    for condition in status.triggers:
        text = f"{condition.text}: due" if condition.holds else condition.text
        yield "triggers", text, "yellow" if condition.holds else ""
    if not status.triggers:
        yield "triggers", "none start a training by themselves", "dim"
    yield from _budget_rows(status.spending)
    yield from _disk_rows(status.disk)


def _champion(champion: ChampionState | None, now: datetime) -> str:
    if champion is None:
        return "none; the SFT model is used"
    text = f"{champion.model} since cycle {champion.cycle}, {_ago(champion.since, now)}"
    if champion.win_rate is None or champion.win_rate_low is None or champion.win_rate_high is None:
        return text
    return (
        f"{text}; won {champion.win_rate:.1%} [{champion.win_rate_low:.1%}, "
        f"{champion.win_rate_high:.1%}] by {champion.judge}"
    )


def _decision(decision: Decision, now: datetime) -> str:
    verdict = "promoted" if decision.promoted else "refused"
    when = _ago(decision.decided_at, now)
    return f"{decision.cycle}, {when}: {verdict}; {'; '.join(decision.reasons)}"


def _cycle(status: LineStatus) -> str:
    if not status.ended_stages:
        return f"{status.cycle} has not begun"
    text = f"{status.cycle}: ended {', '.join(status.ended_stages)}"
    return f"{text}; next {status.next_stage}" if status.next_stage else text


def _budget_rows(spending: Spending) -> Iterator[Row]:
    parts = []
    if "max_usd" in spending.limits:
        left = max(0.0, spending.limits["max_usd"] - spending.usd)
        parts.append(f"${left:.2f} of ${spending.limits['max_usd']:.2f}")
    for key, spent, unit in (
        ("max_tokens", spending.tokens, "tokens"),
        ("max_calls", spending.calls, "calls"),
    ):
        if key in spending.limits:
            left = max(0, int(spending.limits[key]) - spent)
            parts.append(f"{left:,} of {int(spending.limits[key]):,} {unit}")
    if parts:
        is_spent = any(part.startswith(("$0.00 ", "0 ")) for part in parts)
        left_of = PERIODS[spending.period]
        yield "budget", f"{', '.join(parts)} left {left_of}", "red" if is_spent else ""
    elif spending.usd:
        yield "budget", f"no limit; ${spending.usd:.2f} spent {PERIODS[spending.period]}", ""


def _disk_rows(disk: Disk) -> Iterator[Row]:
    store = f"store {_bytes(disk.store)}, " if disk.store is not None else ""
    free = [each for each in (disk.store_free, disk.artifacts_free) if each is not None]
    text = f"{store}artifacts {_bytes(disk.artifacts)}"
    if free:
        text += f"; {_bytes(min(free))} free"
    yield "disk", text, ""


def _server_rows(server: ServerStatus | None, now: datetime) -> Iterator[Row]:
    """Yield what the Prefect server tells of a line."""
    if server is None:
        yield "server", NO_SERVER, "dim"
        return
    if server.problem is not None:
        yield "server", f"{server.address} does not answer: {server.problem}", "red"
        return
    yield "server", server.address.removesuffix("/api"), ""
    for run in server.running:
        yield "running", f"{run.flow} for {_span(run.since, now)}{_state(run, 'Running')}", "green"
    if not server.running:
        yield "running", "nothing", "dim"
    for run in server.waiting:
        yield "waiting", f"{run.flow} for {_span(run.since, now)}: {run.state}", "yellow"
    for run in server.failed:
        message = f": {_short(run.message)}" if run.message else ""
        yield "failed", f"{run.flow} {_ago(run.since, now)}, {run.state}{message}", "red"
    yield "next", _upcoming(server.upcoming, now), "" if server.upcoming else "dim"
    for automation in server.automations:
        is_off = "" if automation.is_enabled else " (paused)"
        name = automation.name.partition(": ")[2]
        yield "automation", name + is_off, "" if automation.is_enabled else "yellow"
    if not server.automations:
        yield "automation", "none is registered", "dim"


def _upcoming(runs: Sequence[RunState], now: datetime) -> str:
    firings = [f"{run.flow} {run.since.astimezone():%a %H:%M} (in {_span(run.since, now)})"
               for run in runs]  # fmt: skip
    return ", ".join(firings) or "nothing is scheduled"


def _state(run: RunState, usual: str) -> str:
    return "" if run.state == usual else f": {run.state}"


def _short(text: str) -> str:
    return text if len(text) <= MESSAGE_LENGTH else f"{text[:MESSAGE_LENGTH]}…"


def _ago(moment: datetime, now: datetime) -> str:
    return f"{_span(moment, now)} ago"


def _span(moment: datetime, now: datetime) -> str:
    """Return the time between two moments in a readable unit."""
    seconds = abs((now - moment).total_seconds())
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _bytes(size: int) -> str:
    """Return a size in a readable unit of powers of a thousand."""
    value, place = float(size), 0
    while value >= 1000 and place < len(UNITS) - 1:
        value, place = value / 1000, place + 1
    return f"{value:.3g} {UNITS[place]}"
