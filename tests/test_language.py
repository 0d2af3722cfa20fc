"""The language of the code, as far as a machine can see it."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.test_architecture import SOURCES, name, parsed

FRAGMENTS = re.compile(
    r"\W*(Of|By|To|What|Who|Whose|Whom|Where|When|How|Whether|Which|That|As|With|Without|Under|From|In"
    r"|At|For|If|Than|Until|Beside|Within|It|And|So|Not|On|Also|Or|But|Like)\b"
)
"""First words of a docstring that hangs on the name before it instead of saying what it is."""
FEW = 2
"""Up to so many parameters, a signature and a sentence say all."""
OF_TORCH = ("forward", "backward", "setup_context")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring, those under assignments and fields too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if text := ast.get_docstring(node):
                yield getattr(node, "lineno", 1), text
            for before, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                    value = after.value
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        yield after.lineno, value.value


def public_functions(body: list[ast.stmt]) -> Iterator[Function]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif isinstance(node, Function) and not node.name.startswith("_"):
            yield node


def parameters(function: Function) -> list[str]:
    of = function.args
    every = [argument.arg for argument in (*of.posonlyargs, *of.args, *of.kwonlyargs)]
    return [each for each in every if each not in ("self", "cls")]


def lacks(function: Function) -> str | None:
    """The section that a docstring should have and has not."""
    text = ast.get_docstring(function) or ""
    if "Args:" not in text:
        return "Args"
    returned = function.returns
    is_none = isinstance(returned, ast.Constant) and returned.value is None
    says = text.startswith(("Return", "Yield")) or "Returns:" in text or "Yields:" in text
    return None if returned is None or is_none or says else "Returns"


def test_docstrings_begin_with_a_sentence_or_a_name():
    found = [
        f"{name(path)}:{line}: {text.splitlines()[0]}"
        for path in SOURCES
        for line, text in docstrings(parsed(path))
        if FRAGMENTS.match(text)
    ]
    assert found == []


def test_public_functions_explain_their_parameters():
    """Commands explain theirs in their options."""
    found = [
        f"{name(path)}:{function.lineno}: {function.name} has no {section}"
        for path in SOURCES
        if not name(path).startswith("flows/cli/")
        for function in public_functions(parsed(path).body)
        if len(parameters(function)) > FEW and function.name not in OF_TORCH
        if (section := lacks(function))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "section"),
    [
        ('def f(a, b, c) -> int:\n    """Return one."""', "Args"),
        ('def f(a, b, c) -> int:\n    """Add.\n\n    Args:\n        a: One."""', "Returns"),
        ('def f(a, b, c) -> None:\n    """Add.\n\n    Args:\n        a: One."""', None),
    ],
)
def test_the_lint_sees_what_is_missing(code: str, section: str | None):
    (function,) = public_functions(ast.parse(code).body)
    assert lacks(function) == section
