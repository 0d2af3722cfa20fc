"""Equality of two expressions, by math-verify's parser and values to many digits.

math-verify's own comparison rounds to six decimals, so that 2^-98 and 2^-99, or 1/2004! and
1/2006!, are equal to it. Here numbers are compared exactly where they are rational, else to 50
digits relative to their size, and expressions with variables at points.
"""

import logging
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from math_verify import parse
from sympy import Basic, Expr, Float, MatrixBase, Rational, Set, Symbol, nan, oo, zoo
from sympy.logic.boolalg import Boolean

logging.getLogger("math_verify").setLevel(logging.ERROR)

LONGEST, DEEPEST = 1000, 100
"""Most characters and brackets of an expression; the parser takes minutes for deep nesting."""
DIGITS = 50
AGREEMENT = Rational(1, 10**30)
"""Greatest relative difference of two values that are equal."""
POINTS = (
    (Rational(7, 11), Rational(17, 13), Rational(29, 19), Rational(5, 23)),
    (Rational(-9, 7), Rational(13, 17), Rational(-3, 29), Rational(31, 11)),
    (Rational(23, 5), Rational(-11, 3), Rational(19, 31), Rational(-2, 13)),
)
"""Values of the variables, in turn."""


def expressions_equal(one: str, two: str, decimals: int | None = None) -> bool:
    """Return True if two expressions, or two equations written `… = 0`, are equal.

    Args:
        one: The first.
        two: The second.
        decimals: Number of decimals if one of them is a decimal that may be rounded.
    """
    if one == two:
        return True
    for operator in ("!=", "<=", ">=", "<", ">", "="):
        end = f" {operator} 0"
        if one.endswith(end) and two.endswith(end):
            return _are_multiples(one.removesuffix(end), two.removesuffix(end), operator)
    first, second = parsed(one), parsed(two)
    if first is None or second is None:
        return _words(one) == _words(two)
    return _equal(first, second) or (decimals is not None and _round_alike(first, second, decimals))


@lru_cache(maxsize=64)
def parsed(text: str) -> Any:
    """Return an expression as sympy has it; None if it is no mathematics."""
    if len(text) > LONGEST or max(text.count("("), text.count("{")) > DEEPEST:
        return None
    for candidate in parse(f"${text}$", parsing_timeout=None):
        if isinstance(candidate, Basic | MatrixBase):
            return _exact(candidate)
    return None


def _exact(value: Any) -> Any:
    """Return an expression whose decimals are the fractions that they were written as."""
    floats = value.atoms(Float)
    return value.xreplace({each: Rational(str(each)) for each in floats}) if floats else value


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, MatrixBase) or isinstance(two, MatrixBase):
        is_same = isinstance(one, MatrixBase) and isinstance(two, MatrixBase)
        return is_same and one.shape == two.shape and all(map(_equal, one, two))
    if one == two:
        return one is not nan and one is not zoo
    if isinstance(one, Set) and isinstance(two, Set):
        return one.doit() == two.doit()
    if isinstance(one, Boolean) or isinstance(two, Boolean):
        return False
    if isinstance(one, Symbol) and isinstance(two, Symbol):
        return len(one.name) > 1 and one.name.lower() == two.name.lower()
    if not (isinstance(one, Expr) and isinstance(two, Expr)):
        return False
    return all(_agree(a, b) for a, b in _values(one, two))


def _values(one: Any, two: Any) -> Iterable[tuple[Any, Any]]:
    """Yield the values of two expressions at each point; once if they have no variables."""
    one, two = one.doit(), two.doit()  # sums and integrals to a variable, before it has a value
    symbols = sorted(one.free_symbols | two.free_symbols, key=str)
    for point in POINTS if symbols else POINTS[:1]:
        values = {symbol: point[n % 4] + n // 4 for n, symbol in enumerate(symbols)}
        yield _substitute(one, values), _substitute(two, values)


def _substitute(expression: Any, values: Mapping[Any, Any]) -> Any:
    """Return an expression with values for its free variables; bound ones, as in sums, stay."""
    return expression.subs({symbol: values[symbol] for symbol in expression.free_symbols})


def _agree(one: Any, two: Any) -> bool:
    first, second = one.doit(), two.doit()
    if first == second:
        return first is not nan and first is not zoo
    if first.is_Rational and second.is_Rational:
        return False
    if first in (oo, -oo, zoo, nan) or second in (oo, -oo, zoo, nan):
        return False
    first, second = first.evalf(DIGITS), second.evalf(DIGITS)
    if not (first.is_number and second.is_number and first.is_finite and second.is_finite):
        return False
    size = max(abs(first), abs(second))
    return bool(abs(first - second) <= AGREEMENT * size)


def _round_alike(one: Any, two: Any, decimals: int) -> bool:
    """Return True if two numbers differ by less than one in the last of some decimals."""
    if not all(isinstance(each, Expr) and each.is_number for each in (one, two)):
        return False
    difference = (one.doit() - two.doit()).evalf(DIGITS)
    return bool(difference.is_real and abs(difference) < Rational(1, 10**decimals))


def _are_multiples(one: str, two: str, operator: str) -> bool:
    """Return True if one is the other times a constant, for an inequality a positive one."""
    first, second = parsed(one), parsed(two)
    if not (isinstance(first, Expr) and isinstance(second, Expr)):
        return False
    if first.free_symbols != second.free_symbols or not first.free_symbols:
        return False
    ratios = [a.doit() / b.doit() for a, b in _values(first, second) if b.doit() != 0]
    if len(ratios) < len(POINTS) or not all(_agree(ratios[0], ratio) for ratio in ratios[1:]):
        return False
    return operator in ("=", "!=") or bool(ratios[0].evalf(DIGITS) > 0)


def _words(text: str) -> str:
    return " ".join(text.lower().split()).strip(" .")
