"""A file of preferences, read in two passes: one checks and counts the rows, one keeps them.

A bad row is therefore reported before anything is written, and no file has to fit into memory.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.exchange import Form
from rlhf_core.exchange.examples import Example, NothingToLearn
from rlhf_core.exchange.forms import form_of, read_example
from rlhf_core.exchange.own import own_key
from rlhf_core.exchange.screening import Screen
from rlhf_core.files.format_names import FormatName
from rlhf_core.files.formats import Layout, layout_of
from rlhf_core.files.roles import NAMES_IN_IMPORTS
from rlhf_core.files.rows import NamedColumns, read_source
from rlhf_core.files.scales import UNIT, Scale

IN_THE_STORE = "in this store already"


@dataclass(frozen=True)
class ImportSource:
    """A file of examples and how it is read.

    Args:
        path: A file, the folder of a data set, or one on the hub (files/rows.py).
        form: Form of every row; None infers it from the columns of the first row.
        format: Name of a well-known format (files/formats.py); None recognises it.
        columns: Names of columns by role.
        scale: Range of the scores; None is the format's, else 0 to 1.
        skips_bad: True to count unreadable rows instead of raising an error.
        screen: Screen for personal data; None keeps all.
        known: Keys of the store's own exports (own.py), which need not be kept again.
    """

    path: Path | str
    form: Form | None = None
    format: FormatName | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    scale: Scale | None = None
    skips_bad: bool = False
    screen: Screen | None = None
    known: frozenset[str] = frozenset()

    def examples(self, counts: "Findings | None" = None) -> Iterator[Example]:
        """Yield the examples in their order, each once; count the other rows in `counts`.

        Raises:
            DataFileError: If the source is missing, or a row cannot be read; names the line.
        """
        counts = Findings() if counts is None else counts
        form, layout, known = self.form, None, set[str]()
        named = NamedColumns({f"--map {role}": name for role, name in self.columns.items()})
        for place, cells in read_source(self.path):
            counts.read += 1
            named.see(cells)
            layout = layout or self._layout(cells, counts)
            try:
                form = counts.form = form or form_of(place, cells, layout)
                example = read_example(place, cells, form, self.scale, layout)
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
        named.check(str(self.path))

    def _layout(self, row: Mapping[str, Any], counts: "Findings") -> Layout:
        layout = layout_of(row, self.format, self.columns, NAMES_IN_IMPORTS)
        counts.format = layout.format
        counts.scale = self.scale or layout.scale or UNIT
        return layout


@dataclass
class Findings:
    """Counts of the rows of a source."""

    form: Form = "preference"
    format: FormatName | None = None
    """Name of the well-known format that the rows have."""
    scale: Scale = UNIT
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
