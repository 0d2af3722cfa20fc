"""Spot checks on the terminal: a person judges pairs with one key each, blind to the judges."""

import sys
import time
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from flows.terminal.screen import safe_text
from rlhf_core.preferences.spot_checks import PairToCheck
from rlhf_core.records import HumanVerdict
from rlhf_core.store import Store
from rlhf_core.store.audit.spot_checks import record

VERDICTS = {
    "1": HumanVerdict.LEFT,
    "2": HumanVerdict.RIGHT,
    "0": HumanVerdict.TIE,
    "u": HumanVerdict.UNSURE,
}
HELP = "1 left is better · 2 right · 0 alike · u unsure · n note · b back · q quit"
BACK, NOTE, QUIT = "b", "n", "q"


def check_pairs(store: Store, checks: Sequence[PairToCheck], person: str, to: Console) -> int:
    """Show each pair until the person answers, goes back or quits; store each answer at once.

    Args:
        store: Receives the answers.
        checks: Pairs to check, in order.
        person: Name of the person.
        to: Console that shows the pairs.

    Returns:
        The number of pairs answered in this session.
    """
    answered: set[int] = set()
    place = 0
    while place < len(checks):
        _show(checks[place], person, f"pair {place + 1} of {len(checks)}", to)
        started = time.monotonic()
        key, note = _answer(to)
        if key == QUIT:
            break
        if key == BACK:
            place = max(0, place - 1)
            continue
        seconds = time.monotonic() - started
        record(store, checks[place], person, VERDICTS[key], seconds, note)
        answered.add(place)
        place += 1
    return len(answered)


def _answer(to: Console) -> tuple[str, str | None]:
    """Return the key that ends a pair, and the note written before it."""
    note = None
    while (key := _press()) not in (*VERDICTS, BACK, QUIT):
        if key == NOTE:
            to.print("note: ", end="")
            note = sys.stdin.readline().strip() or None
        else:
            to.print(HELP, highlight=False)
    return key, note


def _show(check: PairToCheck, person: str, progress: str, to: Console) -> None:
    left, right = check.pair.shown_to(person)
    if to.is_terminal:
        to.clear()
    to.print(Text(f"— {progress} —"))
    if check.pair.context:
        to.print(Text(safe_text(check.pair.context), style="dim"))
    for turn in check.pair.turns:
        to.print(Text(f"{turn.speaker}:", style="dim"), Text(safe_text(turn.text), style="bold"))
    if not check.pair.turns:
        to.print(Text(safe_text(check.pair.prompt), style="bold"))
    columns = (Column(name, overflow="fold", ratio=1) for name in ("1", "2"))
    table = Table(*columns, expand=to.is_terminal)
    table.add_row(Text(safe_text(left.text)), Text(safe_text(right.text)))
    to.print(table)
    to.print(Text(HELP, style="dim"))


def _press() -> str:
    """Return the next key, or the next line if there is no terminal; the end of input quits."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line.strip().lower() if line else QUIT
    try:
        return typer.getchar().lower()
    except (EOFError, KeyboardInterrupt):
        return QUIT
