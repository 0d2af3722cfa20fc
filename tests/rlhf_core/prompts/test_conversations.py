"""Prompts that are conversations, as they are read from a file."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlhf_core.config.prompts import PromptSettings
from rlhf_core.errors import DataFileError
from rlhf_core.prompts.intake import read_prompts
from rlhf_core.records import Prompt

SYSTEM = {"role": "system", "content": "Answer in verse."}
CHAT = [
    {"role": "user", "content": "Name a river."},
    {"role": "assistant", "content": "The Seine."},
    {"role": "user", "content": "And another?"},
]
CALL = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}


def read(folder: Path, row: dict[str, Any], **settings: Any) -> Prompt:
    path = folder / "prompts.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (prompt,) = read_prompts(PromptSettings(path=str(path), **settings)).prompts
    return prompt


def test_a_single_message_of_the_user_is_its_text(tmp_path: Path):
    chat = read(tmp_path, {"prompt": [{"role": "user", "content": "Name a river."}]})
    assert chat.messages is None
    assert chat == read(tmp_path, {"prompt": "Name a river."})


def test_a_conversation_keeps_its_messages(tmp_path: Path):
    prompt = read(tmp_path, {"prompt": [SYSTEM, *CHAT]})
    assert prompt.conversation.messages == (SYSTEM, *CHAT)
    assert prompt.text.endswith(
        "Human: Name a river.\n\nAssistant: The Seine.\n\nHuman: And another?"
    )


def test_tools_and_their_calls_are_part_of_the_prompt(tmp_path: Path):
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    told = {"role": "tool", "name": "search", "tool_call_id": "c1", "content": "Loire"}
    row = {"prompt": [CHAT[0], called, told], "tools": [TOOL]}
    prompt = read(tmp_path, row)
    assert prompt.conversation.messages == (CHAT[0], called, told)
    assert prompt.conversation.tools == (TOOL,)
    assert prompt == read(tmp_path, {**row, "tools": json.dumps([TOOL])})
    assert prompt.id != read(tmp_path, {"prompt": row["prompt"]}).id


def test_the_context_stands_before_the_last_message_of_the_user(tmp_path: Path):
    prompt = read(tmp_path, {"prompt": CHAT, "context": "Rivers: Seine, Loire."})
    assert prompt.conversation.messages == (
        *CHAT[:2],
        {"role": "user", "content": "Rivers: Seine, Loire.\n\nAnd another?"},
    )


def test_worked_examples_come_after_the_system_message_and_are_not_asked(tmp_path: Path):
    examples = [{"role": "user", "content": "Name a city."}, CHAT[1]]
    prompt = read(tmp_path, {"prompt": [SYSTEM, CHAT[2]], "few_shot": examples})
    assert prompt.conversation.messages == (SYSTEM, *examples, CHAT[2])
    assert prompt.asked.messages == (SYSTEM, CHAT[2])
    assert prompt.text == "System: Answer in verse.\n\nHuman: And another?"
    single = read(tmp_path, {"prompt": "And another?", "few_shot": examples})
    assert single.conversation.messages == (*examples, CHAT[2])
    assert single.id != read(tmp_path, {"prompt": "And another?"}).id
    with pytest.raises(DataFileError, match="line 1: 'few_shot' must begin with"):
        read(tmp_path, {"prompt": "And another?", "few_shot": CHAT})


def test_a_dialogue_and_its_continuations_are_on_one_side(tmp_path: Path):
    """Whatever the system says; the side is that of the first message by itself."""
    sides = set()
    for number in range(20):
        first = {"role": "user", "content": f"Name river {number}."}
        rows = [[first], [SYSTEM, first], [first, *CHAT[1:]], [SYSTEM, first, *CHAT[1:], *CHAT[1:]]]
        splits = {read(tmp_path, {"prompt": row}, holdout=0.5).split for row in rows}
        assert splits == {read(tmp_path, {"prompt": first["content"]}, holdout=0.5).split}
        sides |= splits
    assert len(sides) == 2


def test_the_arguments_of_a_call_are_kept_as_json_text(tmp_path: Path):
    function = {"name": "search", "arguments": {"river": "Loire"}}
    called = {"role": "assistant", "tool_calls": [{"type": "function", "function": function}]}
    told = {"role": "tool", "content": "1,006 km"}
    prompt = read(tmp_path, {"prompt": [CHAT[0], called, told]})
    (call,) = prompt.conversation.messages[1]["tool_calls"]
    assert call["function"]["arguments"] == '{"river": "Loire"}'
    text = {"name": "search", "arguments": '{"river": "Loire"}'}
    called["tool_calls"][0]["function"] = text
    assert prompt == read(tmp_path, {"prompt": [CHAT[0], called, told]})


def test_parts_of_text_are_joined(tmp_path: Path):
    parts = [{"type": "text", "text": "Name "}, {"type": "text", "text": "a river."}]
    assert read(tmp_path, {"prompt": [{"role": "user", "content": parts}]}).text == "Name a river."


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (CHAT[:2], "ends with a message of the role 'assistant'"),
        ([SYSTEM], "ends with a message of the role 'system'"),
        ([{"role": "tool", "content": "x"}], "has no message of the user"),
        ([{"role": "narrator", "content": "x"}], "message 1 of 'prompt' has the role 'narrator'"),
        ([CHAT[0], {"role": "user"}], "message 2 of 'prompt' must hold a text"),
        ([{**CHAT[0], "tool_calls": [{"function": {}}]}], "message 1 of 'prompt': call 1 names no"),
        ([{**CHAT[0], "tool_calls": [7]}], "call 1 must hold function and type, not int"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
            "message 1 of 'prompt' holds a part of the type 'image_url'; only text can be read",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused_with_its_line(
    tmp_path: Path, messages: list[dict[str, Any]], reason: str
):
    with pytest.raises(DataFileError, match=reason) as error:
        read(tmp_path, {"prompt": messages})
    assert "line 1" in str(error.value)


@pytest.mark.extra("presidio_analyzer")
def test_personal_data_is_masked_in_each_message(tmp_path: Path):
    chat = [{"role": "user", "content": "I am ann@example.org"}, *CHAT[1:]]
    prompt = read(tmp_path, {"prompt": chat}, privacy={"policy": "mask", "kinds": ["email"]})
    assert prompt.conversation.messages[0]["content"] == "I am [EMAIL]"
    assert "example.org" not in prompt.text
    examples = [{"role": "user", "content": "Call 212-555-0175."}, CHAT[1]]
    arguments = json.dumps({"to": ["ann@example.org", 7]})
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "mail", "arguments": ""}}]}
    call["tool_calls"][0]["function"]["arguments"] = arguments
    row = {"prompt": [CHAT[0], call, CHAT[2]], "few_shot": examples}
    prompt = read(tmp_path, row, privacy={"policy": "mask", "kinds": ["email", "phone"]})
    masked = prompt.conversation.messages[3]["tool_calls"][0]["function"]
    assert json.loads(masked["arguments"]) == {"to": ["[EMAIL]", 7]}
    assert prompt.conversation.messages[0]["content"] == "Call [PHONE]."
    assert "example.org" not in prompt.text
