"""Detection of rows that this store exported itself, which an import need not keep again.

A row is the store's own if it names one of its facts and equals the export of that fact. A row that
was edited in between, for example by a person who swapped the two answers, is a new fact.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from rlhf_core.errors import DataFileError
from rlhf_core.exchange import FORMS, Form
from rlhf_core.exchange.columns import export_row, without_repeats
from rlhf_core.exchange.examples import Example, NothingToLearn
from rlhf_core.exchange.forms import read_example
from rlhf_core.identity import content_id
from rlhf_core.records import Split
from rlhf_core.store.exchange import ID_COLUMNS, Selection, select_rows
from rlhf_core.store.snapshot import Snapshot


def own_key(example: Example) -> str | None:
    """Return a hash of the named fact and the row's content; None if the row names no fact."""
    named = _named(example)
    if named is None:
        return None
    return content_id(
        named,
        [example.prompt.text, example.context, example.reference_answers],
        [example.few_shot, example.tools],
        [answer.text for answer in example.answers],
        [
            example.scores,
            example.told_margin or example.utilities,
            example.agreement,
            example.label,
        ],
    )


def own_keys(snapshot: Snapshot, examples: Iterable[Example]) -> set[str]:
    """Return the keys that the store's exports have for the facts that these rows name."""
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for example in examples:
        named = _named(example)
        if named is not None:
            subject, id = named
            wanted[subject].add(id)
    keys = {key for subject, ids in wanted.items() for key in _keys(snapshot, subject, ids)}
    return {key for key in keys if key is not None}


def _named(example: Example) -> tuple[str, str] | None:
    """Return the subject of an export and the id in it that a row names."""
    subject = example.columns.get("origin") if example.form == "sft" else example.form
    id = example.columns.get(ID_COLUMNS.get(str(subject), ""))
    return (str(subject), id) if isinstance(id, str) else None


def _keys(snapshot: Snapshot, subject: str, ids: set[str]) -> Iterator[str | None]:
    form: Form = next((form for form in FORMS if form == subject), "sft")
    selections = [
        Selection(split, with_cut_off=is_kept) for split in Split for is_kept in (False, True)
    ]
    for selection in selections:
        rows = iter(select_rows(snapshot, subject, selection, ids))
        for row in without_repeats(rows) if form == "ranking" else rows:
            for is_conversation in (False, True):
                cells = export_row(form, {**row, "origin": subject}, is_conversation)
                try:
                    yield own_key(read_example("", cells, form))
                except (NothingToLearn, DataFileError):  # this row does not round-trip
                    continue
