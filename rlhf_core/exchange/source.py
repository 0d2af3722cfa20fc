"""A file of preferences, read in two passes: one checks and counts the rows, one keeps them.

A bad row is therefore reported before anything is written, and no file has to fit into memory.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rlhf_core.errors import DataFileError
from rlhf_core.exchange import Form
from rlhf_core.exchange.examples import (
    UNIT,
    Example,
    NothingToLearn,
    Scale,
    form_of,
    read_example,
)
from rlhf_core.exchange.own import own_key
from rlhf_core.exchange.screening import Screen
from rlhf_core.files.rows import read_source

IN_THE_STORE = "in this store already"


@dataclass(frozen=True)
class ImportSource:
    """A file of examples and how it is read.

    Args:
        path: A .jsonl, .jsonl.gz, .json, .csv or .parquet file, or the folder of a data set.
        form: Form of every row; None infers it from the columns of the first row.
        scale: Range of the scores.
        skips_bad: True to count unreadable rows instead of raising an error.
        screen: Screen for personal data; None keeps all.
        known: Keys of the store's own exports (own.py), which need not be kept again.
    """

    path: Path
    form: Form | None = None
    scale: Scale = UNIT
    skips_bad: bool = False
    screen: Screen | None = None
    known: frozenset[str] = frozenset()

    def examples(self, counts: "Findings | None" = None) -> Iterator[Example]:
        """Yield the examples in their order, each once; count the other rows in `counts`.

        Raises:
            DataFileError: If the source is missing, or a row cannot be read; names the line.
        """
        counts = Findings() if counts is None else counts
        form, known = self.form, set[str]()
        for place, cells in read_source(self.path):
            counts.read += 1
            try:
                form = counts.form = form or form_of(place, cells)
                example = read_example(place, cells, form, self.scale)
                if self.known and own_key(example) in self.known:
                    raise NothingToLearn(IN_THE_STORE)
                example = self.screen.apply(example) if self.screen else example
            except NothingToLearn as reason:
                counts.left_out[str(reason)] += 1
            except DataFileError as error:
                if not self.skips_bad:
                    raise
                counts.bad.append(str(error))
            else:
                if example.hash in known:
                    counts.left_out["repeated in this file"] += 1
                else:
                    known.add(example.hash)
                    yield example


@dataclass
class Findings:
    """Counts of the rows of a source."""

    form: Form = "preference"
    read: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Number of rows with nothing to learn, by reason."""
    bad: list[str] = field(default_factory=list)
    """Error messages of the rows that could not be read."""


@dataclass
class Survey(Findings):
    """Result of the first pass over a source."""

    rows: int = 0
    digest: str = ""
    """Hash of the rows in their order, independent of the container."""


def survey(source: ImportSource, result: Survey) -> Iterator[Example]:
    """Yield every example of the first pass, and keep `result` up to date.

    Raises:
        DataFileError: Like `ImportSource.examples`, and if no row could be imported.
    """
    rows = hashlib.sha256()
    for example in source.examples(result):
        rows.update(example.hash.encode())
        result.rows += 1
        result.digest = rows.hexdigest()
        yield example
    if not result.rows and IN_THE_STORE not in result.left_out:
        first = f": {result.bad[0]}" if result.bad else ""
        raise DataFileError(f"{source.path} holds nothing that could be imported{first}")
