"""Values that pass to and from an answer's functions, and tests that run apart from them."""

import ast
import contextlib
import json
import math
import os
import threading
from collections import Counter, deque, namedtuple
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from judges.verifiers.contained.codec import ProtocolError, decode, encode
from judges.verifiers.contained.main import ALL, CALLS_ONLY
from judges.verifiers.contained.peer import Gone, Peer
from judges.verifiers.contained.testing import can_run_apart, count_tests, modules, wanted_names

Point = namedtuple("Point", "x y")


class Nothing:
    """References that keep nothing: every one is an error."""

    def export(self, value: object) -> int:
        raise AssertionError(value)

    stand_in = own = export

    def number_of(self, value: object) -> None:
        return None


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -3,
        2**200,
        0.1,
        float("inf"),
        "é\ud800",
        b"\0\xff",
        [1, [2, (3,)]],
        {"a": {1, 2}, (1, 2): frozenset({3})},
        1 + 2j,
        range(3, 9, 2),
        deque([1, 2], maxlen=3),
        Decimal("1.10"),
        Fraction(1, 3),
        date(2024, 2, 29),
        datetime(2024, 2, 29, 1, 2, 3, 4),
        timedelta(days=-1, microseconds=5),
        len,
        ValueError,
    ],
)
def test_plain_values_round_trip(value: Any):
    found = decode(json.loads(json.dumps(encode(value, Nothing()))), Nothing())
    assert found == value
    assert type(found) is type(value)


def test_subclasses_arrive_as_what_they_derive_from():
    assert type(decode(encode(Counter("aab"), Nothing()), Nothing())) is dict
    assert decode(encode(Point(1, 2), Nothing()), Nothing()) == (1, 2)


@pytest.mark.parametrize(
    "message",
    [
        [],
        ["list"],
        ["list", 3],
        ["dict", [[1]]],
        ["dict", [[["list", []], 1]]],
        ["int", "zz"],
        ["int", 3],
        ["bytes", "x"],
        ["range", [0, 1]],
        ["range", [0.5, 1, 1]],
        ["builtin", "eval"],
        ["builtin", "__import__"],
        ["builtin", ["len"]],
        ["module", "os"],
        ["Popen", [["list", ["id"]]]],
        ["Fraction", [1, 0]],
        ["Decimal", ["x"]],
        ["date", [1, 99, 1]],
        ["yours", "0"],
        ["object", 0.5],
        {"list": []},
    ],
)
def test_what_encode_never_makes_is_refused(message: Any):
    with pytest.raises(ProtocolError):
        decode(message, Nothing())


def test_a_value_has_bounds():
    deep: Any = 1
    for _ in range(200):
        deep = ["list", [deep]]
    with pytest.raises(ProtocolError, match="too large"):
        decode(deep, Nothing())
    with pytest.raises(ProtocolError, match="too large"):
        decode(["list", [0] * 300_000], Nothing())


@pytest.fixture
def peer() -> Any:
    """Return a checker's end of the pipes; the other end serves `offered`."""
    offered: list[Any] = []
    to_answer, from_answer = os.pipe(), os.pipe()
    answering = Peer(to_answer[0], from_answer[1], ALL)
    answering.kept = offered

    def serve() -> None:
        with contextlib.suppress(Gone):
            answering.serve()

    thread = threading.Thread(target=serve)
    thread.start()
    checker = Peer(from_answer[0], to_answer[1], CALLS_ONLY)

    def offer(thing: Any) -> Any:
        offered.append(lambda: thing)
        return checker.request("call", len(offered) - 1)

    yield offer
    os.close(to_answer[1])
    thread.join()
    for end in (to_answer[0], *from_answer):
        os.close(end)


def test_a_call_changes_what_it_was_passed(peer: Any):
    def add(values: list[int], table: dict[str, int]) -> list[int]:
        values.append(3)
        table["a"] = 1
        return values

    values: list[int] = [1]
    table: dict[str, int] = {}
    assert peer(add)(values, table=table) is values
    assert (values, table) == ([1, 3], {"a": 1})


def test_functions_of_the_tests_can_be_passed(peer: Any):
    assert peer(lambda f, x: [f(each) for each in x])(lambda x: x * 2, [1, 2]) == [2, 4]
    assert peer(lambda f, x: f(x))(len, "abc") == 3


def test_functions_and_iterators_of_the_answer_can_be_used(peer: Any):
    def count() -> Any:
        number = 0
        while True:
            yield number
            number += 1

    numbers = peer(count)()
    assert [next(numbers) for _ in range(3)] == [0, 1, 2]
    assert peer(lambda x: lambda y: x + y)(1)(2) == 3
    assert list(peer(lambda: iter([1, 2]))()) == [1, 2]
    with pytest.raises(StopIteration):
        next(peer(lambda: iter([]))())


def test_exceptions_arrive_as_the_nearest_built_in_one(peer: Any):
    class Unknown(KeyError):
        pass

    def fail() -> None:
        raise Unknown("which")

    with pytest.raises(KeyError, match="which"):
        peer(fail)()
    with pytest.raises(UnicodeError):
        peer(lambda: b"\xff".decode())()


def test_an_object_of_the_answer_equals_nothing_but_itself(peer: Any):
    class Everything:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    one = Everything()
    found = peer(lambda: one)
    assert found() != 4
    assert found() == found()
    with pytest.raises(TypeError):
        found() < 4  # noqa: B015
    with pytest.raises(AttributeError):
        found()._hidden  # noqa: B018


@pytest.mark.parametrize(
    "tests",
    [
        "assert f(2) == 4",
        "def test_two():\n    assert f(2) == 4",
        "import math\nfrom itertools import islice\nassert list(islice(f(), 2)) == [math.pi, 1]",
        "def check(candidate):\n    assert candidate(1) == 2\ncheck(f)",
        "try:\n    f(-1)\n    assert False\nexcept ValueError:\n    pass",
        "for x in range(3):\n    assert f(x) == x ** 2",
        "assert abs(f(lambda x: x) - 1) < 1e-6",
    ],
)
def test_tests_of_functions_run_apart(tests: str):
    assert can_run_apart(ast.parse(tests))


@pytest.mark.parametrize(
    "tests",
    [
        "assert Stack().pop() is None",
        "class Node: pass\nassert f(Node()) == 1",
        "import sys\nassert f(2) == 4",
        "from os import path\nassert f(2) == 4",
        "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()): f()",
        "assert f.__name__ == 'f'",
        "assert eval('f(2)') == 4",
        "assert globals()['f'](2) == 4",
        "f.cache = {}\nassert f(2) == 4",
        "async def test_it():\n    assert await f() == 4",
    ],
)
def test_tests_that_need_the_answer_beside_them_do_not(tests: str):
    assert not can_run_apart(ast.parse(tests))


def test_a_built_in_name_is_the_answers_where_the_tests_name_nothing_else():
    assert wanted_names(ast.parse("assert sum(2, 3) == 5")) == ["sum"]
    assert wanted_names(ast.parse("assert len(f(2)) == 3")) == ["f"]


def test_modules_without_an_import_are_the_checkers():
    assert modules(ast.parse("assert f(1) == math.pi")) == {"math": math}
    assert modules(ast.parse("assert copy([1]) == [1]")) == {}


def test_each_assert_and_test_function_is_one_test():
    assert count_tests(ast.parse("assert 1\ndef test_a(): pass\ndef b(): pass\nx = 1")) == 2
    assert count_tests(ast.parse("x = 1")) == 1
