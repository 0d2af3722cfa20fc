"""Values on the pipe between an answer and its tests: plain data by value, the rest by reference.

The receiving side gets exact built-in types only. An object whose `__eq__` always says yes arrives
as a reference that equals nothing, and an `int` with an `__eq__` of its own arrives as an int.
"""

import builtins
import numbers
import sys
from typing import Any, Protocol

DEEPEST = 100
FRAGMENTS = 200_000
"""Values in one message, counted through all levels."""
SAFE = (
    "bisect cmath collections copy datetime decimal fractions functools heapq itertools json math "
    "operator re statistics string typing"
)
SAFE_MODULES = frozenset(SAFE.split())
"""Modules that tests may import and still run apart from the answer."""


class ProtocolError(Exception):
    """The other side sent a message that no honest side sends."""


class References(Protocol):
    """Numbers objects that stay here, and makes proxies of the other side's objects."""

    def export(self, value: object) -> int:
        """Return a number for an object that stays here."""

    def stand_in(self, number: int, kind: str) -> object:
        """Return a proxy of one of the other side's objects."""

    def own(self, number: int) -> object:
        """Return the object that was exported under a number."""

    def number_of(self, value: object) -> int | None:
        """Return the other side's number of an object if the value is its proxy, else None."""


def encode(value: Any, references: References, depth: int = 0) -> Any:
    """Return a value in a form that JSON can hold.

    Args:
        value: Any object.
        references: Keeps objects that are not plain data.
        depth: Number of containers around the value.

    Raises:
        ValueError: If containers are nested more than a hundred deep.
    """
    if depth > DEEPEST:
        raise ValueError(f"a value is nested more than {DEEPEST} deep")
    kind = type(value)
    if value is None or kind is bool or kind is str or kind is float:
        return value
    if isinstance(value, int):
        number = int.__index__(value)
        return number if abs(number) < 1 << 53 else ["int", hex(number)]
    if isinstance(value, float):
        return float.__add__(value, 0.0)
    if isinstance(value, str):
        return str.__str__(value)
    for name, base in CONTAINERS.items():
        if isinstance(value, base):
            return [name, [encode(part, references, depth + 1) for part in base.__iter__(value)]]
    if isinstance(value, dict):
        pairs = dict.items(value)
        return ["dict", [[encode(part, references, depth + 1) for part in pair] for pair in pairs]]
    if isinstance(value, bytes | bytearray):
        name = "bytes" if isinstance(value, bytes) else "bytearray"
        return [name, bytes(memoryview(value)).hex()]
    return _encode_other(value, references, depth)


def _encode_other(value: Any, references: References, depth: int) -> Any:
    """Return a number or class of the standard library by value, and anything else by reference."""
    if isinstance(value, complex):
        return ["complex", [value.real, value.imag]]
    if isinstance(value, range):
        return ["range", [value.start, value.stop, value.step]]
    known = type(value).__module__, type(value).__qualname__
    if known in BY_PARTS:
        return [known[1], [encode(part, references, depth + 1) for part in BY_PARTS[known](value)]]
    theirs = references.number_of(value)
    if theirs is not None:
        return ["yours", theirs]
    name = getattr(value, "__name__", None)
    if isinstance(name, str) and getattr(builtins, name, None) is value:
        return ["builtin", name]
    if isinstance(value, type(sys)) and name in SAFE_MODULES:
        return ["module", name]
    if isinstance(value, numbers.Integral):  # numpy's, which are no int
        return encode(int(value), references, depth)
    if isinstance(value, numbers.Real):
        return float(value)
    kind = "iterator" if hasattr(type(value), "__next__") else "object"
    return [kind, references.export(value)]


def decode(message: Any, references: References) -> Any:
    """Return the value of a message from the other side, which is not trusted.

    Raises:
        ProtocolError: If `encode` cannot have made the message.
    """
    return _Decoder(references).value(message, 0)


class _Decoder:
    def __init__(self, references: References) -> None:
        self.references = references
        self.left = FRAGMENTS

    def value(self, message: Any, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth > DEEPEST + 1:
            raise ProtocolError("a value is too large")
        if message is None or isinstance(message, bool | int | float | str):
            return message
        if not (isinstance(message, list) and len(message) == 2 and isinstance(message[0], str)):
            raise ProtocolError("no value")
        name, content = message
        try:
            return self._made(name, content, depth + 1)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ProtocolError(f"no {name[:20]}: {type(error).__name__}") from None

    def _made(self, name: str, content: Any, depth: int) -> Any:
        if name in CONTAINERS:
            return CONTAINERS[name](self.value(part, depth) for part in content)
        if name == "dict":
            pairs = [(self.value(key, depth), self.value(part, depth)) for key, part in content]
            return dict(pairs)
        if name in SIMPLE:
            return SIMPLE[name](content)
        if name in ("object", "iterator"):
            return self.references.stand_in(_whole(content), name)
        if name == "yours":
            return self.references.own(_whole(content))
        if name == "builtin" and content in HARMLESS:
            return getattr(builtins, content)
        if name == "module" and content in SAFE_MODULES:
            return __import__(content)
        module = {qualified: module for module, qualified in BY_PARTS}[name]
        parts = [self.value(part, depth) for part in content]
        return getattr(__import__(module), name)(*parts)


def _whole(content: Any) -> int:
    if type(content) is not int:
        raise TypeError
    return content


def _range(content: Any) -> range:
    start, stop, step = map(_whole, content)
    return range(start, stop, step)


CONTAINERS: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
SIMPLE: dict[str, Any] = {
    "int": lambda content: int(content, 16),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "complex": lambda content: complex(*content),
    "range": _range,
}
BY_PARTS: dict[tuple[str, str], Any] = {
    ("collections", "deque"): lambda value: [list(value), value.maxlen],
    ("decimal", "Decimal"): lambda value: [str(value)],
    ("fractions", "Fraction"): lambda value: [value.numerator, value.denominator],
    ("datetime", "date"): lambda value: [value.year, value.month, value.day],
    ("datetime", "datetime"): lambda value: [*value.timetuple()[:6], value.microsecond],
    ("datetime", "timedelta"): lambda value: [value.days, value.seconds, value.microseconds],
}
PURE = (
    "abs all any bin bool bytes chr complex dict divmod enumerate filter float frozenset hex int "
    "isinstance iter len list map max min next object oct ord pow range repr reversed round set "
    "sorted str sum tuple zip"
)
EXCEPTIONS = {
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}
HARMLESS = EXCEPTIONS.union(PURE.split())
