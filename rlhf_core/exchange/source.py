"""A file of preferences, read twice: once to check and count it, once to keep it.

So a bad row is found before anything is written, and no file has to fit into memory.
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
from rlhf_core.files.rows import Row, data_set_rows, read_rows

IN_THE_STORE = "in this store already"


@dataclass(frozen=True)
class Source:
    """Where examples are read from, and how.

    Args:
        path: A .jsonl, .jsonl.gz, .json or .parquet file, or the folder of a data set.
        form: Of every row; told by the columns of the first, where it is left out.
        scale: Where its scores lie.
        skips_bad: Whether rows that cannot be read are counted instead of raised.
        screen: What keeps personal data out; None lets all through.
        known: Keys of what the store's own exports say (own.py), and so need not be kept again.
    """

    path: Path
    form: Form | None = None
    scale: Scale = UNIT
    skips_bad: bool = False
    screen: Screen | None = None
    known: frozenset[str] = frozenset()

    def examples(self, found: "Findings | None" = None) -> Iterator[Example]:
        """The examples in their order, each once; what is not one is counted in `found`.

        Raises:
            DataFileError: If the source is missing, or a row cannot be read; with its line.
        """
        counts = Findings() if found is None else found
        form, known = self.form, set[str]()
        for place, cells in self._rows():
            counts.read += 1
            try:
                form = counts.form = form or form_of(place, cells)
                example = read_example(place, cells, form, self.scale)
                if self.known and own_key(example) in self.known:
                    raise NothingToLearn(IN_THE_STORE)
                example = self.screen.screened(example) if self.screen else example
            except NothingToLearn as reason:
                counts.left_out[str(reason)] += 1
            except DataFileError as error:
                if not self.skips_bad:
                    raise
                counts.bad.append(str(error))
            else:
                if example.hash in known:
                    counts.left_out["said before in this file"] += 1
                else:
                    known.add(example.hash)
                    yield example

    def _rows(self) -> Iterator[Row]:
        if not self.path.exists():
            raise DataFileError(f"no file {self.path}; name an existing one")
        return data_set_rows(str(self.path)) if self.path.is_dir() else read_rows(self.path)


@dataclass
class Findings:
    """What the rows of a source came to."""

    form: Form = "preference"
    read: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows that say nothing, by the reason."""
    bad: list[str] = field(default_factory=list)
    """What is wrong with the rows that could not be read."""


@dataclass
class Survey(Findings):
    """A source as its first reading found it."""

    rows: int = 0
    digest: str = ""
    """Hash of the rows in their order, the same whatever container held them."""


def survey(source: Source, found: Survey) -> Iterator[Example]:
    """Every example of a first reading; what is known of the source so far goes into `found`.

    Raises:
        DataFileError: As `Source.examples`, and if it holds no row that could be read.
    """
    rows = hashlib.sha256()
    for example in source.examples(found):
        rows.update(example.hash.encode())
        found.rows += 1
        found.digest = rows.hexdigest()
        yield example
    if not found.rows and IN_THE_STORE not in found.left_out:
        first = f": {found.bad[0]}" if found.bad else ""
        raise DataFileError(f"{source.path} holds nothing that could be imported{first}")
