"""Thoughts are told apart from answers, in the marks of each kind of model."""

import pytest

from rlhf_core.models.answers import UNCLOSED, AnswerReader
from rlhf_core.models.chat import ChatFormat
from rlhf_core.records.conversation import ask
from tests.rlhf_core.models.chat_templates import KINDS, Kind

MAGISTRAL = Kind("chatml", ("<pad>", "</s>", "[THINK]", "[/THINK]"), "</s>")
TAGGED = "<think>\nA river.\n</think>\n\nThe Seine."
ANALYSIS = (
    "<|channel|>analysis<|message|>A river.<|end|><|start|>assistant"
    "<|channel|>final<|message|>The Seine."
)


def read(kind: Kind, written: str, finish_reason: str = "eos", prompt: str = "Which?"):
    tokenizer = kind.tokenizer()
    reader = AnswerReader(tokenizer, frozenset([tokenizer.eos_token_id]))
    asked = ChatFormat(tokenizer, None).prompt_ids(ask(prompt))
    said = tokenizer.encode(written, add_special_tokens=False)
    ended = [*said, tokenizer.eos_token_id] if finish_reason == "eos" else said
    return reader.read(asked, ended, finish_reason)


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (KINDS["qwen3"], TAGGED),
        (KINDS["deepseek"], TAGGED.removeprefix("<think>\n")),  # its prompt opens the thoughts
        (KINDS["harmony"], ANALYSIS),
        (KINDS["llama3"], TAGGED),  # whose tokenizer has no token for the marks
        (MAGISTRAL, "[THINK]A river.[/THINK]The Seine."),
    ],
)
def test_thoughts_stand_apart_from_the_answer(kind: Kind, written: str):
    answer = read(kind, written)
    assert (answer.text, answer.reasoning) == ("The Seine.", "A river.")
    assert answer.finish_reason == "eos"
    assert not answer.is_lost


@pytest.mark.parametrize(
    ("kind", "begun"),
    [
        (KINDS["qwen3"], "<think>\nA river"),
        (KINDS["deepseek"], "A river"),
        (KINDS["harmony"], "<|channel|>analysis<|message|>A river"),
        (MAGISTRAL, "[THINK]A river"),
    ],
)
def test_thoughts_that_never_end_leave_no_answer(kind: Kind, begun: str):
    cut = read(kind, begun, "length")
    assert (cut.text, cut.reasoning, cut.finish_reason) == ("", "A river", "length")
    ended = read(kind, begun)
    assert (ended.text, ended.reasoning, ended.finish_reason) == ("", "A river", UNCLOSED)
    assert cut.is_lost
    assert ended.is_lost


@pytest.mark.parametrize(
    ("kind", "written", "expected"),
    [
        (KINDS["qwen3"], "<think>\n\n</think>\n\nThe Seine.", "The Seine."),
        (KINDS["qwen3"], "The tag </think> ends a <think>.", "The tag </think> ends a <think>."),
        (KINDS["harmony"], "<|channel|>final<|message|>The Seine.", "The Seine."),
        (KINDS["llama3"], " The Seine. ", "The Seine."),
        (KINDS["vicuna"], "It spells <|start|>.", "It spells <|start|>."),
    ],
)
def test_an_answer_without_thoughts_has_none(kind: Kind, written: str, expected: str):
    answer = read(kind, written)
    assert (answer.text, answer.reasoning, answer.finish_reason) == (expected, None, "eos")


@pytest.mark.parametrize("name", KINDS)
def test_a_demonstration_reads_as_its_text(name: str):
    """An answer without thoughts, as each template writes it."""
    tokenizer = KINDS[name].tokenizer()
    chat = ChatFormat(tokenizer, None)
    ids = chat.answer_ids("it is the Seine." if name != "lower" else "it is the seine.")
    reader = AnswerReader(tokenizer, frozenset([ids[-1]]))
    answer = reader.read(chat.prompt_ids(ask("Which?")), ids)
    assert answer.text.lower() == "it is the seine."
    assert answer.reasoning is None
