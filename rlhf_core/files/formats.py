"""Well-known data sets by name: the columns of each, declared as data.

A format says which column has which role (roles.py), how its cells are spelled, and the scale of
its scores. Rows are recognised by columns that no other format has.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rlhf_core.errors import DataFileError
from rlhf_core.files.cells import Cells, Reading
from rlhf_core.files.format_names import FORMAT_NAMES, FormatName
from rlhf_core.files.paths import MISSING, find_cell
from rlhf_core.files.roles import ROLES, USUAL_NAMES
from rlhf_core.files.scales import Scale
from rlhf_core.files.spellings import HUMAN_FIRST, read_dialogue, read_helpsteer, read_sharegpt


@dataclass(frozen=True)
class DataFormat:
    """One well-known data set, or the sets of one tool."""

    about: str
    """The sets that have these columns."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Column or path by role."""
    marks: tuple[str, ...] = ()
    """Columns and paths by which rows are recognised; none: only by name."""
    beginnings: Mapping[str, str] = field(default_factory=dict)
    """Beginnings of the texts of some columns, where columns alone do not tell."""
    readings: Mapping[str, Reading] = field(default_factory=dict)
    """Conversion of the cells of a role, if they are spelled in a way of their own."""
    scale: Scale | None = None
    """Lowest and highest score, or the preferences for the first and the second answer."""

    def is_format_of(self, row: Mapping[str, Any]) -> bool:
        """Return True if a row has every mark, filled in."""
        return (
            bool(self.marks)
            and all(find_cell(row, mark) not in (None, MISSING) for mark in self.marks)
            and all(
                isinstance(cell := row.get(column), str) and cell.startswith(text)
                for column, text in self.beginnings.items()
            )
        )


