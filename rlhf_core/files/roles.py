"""Roles of columns: one vocabulary for prompts, imports, labelled answers and pairs of texts."""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence

from rlhf_core.errors import DataFileError

ROLES: Mapping[str, str] = {
    "prompt": "the question or conversation that is answered",
    "system": "a system message before the prompt",
    "input": "a text that follows the prompt, as in Alpaca",
    "messages": "a whole conversation, whose last message is the answer",
    "context": "the text that the prompt is about",
    "mode": "text_grounded, knowledge_seeking or creative",
    "reference": "the right answer, or several",
    "few_shot": "worked examples, as messages of user and assistant",
    "tools": "the tools that the model may call",
    "rubric": "the criteria of answers to this prompt",
    "chosen": "the better of two answers",
    "rejected": "the worse of two answers",
    "score_chosen": "the score of the better answer",
    "score_rejected": "the score of the worse answer",
    "margin": "how much better the better answer is",
    "agreement": "the share of judges that agree",
    "first": "the first of two answers",
    "second": "the second of two answers",
    "preference": "which of the two is better",
    "answers": "a list of answers",
    "utilities": "their utilities, the best first",
    "scores": "their scores, the highest is best",
    "ranks": "their ranks, the lowest is best",
    "answer": "one answer",
    "label": "whether or how well it answers",
    "subset": "the part of a labelled set",
    "text": "the first of two texts; the premise or reference",
    "other": "the second of two texts; the hypothesis",
}
"""Contents of a column, by the name of its role."""
SUGGESTED = ("prompt", "chosen", "rejected", "answers", "answer", "label")
"""Roles that an error suggests for columns whose names contain them."""
USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt", "instruction", "question", "query", "input"),
    "system": (),
    "input": (),
    "context": ("context", "document"),
    "reference": (
        "reference",
        "references",
        "reference_answer",
        "reference_answers",
        "ground_truth",
    ),
    "subset": ("subset", "category"),
    "first": ("output_1", "response_1", "answer_1", "response_a", "response1"),
    "second": ("output_2", "response_2", "answer_2", "response_b", "response2"),
    "preference": ("preference", "label"),
    "answers": ("answers", "responses", "candidates", "completions"),
    "ranks": ("ranks", "rank"),
    "answer": ("answer", "response", "completion", "output", "text"),
    "label": ("label", "score", "rating", "is_correct"),
}
"""Usual names of the columns of a role, where they are not the role's own name alone."""
NAMES_IN_IMPORTS: Mapping[str, tuple[str, ...]] = {
    **USUAL_NAMES,
    "answer": ("completion",),
    "label": ("label",),
}
"""The same for imports, where an answer of unknown worth must not become a demonstration."""


def parse_map(options: Sequence[str], roles: Collection[str] = tuple(ROLES)) -> dict[str, str]:
    """Return the columns that options such as `--map prompt=question` name, by role.

    Args:
        options: Each written ROLE=COLUMN; a part of a nested column is a path.
        roles: Roles that the caller reads.

    Raises:
        DataFileError: If an option is malformed, names no role, or repeats a role or a column.
    """
    names: dict[str, str] = {}
    for option in options:
        role, equals, column = option.partition("=")
        if not equals or not role or not column:
            raise DataFileError(f"--map {option}: write ROLE=COLUMN, as in --map prompt=question")
        if role not in roles:
            meant = _meant(role, column, roles)
            raise DataFileError(f"--map {option}: no role {role!r}; use {', '.join(roles)}{meant}")
        if role in names:
            raise DataFileError(f"--map {option}: the role {role!r} is named twice")
        if column in names.values():
            raise DataFileError(f"--map {option}: the column {column!r} is named twice")
        names[role] = column
    return names


def suggested_map(columns: Collection[str]) -> str:
    """Return options for columns whose names contain a role's, as the end of an error.

    Args:
        columns: Names of columns that no role has.
    """
    containing = {
        role: [column for column in columns if role in re.split(r"[^a-z]+", column.lower())]
        for role in SUGGESTED
    }
    options = [f"--map {role}={found[0]}" for role, found in containing.items() if len(found) == 1]
    return f"; did you mean {' '.join(options)}?" if options else ""


def _meant(role: str, column: str, roles: Collection[str]) -> str:
    if column in roles:
        return f"; did you mean --map {column}={role}?"
    near = difflib.get_close_matches(role, roles, n=1)
    return f"; did you mean --map {near[0]}={column}?" if near else ""
