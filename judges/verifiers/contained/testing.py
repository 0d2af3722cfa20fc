"""The tests of an answer: counting and running them, and deciding which can run apart from it."""

import ast
import builtins
from typing import Any

from .codec import SAFE_MODULES
from .peer import Gone

REASON_CHARACTERS = 500
BUILTINS = frozenset(dir(builtins))
NEEDS_THE_SAME_PROCESS = (
    ast.ClassDef,
    ast.AsyncFunctionDef,
    ast.AsyncFor,
    ast.Await,
    ast.With,
    ast.AsyncWith,
    ast.Match,
)
INTROSPECTION = (
    "__import__ breakpoint compile delattr dir eval exec getattr globals hasattr help id input "
    "issubclass locals memoryview open print setattr super vars"
)
REACHES_IN = frozenset(INTROSPECTION.split())


def can_run_apart(tree: ast.Module) -> bool:
    """Return True if tests only call functions with plain data, so that the answer can run apart.

    The tests alone decide, never the answer, which would choose the way it can deceive. Classes of
    the answer (names with a capital letter), classes of the tests, attributes that begin with an
    underscore and modules that touch the process need one process for both.
    """
    for node in ast.walk(tree):
        if isinstance(node, NEEDS_THE_SAME_PROCESS):
            return False
        if isinstance(node, ast.Import):
            if not all(alias.name in SAFE_MODULES for alias in node.names):
                return False
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module not in SAFE_MODULES:
                return False
        elif isinstance(node, ast.Attribute):
            if node.attr.startswith("_") or not isinstance(node.ctx, ast.Load):
                return False
        elif isinstance(node, ast.Name) and node.id in REACHES_IN:
            return False
    return not any(name[:1].isupper() for name in wanted_names(tree))


def wanted_names(tree: ast.Module) -> list[str]:
    """Return the names that tests expect an answer to define.

    A built-in name counts only if the tests use no other name: "assert sum(2, 3) == 5" tests a
    function named sum, but an answer cannot redefine `len` to pass "assert len(f(2)) == 3".
    """
    loaded: dict[str, None] = {}
    bound: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                loaded[node.id] = None
            else:
                bound.add(node.id)
        elif isinstance(node, ast.FunctionDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    free = [name for name in loaded if name not in bound and not name.startswith("__")]
    return [name for name in free if name not in BUILTINS] or free


def modules(tree: ast.Module) -> dict[str, Any]:
    """Return the modules that tests use without importing them, as in "assert f(1) == math.pi".

    They are the checker's own; an answer's `math` could pass any test.
    """
    bases = {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    return {name: __import__(name) for name in bases & SAFE_MODULES & set(wanted_names(tree))}


def count_tests(tree: ast.Module) -> int:
    """Return the number of tests; code that marks none counts as one."""
    return sum(_is_test(node) for node in tree.body) or 1


def run(tree: ast.Module, namespace: dict[str, Any]) -> tuple[int, str]:
    """Run the tests: each top-level `assert`, and each `test_` function, is one.

    Test code that has neither is one test, which passes if the code runs to its end. If any other
    statement of the tests fails, no test has passed.

    Returns:
        The number of tests that passed, and why the first failure failed.
    """
    reasons: list[str] = []
    total = count_tests(tree)
    try:
        for node in tree.body:
            try:
                _run(node, namespace)
            except Exception as error:  # whatever the code under test raises
                if not _is_test(node):
                    raise
                reasons.append(f"test of line {node.lineno}: {describe(error)}")
    except Gone as error:
        return 0, str(error)[:REASON_CHARACTERS]
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: the code is to return
        return 0, describe(error)
    return total - len(reasons), "".join(reasons[:1])


def _is_test(node: ast.stmt) -> bool:
    is_function = isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    return is_function or isinstance(node, ast.Assert)


def _run(node: ast.stmt, namespace: dict[str, Any]) -> None:
    exec(compile(ast.Module([node], []), "tests", "exec", dont_inherit=True), namespace)
    if isinstance(node, ast.FunctionDef) and _is_test(node):
        namespace[node.name]()


def describe(error: BaseException) -> str:
    """Return an exception's class and message."""
    try:
        return f"{type(error).__name__}: {error}"[:REASON_CHARACTERS]
    except BaseException:  # an exception may have a __str__ of its own
        return "an exception without words"
