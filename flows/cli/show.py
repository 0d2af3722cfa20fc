"""`solon show`: show one pair, prompt, answer, judgement, ranking or model with its history."""

import difflib
import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

from flows.cli.lineage import StoreConfig, SubjectId
from flows.terminal.screen import AsJson, Overrides, out, print_json, print_table, safe_text

# What would make a table of votes too wide to read.
FOR_PROGRAMS = {"judge", "raw_output", "cost_usd", "run_id", "created_at"}


class Kind(StrEnum):
    PAIR = "pair"
    PROMPT = "prompt"
    CANDIDATE = "candidate"
    JUDGEMENT = "judgement"
    RANKING = "ranking"
    MODEL = "model"


def show(
    kind: Annotated[Kind, typer.Argument(help="Kind of the fact.")],
    identity: SubjectId,
    overrides: Overrides = None,
    config: StoreConfig = None,
    as_json: AsJson = False,
) -> None:
    """Show one fact: its texts, votes and figures, and the models that learnt from it.

    The answers of a pair stand side by side, with the words that differ marked: in colour, or as
    [-so-] and {+so+} without a terminal.

    Try [bold]solon sql "SELECT id FROM pairs LIMIT 5"[/bold], then
    [bold]solon show pair 01ab[/bold].
    """
    from rlhf_core.config import store_path
    from rlhf_core.store import reading
    from rlhf_core.store.audit.stories import find_story

    with reading(store_path(config, overrides or [])) as snapshot:
        story = find_story(snapshot, f"{kind}s", identity)
    if as_json:
        print_json(story)
        return
    if kind is Kind.PAIR:
        answers = story.pop("answers")
        left, right = (
            answers[side] or {"id": story[f"{side}_id"], "text": ""} for side in ("left", "right")
        )
        _print_sides(left, right, story["chosen_id"])
    story = _with_turns(story)
    print_table(["", story["id"]], list(_fields(story)))
    sides = {story.get("left_id"): "left", story.get("right_id"): "right"}
    for name, value in story.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            out.print(Text(f"\n{name.replace('_', ' ')}", style="bold"))
            columns = _columns(value)
            print_table(
                columns,
                [[_cell(row[column], sides) for column in columns] for row in value],
            )


def _with_turns(story: dict[str, Any]) -> dict[str, Any]:
    """Return a story that lists the turns of a conversation in place of its text."""
    prompt = story.get("prompt")
    told = prompt if isinstance(prompt, dict) else story
    if not told.get("turns"):
        return story
    turns = {"turns": told["turns"]}
    without = {name: value for name, value in told.items() if name not in ("text", "turns")}
    return {**turns, **story, "prompt": without} if told is prompt else {**turns, **without}


def _fields(story: dict[str, Any], above: str = "") -> "Sequence[tuple[str, Any]]":
    """Return single values by name; those of nested facts and recipes by a dotted path."""
    fields: list[tuple[str, Any]] = []
    for name, value in story.items():
        if name == "recipe":
            value = _recipe_settings(value)
        if isinstance(value, dict):
            fields += _fields(value, f"{above}{name}.")
        elif not (isinstance(value, list) and value and isinstance(value[0], dict)):
            is_empty = value is None or value == []
            fields += [] if is_empty else [(f"{above}{name}", value)]
    return fields


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the columns for people that hold a value in any row; --json has all of them."""
    names = [name for name in rows[0] if name not in FOR_PROGRAMS]
    return [name for name in names if any(row[name] not in (None, "", []) for row in rows)]


def _cell(value: Any, sides: dict[Any, str]) -> Any:
    if isinstance(value, list):
        return "\n".join(str(one) for one in value)
    return sides.get(value, value) if isinstance(value, str) else value


def _recipe_settings(recipe: Any) -> Any:
    """Return a model's recipe as its settings; a ranking's recipe, which is a hash, as it is."""
    try:
        settings = json.loads(recipe)
    except ValueError:
        return recipe
    return settings if isinstance(settings, dict) else recipe


def _print_sides(left: dict[str, Any], right: dict[str, Any], chosen_id: str | None) -> None:
    texts = mark_differences(left["text"], right["text"], has_colours=out.is_terminal)
    titles = [
        f"{side['id']}{', chosen' if side['id'] == chosen_id else ''}" for side in (left, right)
    ]
    table = Table(*(Column(title, overflow="fold") for title in titles))
    table.add_row(*texts)
    out.print(table)


def mark_differences(left: str, right: str, has_colours: bool) -> tuple[Text, Text]:
    """Return two texts, with the words marked that the other text lacks at that place.

    Args:
        left: The text whose own words are red, or [-so-].
        right: The text whose own words are green, or {+so+}.
        has_colours: True if the output can show colours.
    """
    one, other = (re.findall(r"\s+|[^\s]+", text) for text in (left, right))
    sides = Text(), Text()
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    for tag, start, end, other_start, other_end in matcher.get_opcodes():
        spans = one[start:end], other[other_start:other_end]
        marks = (("[-", "-]", "bold red"), ("{+", "+}", "bold green"))
        for side, span, (opening, closing, style) in zip(sides, spans, marks, strict=True):
            text = safe_text("".join(span))
            if tag == "equal" or not text:
                side.append(text)
            elif has_colours:
                side.append(text, style=style)
            else:
                side.append(f"{opening}{text}{closing}")
    return sides
