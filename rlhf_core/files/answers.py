"""Answers to prompts from a file, to compare a model's answers with."""

from collections.abc import Mapping
from pathlib import Path

from rlhf_core.files.asking import asked, prompt_cell
from rlhf_core.files.cells import Cells
from rlhf_core.files.roles import USUAL_NAMES
from rlhf_core.files.rows import read_source

HINT = "; name it with --map {role}=COLUMN"


def read_answers(path: Path, columns: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the answers of a file by prompt, in the file's order; a prompt may have several.

    A context of the row comes before its prompt, as models read it.

    Args:
        path: JSON, CSV, TSV or Parquet with a prompt and an answer a row.
        columns: Columns by role, where they have other than the usual names.

    Raises:
        DataFileError: If a row has no prompt or no answer; names file and line.
    """
    answers: dict[str, list[str]] = {}
    for place, row in read_source(path):
        cells = Cells(place, row, columns, USUAL_NAMES, HINT)
        cells.require("prompt")
        context = cells.optional_text("context")
        text, _ = asked(place, cells.shown("prompt"), prompt_cell(cells), context)
        instruction = f"{context}\n\n{text}" if context else text
        answer = cells.text("answer").strip()
        if not answer:
            raise cells.error(f"{cells.shown('answer')!r} is empty; fill it in or remove the row")
        answers.setdefault(instruction, []).append(answer)
    return answers
