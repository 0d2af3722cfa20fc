"""Well-known data sets: each is recognised, read to its right value, and told in the docs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from rlhf_core.config.prompts import PromptSettings
from rlhf_core.errors import DataFileError
from rlhf_core.exchange import FORMS
from rlhf_core.exchange.columns import LABELS, WORDS
from rlhf_core.exchange.examples import Example
from rlhf_core.exchange.source import ImportSource
from rlhf_core.files.format_names import FORMAT_NAMES, FormatName
from rlhf_core.files.formats import FORMATS, check_format, recognised_format
from rlhf_core.files.labelled_reading import read_labelled
from rlhf_core.prompts.reading import read_sent_prompts
from rlhf_core.records import Prompt
from rlhf_core.records.rubric import Criterion, rubric_from_json
from tests.conftest import ROOT
from tests.rlhf_core.files.samples import BAD, GOOD, ONE, SAMPLES, TRL, TURNS

PAGE = ROOT / "deploy" / "docs" / "data.md"
BEGIN, END = "<!-- formats: begin -->", "<!-- formats: end -->"
CONVERSATION = "Human: Hi\n\nAssistant: Hello!\n\nHuman: Name a river."


@pytest.fixture
def file(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    def write(row: dict[str, Any]) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_text(json.dumps(row) + "\n")
        return path

    return write


def imported(path: Path, **options: Any) -> Example:
    (example,) = ImportSource(path, **options).examples()
    return example


def prompt_of(path: Path, **settings: Any) -> Prompt:
    (sent,) = read_sent_prompts(PromptSettings(path=str(path), **settings))
    return sent.prompt


def test_every_format_has_a_name_and_a_sample():
    assert tuple(FORMATS) == FORMAT_NAMES == get_args(FormatName)
    assert set(SAMPLES) == set(FORMATS) - {"trl"}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_recognised_as_its_own_format(name: str):
    assert recognised_format(SAMPLES[name]) == name


@pytest.mark.parametrize("name", TRL)
def test_rows_of_trl_are_no_other_format(name: str):
    assert recognised_format(TRL[name]) is None


@pytest.mark.parametrize(
    ("name", "prompt", "answers", "margin"),
    [
        ("openai", ONE, [GOOD, BAD], 1.0),
        # 5.5 of 1 to 10 is one half; strengths are logits, so both ends are certain.
        ("ultrafeedback", ONE, [GOOD, "A river.", BAD], 1.0),
        # (8.5 − 4) / 9
        ("ultrafeedback_binarized", ONE, [GOOD, BAD], 0.5),
        ("hh", CONVERSATION, [GOOD, BAD], 1.0),
        ("hh_with_prompt", CONVERSATION, [f" {GOOD}", f" {BAD}"], 1.0),
        ("nectar", CONVERSATION, [GOOD, BAD], 1.0),
        # 2 of 3 towards the second
        ("helpsteer2_preference", ONE, [GOOD, BAD], 2 / 3),
        ("helpsteer3", CONVERSATION, [GOOD, BAD], 1.0),
        ("sharegpt", "System: Be brief.\n\nHuman: Name a river.", [GOOD], None),
        ("sharegpt_preference", ONE, [GOOD, BAD], 1.0),
        ("alpaca", "Name one.\n\nRivers of France", [GOOD], None),
        ("alpaca_preference", ONE, [GOOD, BAD], 1.0),
        ("alpaca_farm", ONE, [GOOD, BAD], 1.0),
        ("orca", "System: Be brief.\n\nHuman: Name a river.", [GOOD, BAD], 1.0),
    ],
)
def test_an_import_reads_the_right_answer_first(
    file: Callable[[dict[str, Any]], Path],
    name: str,
    prompt: str,
    answers: list[str],
    margin: float | None,
):
    example = imported(file(SAMPLES[name]))
    assert example.prompt.text == prompt
    assert [answer.text for answer in example.answers] == answers
    if margin is not None:
        assert example.margin(0, 1) == pytest.approx(margin)
    assert imported(file(SAMPLES[name]), format=name).hash == example.hash


def test_turns_of_a_conversation_are_messages(file: Callable[[dict[str, Any]], Path]):
    for name in ("hh", "hh_with_prompt", "nectar", "helpsteer3"):
        assert list(imported(file(SAMPLES[name])).prompt.messages or ()) == TURNS
        assert list(prompt_of(file(SAMPLES[name])).conversation.messages) == TURNS
    assert list(prompt_of(file(SAMPLES["helpsteer2"])).conversation.messages) == TURNS


def test_parts_that_are_not_read_are_kept(file: Callable[[dict[str, Any]], Path]):
    """Answers are not stored twice; the models that gave them are not lost."""
    columns = imported(file(SAMPLES["ultrafeedback"])).columns
    assert [one["model"] for one in columns["completions"]] == ["a", "b", "c"]
    assert not any("response" in one for one in columns["completions"])


@pytest.mark.parametrize(
    ("name", "reference", "rubric"),
    [
        ("verl", ("42",), ()),
        (
            "healthbench",
            (),
            (Criterion("Asks since when.", 5), Criterion("Prescribes a drug.", -8)),
        ),
        ("alpaca", (), ()),
    ],
)
def test_prompts_take_references_and_rubrics_but_no_answers(
    file: Callable[[dict[str, Any]], Path],
    name: str,
    reference: tuple[str, ...],
    rubric: tuple[Criterion, ...],
):
    prompt = prompt_of(file(SAMPLES[name]), format=name)
    assert prompt.reference_answers == reference
    assert rubric_from_json(prompt.rubric) == rubric


@pytest.mark.parametrize("name", ["helpsteer2_preference", "alpaca_farm", "nectar", "orca"])
def test_labelled_sets_prefer_the_same_answer(file: Callable[[dict[str, Any]], Path], name: str):
    (pair,) = read_labelled(file(SAMPLES[name]), name).pairs
    assert (pair.first if pair.target > 0.5 else pair.second) == GOOD


def test_columns_of_the_user_win_over_the_format(file: Callable[[dict[str, Any]], Path]):
    row = {**SAMPLES["verl"], "extra_info": {"answer": "6 times 7 is 42."}}
    prompt = prompt_of(file(row), columns={"reference": "extra_info.answer"})
    assert prompt.reference_answers == ("6 times 7 is 42.",)


def test_a_column_that_one_role_reads_is_no_other_roles(file: Callable[[dict[str, Any]], Path]):
    row = {"document": "Name a river.", "good": GOOD, "bad": BAD, "prompt": "not this"}
    columns = {"prompt": "document", "chosen": "good", "rejected": "bad"}
    example = imported(file(row), columns=columns)
    assert (example.prompt.text, example.context) == ("Name a river.", None)
    assert example.columns == {"prompt": "not this"}


def test_an_unknown_format_is_refused_with_a_near_name():
    with pytest.raises(DataFileError, match=r"no format 'nectars'; use .*did you mean 'nectar'"):
        check_format("nectars")


def read_as(read: Callable[[Path], str], path: Path) -> str:
    try:
        return f"`{read(path)}`"
    except DataFileError:
        return "–"


def exported_as(row: dict[str, Any]) -> str:
    """The form whose exports have these columns, of which those of words are always there."""
    words = {**WORDS, "ranking": ("prompt", "answers")}
    written = (
        form for form in FORMS if {*words[form]} <= row.keys() <= {*words[form], *LABELS[form]}
    )
    return next((f"`{form}`" for form in written), "–")


def matrix(folder: Path) -> str:
    """The table of formats in deploy/docs/data.md: what each row is read as."""
    rows = {f"`{name}`: {FORMATS[name].about}": row for name, row in SAMPLES.items()}
    rows |= {f"TRL: {name}": row for name, row in TRL.items()}
    lines = ["| format | prompts | import | labelled | export |", "|---|---|---|---|---|"]
    for title, row in rows.items():
        path = folder / "row.jsonl"
        path.write_text(json.dumps(row))
        cells = (
            read_as(lambda path: "prompt" if prompt_of(path) else "", path),
            read_as(lambda path: imported(path).form, path),
            read_as(lambda path: "pairs" if read_labelled(path).pairs else "texts", path),
            exported_as(row),
        )
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_page_has_the_table_of_formats(tmp_path: Path):
    """To write it anew: python -m tests.rlhf_core.files.test_formats."""
    _, rest = PAGE.read_text().split(BEGIN)
    assert rest.split(END)[0].strip() == matrix(tmp_path)


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        before, rest = PAGE.read_text().split(BEGIN)
        after = rest.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n{matrix(Path(folder))}\n{END}{after}")
