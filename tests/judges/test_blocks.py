"""Fenced blocks in the spellings that models use, and the one that counts."""

from textwrap import indent

import pytest

from judges.verifiers.blocks import Block, fenced_blocks, json_document, python_code
from judges.verifiers.sandbox import Limits, run_tests

ADD = "def add(a, b):\n    return a + b\n"
INDENTED = "  def add(a, b):\n      return a + b\n"
FENCED = [
    f"```python\n{ADD}```",
    f"Sure!\n```\n{ADD}```",
    f"```Python\n{ADD}```",
    f"```PYTHON3\n{ADD}```",
    f"```python 3\n{ADD}```",
    f"```python3.11\n{ADD}```",
    f"```py\n{ADD}```\nThat is all.",
    f"``` python  \n{ADD}```  ",
    f"```python\r\n{ADD}```",
    f"```python\n{ADD}```".replace("\n", "\r\n"),
    f"\ufeff```python\n{ADD}```",
    f"```python\n{ADD}",
    f"Unclosed:\n```\n{ADD}",
    f"  ```python\n{INDENTED}  ```",
    f"1. So:\n\n   ```python\n{indent(ADD, '   ')}   ```",
    f"```python\n{INDENTED}```",
    "\t```python\n\tdef add(a, b):\n\t    return a + b\n\t```",
    f"Here: ```python\n{ADD}```",
    f"```python\n{ADD.rstrip()}```",
    f"~~~python\n{ADD}~~~",
    f"~~~\n{ADD}~~~",
    f"````python\n{ADD}````",
    f"```{{python}}\n{ADD}```",
    f"```{{.python .numberLines}}\n{ADD}```",
    f'```python title="add.py"\n{ADD}```',
    f"```python:add.py\n{ADD}```",
]
CHOSEN = [
    (f"```python\ndef add(a, b): ...\n```\nBetter:\n```py\n{ADD}```", "the later one corrects"),
    (f"```python\n{ADD}```\nCall it:\n```python\nprint(add(1, 2))\n```", "a call defines nothing"),
    (f"```python\n{ADD}```\nIt prints\n```\n3\n```", "a label counts for more than none"),
    (f"```\n{ADD}```\nIt prints\n```\n3\n```", "an output defines nothing"),
    (f"```sh\npip install x\n```\n```python\n{ADD}```\n```js\nadd(1, 2)\n```", "other languages"),
    (f"```python\nx = (\n\n```python\n{ADD}```", "an unclosed block ends at the next"),
    (f"To begin, type ``` and go on.\n```python\n{ADD}```", "a mark within words opens nothing"),
]


@pytest.mark.parametrize("text", FENCED)
def test_every_spelling_of_a_fence_is_read(text: str):
    assert python_code(text) == ADD


@pytest.mark.parametrize(("text", "why"), CHOSEN)
def test_the_last_python_block_that_defines_something_counts(text: str, why: str):
    assert python_code(text) == ADD, why


def test_blocks_that_define_nothing_count_if_there_is_no_other():
    assert python_code("```python\na = 1\n```\nor\n```py\na = 2\n```\n```sh\nc\n```") == "a = 2\n"
    assert python_code("```python\ndef f(:\n```\n") == "def f(:\n"


@pytest.mark.parametrize(
    "text", ["a = 1", "", "No code.", 'def f():\n    """\n    ```\n    f()\n    ```\n    """\n']
)
def test_an_answer_without_fences_or_that_is_python_is_code_as_a_whole(text: str):
    assert python_code(text) == text


def test_a_longer_fence_holds_shorter_ones():
    text = "````markdown\n```python\na\n```\n````\n```python\nb\n```"
    inner = "```python\na\n```\n"
    assert fenced_blocks(text) == [Block("markdown", inner), Block("python", "b\n")]


@pytest.mark.parametrize("text", ["```" * 50_000, "```python\n" * 5000, "`" * 100_000 + "\n" * 9])
def test_hostile_fences_are_read_at_once(text: str):
    assert isinstance(fenced_blocks(text), list)


def test_json_is_read_from_every_spelling_too():
    for text in (
        '```JSON\n{"a": 1}\n```',
        '```\n{"a": 1}\n```',
        '~~~json\r\n{"a": 1}\r\n~~~',
        'So: ```json\n{"a": 1}```',
        '```json\n{"a": 0}\n```\nno:\n  ```json\n  {"a": 1}\n',
    ):
        assert json_document(text) == '{"a": 1}\n'
    assert json_document('{"a": "```"}') == '{"a": "```"}'


def test_an_indented_block_passes_its_tests():
    text = f"  ```python\n{INDENTED}  ```"
    ran = run_tests(python_code(text), "assert add(1, 2) == 3", Limits(10, 256))
    assert (ran.passed, ran.total) == (1, 1)
