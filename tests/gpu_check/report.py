"""The report of a run: one JSON line a result, written at once, so that a killed run keeps them."""

import faulthandler
import json
import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

Figures = Mapping[str, float | str]
HANG_FACTOR, LEAST_HANG_SECONDS = 4, 60.0
"""An item that takes so many times as long as expected has the stacks of its threads written."""
RESULTS, STACKS, TABLE = "results.jsonl", "stacks.txt", "table.txt"


class CheckFailedError(Exception):
    """A result is not what it has to be; the message says what was and what should be."""


@dataclass
class Report:
    """Runs items one after another while there is time, and writes what came of each.

    Args:
        folder: An existing folder for the results, the stacks of a hang, and the table.
        seconds: Time that there is.
        waits: True to leave out an item that would exceed the time; False only once it is over.
        say: Also receives each line.
    """

    folder: Path
    seconds: float
    waits: bool
    say: Callable[[str], None] = print
    rows: list[dict[str, object]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._results = (self.folder / RESULTS).open("w", encoding="utf-8")
        self._stacks: TextIO = (self.folder / STACKS).open("w", encoding="utf-8")

    def check(self, name: str, seconds: float, work: Callable[[], Figures]) -> None:
        """Run a check, which fails by any error.

        Args:
            name: Its name.
            seconds: Time that it is expected to take.
            work: Returns what it measured; raises CheckFailedError.
        """
        self._run("check", name, seconds, work)

    def figure(self, name: str, seconds: float, work: Callable[[], Figures]) -> None:
        """Measure something; an error or full memory is recorded, and fails nothing.

        Args:
            name: What is measured.
            seconds: Time that it is expected to take.
            work: Returns the figures.
        """
        self._run("figure", name, seconds, work)

    @property
    def failures(self) -> list[str]:
        """Names of the checks that failed."""
        return [
            str(row["name"])
            for row in self.rows
            if row["kind"] == "check" and row["outcome"] not in ("done", "left out")
        ]

    def close(self) -> None:
        """Write the last line and the table; does nothing the second time."""
        if self._results.closed:
            return
        outcomes: dict[str, list[object]] = {}
        for row in self.rows:
            outcomes.setdefault(str(row["outcome"]), []).append(row["name"])
        table = {row["name"]: _numbers(row["figures"]) for row in self.rows if row["figures"]}
        took = round(time.monotonic() - self.started, 1)
        summary = {
            "kind": "summary",
            "seconds": took,
            "done": len(outcomes.pop("done", [])),
            "failed": self.failures,
            "left out": outcomes.pop("left out", []),
            **outcomes,
            "table": table,
        }
        self._write(summary)
        (self.folder / TABLE).write_text(_table(self.rows), encoding="utf-8")
        self._results.close()
        self._stacks.close()

    def _run(self, kind: str, name: str, seconds: float, work: Callable[[], Figures]) -> None:
        row: dict[str, object] = {"kind": kind, "name": name, "outcome": "left out", "figures": {}}
        begun = time.monotonic()
        left = self.started + self.seconds - begun
        if left > (seconds if self.waits else 0):
            limit = max(LEAST_HANG_SECONDS, HANG_FACTOR * seconds)
            faulthandler.dump_traceback_later(limit, repeat=True, file=self._stacks)
            try:
                row |= {"figures": _rounded(work()), "outcome": "done"}
            except CheckFailedError as error:
                row |= {"outcome": "failed", "reason": str(error)}
            except Exception as error:
                is_full = isinstance(error, RuntimeError) and should_reduce_batch_size(error)
                row |= {
                    "outcome": "out of memory" if is_full else "error",
                    "reason": f"{type(error).__name__}: {error}",
                    "where": traceback.format_exc(limit=-6),
                }
            finally:
                faulthandler.cancel_dump_traceback_later()
            # Outside the handler, whose traceback holds the tensors that filled the memory.
            if torch.cuda.is_available():
                clear_device_cache(garbage_collection=True)
        row["seconds"] = round(time.monotonic() - begun, 2)
        self.rows.append(row)
        self._write(row)

    def _write(self, row: Mapping[str, object]) -> None:
        line = json.dumps(row, ensure_ascii=False)
        self._results.write(f"{line}\n")
        self._results.flush()
        self.say(line)


def require(is_right: bool, message: str) -> None:
    """Fail a check.

    Raises:
        CheckFailedError: With the message, if the claim is false.
    """
    if not is_right:
        raise CheckFailedError(message)


def require_close(what: str, found: float, expected: float, tolerance: float) -> float:
    """Fail a check whose number differs, and return by how much it differs.

    Args:
        what: Name of the number.
        found: The number.
        expected: What it should be.
        tolerance: Largest difference, relative to the expected number, or to 1 if that is smaller.

    Raises:
        CheckFailedError: If it differs by more, or is no number.
    """
    difference = abs(found - expected) / max(1.0, abs(expected))
    require(
        difference <= tolerance,
        f"{what} is {found:.6g} and should be {expected:.6g}, to within {tolerance:g}",
    )
    return difference


def _rounded(figures: Figures) -> dict[str, float | str | None]:
    def shortened(value: float | str) -> float | str | None:
        if isinstance(value, str):
            return value
        return float(f"{value:.5g}") if math.isfinite(value) else None

    return {name: shortened(value) for name, value in figures.items()}


def _numbers(figures: object) -> dict[str, float]:
    assert isinstance(figures, dict)
    return {name: value for name, value in figures.items() if isinstance(value, float)}


def _table(rows: list[dict[str, object]]) -> str:
    lines = []
    for row in rows:
        figures = row["figures"]
        assert isinstance(figures, dict)
        cells = ", ".join(f"{name} {value}" for name, value in figures.items())
        lines.append(f"{row['outcome']:<13} {row['name']:<48} {cells or row.get('reason', '')}")
    return "\n".join(lines) + "\n"
