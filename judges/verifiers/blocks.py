"""Fenced blocks of an answer, in every spelling that models use, and which of them counts.

Fences follow CommonMark (backticks or tildes, indented or not, closed by the same mark), and four
habits of models are read too: a fence that begins after words on its line, one that ends after
code on its line, one that is never closed, and Windows line ends.
"""

import ast
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PYTHON = re.compile(r"(?:python|py|ipython|cpython)(?:[ ]?\d[\d.]*)?", re.IGNORECASE)
JSON = re.compile(r"json", re.IGNORECASE)
DEFINITION = re.compile(r"^(?:async\s+def|def|class)\s", re.MULTILINE)
OPENING = re.compile(
    r"(?P<before>.*?)(?P<mark>`{3,}|~{3,})[ \t]*"
    r"(?:\{?[ \t]*\.?(?P<label>[A-Za-z][\w+#.-]*(?:[ ]\d[\d.]*)?)?(?P<rest>[^`]*))$"
)
"""A line that opens a block: its mark, then the language, bare or as `{.python}`, then options."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language as written ("" if it has none), and its text."""

    language: str
    text: str


def fenced_blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a text in order, without their indentation."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    lines = plain.removesuffix("\n").split("\n")
    blocks: list[Block] = []
    start = 0
    while start < len(lines):
        opening = OPENING.match(lines[start])
        start += 1
        if opening is None or not _is_opening(opening):
            continue
        body, start = _body(lines, start, opening["mark"])
        indent = 0 if opening["before"].strip() else len(opening["before"])
        code = "".join(f"{_without_indent(line, indent)}\n" for line in body)
        blocks.append(Block(opening["label"] or "", textwrap.dedent(code)))
    return blocks


def python_code(text: str) -> str:
    """Return the Python code of an answer.

    The blocks that count are those labelled as Python; if there are none, those without a label.
    Of several, the last that defines a function or a class is the code, as later blocks correct
    earlier ones and calls of the code often follow it; if none defines any, the last. An answer
    without such a block, or that is Python as it stands, is code as a whole.
    """
    if _parsed(text) is not None:
        return text
    return _chosen(text, PYTHON, lambda blocks: _last(blocks, _defines))


def json_document(text: str) -> str:
    """Return the JSON document of an answer: its last block labelled as JSON.

    If no block is, the last without a label; without any block, the whole answer.
    """
    return _chosen(text, JSON, lambda blocks: blocks[-1])


def _chosen(text: str, language: re.Pattern[str], choose: Callable[[list[str]], str]) -> str:
    blocks = fenced_blocks(text)
    for candidates in (
        [block.text for block in blocks if language.fullmatch(block.language)],
        [block.text for block in blocks if not block.language],
    ):
        if candidates:
            return choose(candidates)
    return text


def _last(texts: Sequence[str], is_meant: Callable[[str], bool]) -> str:
    return next((text for text in reversed(texts) if is_meant(text)), texts[-1])


def _defines(code: str) -> bool:
    """Return True if code defines a function or a class, be it with a syntax error."""
    module = _parsed(code)
    if module is None:
        return DEFINITION.search(code) is not None
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) for node in module.body)


def _parsed(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _is_opening(line: re.Match[str]) -> bool:
    """Return True unless a mark within a line of prose opens nothing, as "type ``` to begin"."""
    return not line["before"].strip() or not line["rest"].strip()


def _body(lines: Sequence[str], start: int, mark: str) -> tuple[Sequence[str], int]:
    """Return the lines of a block that begins at line `start`, and the first line after it.

    A line that ends in the mark ends the block, and so does the end of the text. A line that opens
    a block with a language ends one that was never closed.
    """
    closing = re.compile(rf"(?P<code>.*?){mark[0]}{{{len(mark)},}}[ \t]*$")
    for place in range(start, len(lines)):
        if closed := closing.match(lines[place]):
            code = [closed["code"]] if closed["code"].strip() else []
            return [*lines[start:place], *code], place + 1
        opening = OPENING.match(lines[place])
        if opening and opening["label"] and opening["mark"] == mark and _is_opening(opening):
            return lines[start:place], place
    return lines[start:], len(lines)


def _without_indent(line: str, indent: int) -> str:
    """Return a line without the indentation of its block's fence, or as much as it has of it."""
    return line[min(indent, len(line) - len(line.lstrip(" \t"))) :]