FORMATS: Mapping[FormatName, DataFormat] = {
    "trl": DataFormat("TRL: prompt, chosen, rejected, completion, label, messages; also KTO"),
    "openai": DataFormat(
        "OpenAI's preference fine-tuning",
        columns={
            "prompt": "input.messages",
            "tools": "input.tools",
            "chosen": "preferred_output",
            "rejected": "non_preferred_output",
        },
        marks=("input.messages", "preferred_output", "non_preferred_output"),
    ),
    "ultrafeedback": DataFormat(
        "openbmb/UltraFeedback",
        columns={
            "prompt": "instruction",
            "answers": "completions[*].response",
            "scores": "completions[*].overall_score",
        },
        marks=("instruction", "completions[*].response", "completions[*].overall_score"),
        scale=Scale(1.0, 10.0),
    ),
    "ultrafeedback_binarized": DataFormat(
        "HuggingFaceH4/ultrafeedback_binarized",
        columns={"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
        marks=("prompt_id", "messages", "chosen", "rejected", "score_chosen", "score_rejected"),
        scale=Scale(1.0, 10.0),
    ),
    "hh": DataFormat(
        "Anthropic/hh-rlhf",
        columns={"chosen": "chosen", "rejected": "rejected"},
        marks=("chosen", "rejected"),
        beginnings={"chosen": HUMAN_FIRST, "rejected": HUMAN_FIRST},
    ),
    "hh_with_prompt": DataFormat(
        "Dahoas/full-hh-rlhf: hh-rlhf with a column of the prompt",
        columns={"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
        marks=("prompt", "chosen", "rejected"),
        beginnings={"prompt": HUMAN_FIRST},
        readings={"prompt": read_dialogue},
    ),
    "nectar": DataFormat(
        "berkeley-nest/Nectar",
        columns={"prompt": "prompt", "answers": "answers[*].answer", "ranks": "answers[*].rank"},
        marks=("prompt", "answers[*].answer", "answers[*].rank"),
        readings={"prompt": read_dialogue},
    ),
    "helpsteer2": DataFormat(
        "nvidia/HelpSteer2",
        columns={"prompt": "prompt", "answer": "response", "label": "helpfulness"},
        marks=("prompt", "response", "helpfulness", "correctness", "coherence", "verbosity"),
        readings={"prompt": read_helpsteer},
        scale=Scale(0.0, 4.0),
    ),
    "helpsteer2_preference": DataFormat(
        "nvidia/HelpSteer2, preference",
        columns={
            "prompt": "prompt",
            "first": "response_1",
            "second": "response_2",
            "preference": "preference_strength",
        },
        marks=("prompt", "response_1", "response_2", "preference_strength"),
        readings={"prompt": read_helpsteer},
        scale=Scale(-3.0, 3.0),
    ),
    "helpsteer3": DataFormat(
        "nvidia/HelpSteer3, preference",
        columns={
            "prompt": "context",
            "first": "response1",
            "second": "response2",
            "preference": "overall_preference",
            "subset": "domain",
        },
        marks=("context", "response1", "response2", "overall_preference"),
        scale=Scale(-3.0, 3.0),
    ),
    "sharegpt": DataFormat(
        "conversations with from and value",
        columns={"messages": "conversations"},
        marks=("conversations[*].from", "conversations[*].value"),
        readings={"messages": read_sharegpt},
    ),
    "sharegpt_preference": DataFormat(
        "the same with chosen and rejected",
        columns={"prompt": "conversations", "chosen": "chosen", "rejected": "rejected"},
        marks=(
            "conversations[*].from",
            "conversations[*].value",
            "chosen.value",
            "rejected.value",
        ),
        readings=dict.fromkeys(("prompt", "chosen", "rejected"), read_sharegpt),
    ),
    "alpaca": DataFormat(
        "instruction, input, output",
        columns={"prompt": "instruction", "input": "input", "answer": "output"},
        marks=("instruction", "input", "output"),
    ),
    "alpaca_preference": DataFormat(
        "instruction, input, chosen, rejected",
        columns={
            "prompt": "instruction",
            "input": "input",
            "chosen": "chosen",
            "rejected": "rejected",
        },
        marks=("instruction", "chosen", "rejected"),
    ),
    "alpaca_farm": DataFormat(
        "AlpacaFarm's preferences",
        columns={
            "prompt": "instruction",
            "input": "input",
            "first": "output_1",
            "second": "output_2",
            "preference": "preference",
        },
        marks=("instruction", "input", "output_1", "output_2", "preference"),
    ),
    "orca": DataFormat(
        "Intel/orca_dpo_pairs: system, question, chosen, rejected",
        columns={
            "system": "system",
            "prompt": "question",
            "chosen": "chosen",
            "rejected": "rejected",
        },
        marks=("system", "question", "chosen", "rejected"),
    ),
    "verl": DataFormat(
        "prompt and reward_model.ground_truth",
        columns={
            "prompt": "prompt",
            "reference": "reward_model.ground_truth",
            "subset": "data_source",
        },
        marks=("data_source", "prompt", "reward_model.ground_truth"),
    ),
    "healthbench": DataFormat(
        "openai/healthbench: prompt and rubrics",
        columns={
            "prompt": "prompt",
            "rubric": "rubrics",
            "reference": "ideal_completions_data.ideal_completion",
        },
        marks=("prompt", "rubrics[*].criterion", "rubrics[*].points"),
    ),
}
"""Formats by name."""


@dataclass(frozen=True)
class Layout:
    """The layout of the rows of a source: the column of each role, and the readers of its cells."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Column or path by role, as the user and the format name them."""
    usual: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: USUAL_NAMES)
    """Usual names of the columns of the other roles."""
    readings: Mapping[str, Reading] = field(default_factory=dict)
    scale: Scale | None = None
    format: FormatName | None = None
    """Name of the format, if the rows have one."""

    @property
    def explained(self) -> str:
        """The columns of the format, as the end of an error about rows that lack them."""
        columns = ", ".join(self.names.values())
        return f" (--format {self.format} reads {columns})" if self.format else ""

    def cells(self, place: str, row: Mapping[str, Any], hint: str = "") -> Cells:
        """Return a row whose cells are read by role.

        Args:
            place: File and line of the row, for errors.
            row: Cells by column.
            hint: Advice for a missing column, as in Cells.
        """
        return Cells(place, row, self.names, self.usual, hint, self.readings)


def check_format(name: str | None, own: tuple[str, ...] = ()) -> FormatName | None:
    """Return the name of a format; None for a name that the caller knows, or none.

    Args:
        name: Name that a user gave; None is none.
        own: Names that the caller knows besides.

    Raises:
        DataFileError: If there is no such format; names them all.
    """
    known = (*own, *FORMAT_NAMES)
    if name is not None and name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise DataFileError(f"no format {name!r}; use {', '.join(known)}{meant}")
    return next((each for each in FORMAT_NAMES if each == name and each not in own), None)


def layout_of(
    row: Mapping[str, Any],
    name: FormatName | None = None,
    names: Mapping[str, str] | None = None,
    usual: Mapping[str, tuple[str, ...]] = USUAL_NAMES,
) -> Layout:
    """Return the layout of a source.

    Args:
        row: The first row, by which a format is recognised if none is named.
        name: Name of a format; None recognises it.
        names: Columns that the user named by role; they win over the format's.
        usual: Usual names of columns by role.
    """
    found = name or recognised_format(row)
    chosen = FORMATS[found] if found else DataFormat("")
    columns = {**chosen.columns, **(names or {})}
    claimed = {path.partition(".")[0].partition("[")[0] for path in columns.values()}
    left = {
        role: tuple(column for column in usual.get(role, (role,)) if column not in claimed)
        for role in {*usual, *(claimed & ROLES.keys())}
    }
    return Layout(columns, left, chosen.readings, chosen.scale, found)


def recognised_format(row: Mapping[str, Any]) -> FormatName | None:
    """Return the name of the only format that has the columns of a row; None if there is none.

    A format whose marks include all marks of another is the more exact of the two.
    """
    fitting = {name: each for name, each in FORMATS.items() if each.is_format_of(row)}
    marks = {name: set(each.marks) for name, each in fitting.items()}
    exact = [name for name in marks if not any(marks[name] < more for more in marks.values())]
    return exact[0] if len(exact) == 1 else None
