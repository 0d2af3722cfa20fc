"""Roles, and the paths by which columns and their parts are named."""

from typing import Any

import pytest

from rlhf_core.errors import DataFileError
from rlhf_core.files.cells import Cells
from rlhf_core.files.paths import MISSING, find_cell, parse_path
from rlhf_core.files.roles import NAMES_IN_IMPORTS, ROLES, USUAL_NAMES, parse_map, suggested_map

ROW = {
    "a": {"b": [{"c": 1}, {"c": 2, "d": None}]},
    "dotted.name": "x",
    "list": ["u", "v"],
    "0": "zero",
}


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("a.b[0].c", 1),
        ("a.b.1.c", 2),
        ("a.b[*].c", [1, 2]),
        ("a.b[1].d", None),
        ("a.b[*].d", MISSING),
        ("a.b[2].c", MISSING),
        ("a.b.c", MISSING),
        ("dotted.name", "x"),
        ("list[1]", "v"),
        ("list", ["u", "v"]),
        ("0", "zero"),
        ("a..b", MISSING),
        ("a[", MISSING),
        ("absent", MISSING),
    ],
)
def test_a_path_leads_to_a_part_of_a_cell(name: str, cell: Any):
    assert find_cell(ROW, name) == cell


def test_the_rest_of_a_cell_stays():
    path = parse_path("a.b[*].c")
    assert path is not None
    assert path.without(ROW["a"]) == {"b": [None, {"d": None}]}
    cells = Cells("f line 1", ROW, {"answer": "a.b[*].c", "other": "list[0]", "text": "list[1]"})
    assert [cells.get(role) for role in ("answer", "other", "text")] == [[1, 2], "u", "v"]
    assert (
        cells.unread
        == {
            "a": {"b": [None, {"d": None}]},
            "dotted.name": "x",
            "0": "zero",
            "list": [None, None],
        }
        or "list" not in cells.unread
    )


def test_usual_names_belong_to_roles():
    assert {*USUAL_NAMES, *NAMES_IN_IMPORTS} <= set(ROLES)


def test_options_name_columns_by_role():
    assert parse_map(["prompt=question", "chosen=a.b[0]", "label=x=y"]) == {
        "prompt": "question",
        "chosen": "a.b[0]",
        "label": "x=y",
    }


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["prompt"], "--map prompt: write ROLE=COLUMN, as in --map prompt=question"),
        (["=question"], "write ROLE=COLUMN"),
        (["prompt="], "write ROLE=COLUMN"),
        (["question=prompt"], "did you mean --map prompt=question?"),
        (["promt=q"], "no role 'promt'; use prompt, system"),
        (["promt=q"], "did you mean --map prompt=q?"),
        (["prompt=q", "prompt=r"], "the role 'prompt' is named twice"),
        (["chosen=q", "rejected=q"], "the column 'q' is named twice"),
    ],
)
def test_an_option_that_is_not_clear_is_refused(options: list[str], problem: str):
    with pytest.raises(DataFileError) as caught:
        parse_map(options)
    assert problem in str(caught.value)


def test_an_error_suggests_columns_that_contain_a_role():
    columns = ("question", "response_chosen", "response_rejected")
    assert suggested_map(columns) == (
        "; did you mean --map chosen=response_chosen --map rejected=response_rejected?"
    )
    assert suggested_map(("chosen_a", "chosen_b")) == ""
