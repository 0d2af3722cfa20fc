"""Rows that this store wrote itself: an export that comes back says nothing new.

A row is the store's own if it names one of its facts and says of it what an export would say. One
that was changed on the way, such as by a person who swapped the two answers, is a fact from
elsewhere.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from rlhf_core.errors import DataFileError
from rlhf_core.exchange import FORMS, Form
from rlhf_core.exchange.columns import exported, without_repeats
from rlhf_core.exchange.examples import UNIT, Example, NothingToLearn, read_example
from rlhf_core.identity import content_id
from rlhf_core.records import Split
from rlhf_core.store.exchange import ID_COLUMNS, Selection, selected
from rlhf_core.store.snapshot import Snapshot


def own_key(example: Example) -> str | None:
    """What it says of which fact of the store; None where it names none."""
    named = _named(example)
    if named is None:
        return None
    return content_id(
        named,
        [example.prompt.text, example.context, example.reference_answers],
        [answer.text for answer in example.answers],
        [
            example.scores,
            example.told_margin or example.utilities,
            example.agreement,
            example.label,
        ],
    )


def own_keys(snapshot: Snapshot, examples: Iterable[Example]) -> set[str]:
    """Keys of what the store's own exports say of the facts that these rows name."""
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for example in examples:
        named = _named(example)
        if named is not None:
            subject, id = named
            wanted[subject].add(id)
    found = {key for subject, ids in wanted.items() for key in _keys(snapshot, subject, ids)}
    return {key for key in found if key is not None}


def _named(example: Example) -> tuple[str, str] | None:
    """The subject of an export, and the id in it, that a row names."""
    subject = example.columns.get("origin") if example.form == "sft" else example.form
    id = example.columns.get(ID_COLUMNS.get(str(subject), ""))
    return (str(subject), id) if isinstance(id, str) else None


def _keys(snapshot: Snapshot, subject: str, ids: set[str]) -> Iterator[str | None]:
    form: Form = next((form for form in FORMS if form == subject), "sft")
    selections = [
        Selection(split, with_cut_off=is_kept) for split in Split for is_kept in (False, True)
    ]
    for selection in selections:
        rows = iter(selected(snapshot, subject, selection, ids))
        for row in without_repeats(rows) if form == "ranking" else rows:
            cells = exported(form, {**row, "origin": subject}, is_conversation=False)
            try:
                yield own_key(read_example("", cells, form, UNIT))
            except (NothingToLearn, DataFileError):  # it would not come back as it is
                continue
