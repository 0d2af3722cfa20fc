"""The structure of a final answer: numbers, lists, intervals and equations, and their equality.

A text is split here, exactly and in order, before any algebra: lists, intervals and equations are
compared part by part, and only their parts are expressions.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from rlhf_core.text.numbers import Number, read_number

ScalarsEqual = Callable[[str, str, int | None], bool]
"""Returns True if two expressions are equal; given a number of decimals, up to the last of them."""
NAME = re.compile(r"\\?[A-Za-z]\w{0,2}(?:_\{?\w+\}?)?'*(?:\([a-z]\))?")
"""A variable, as x, x_1, \\theta or f(x)."""
RELATION = re.compile(
    r"(?<![<>=!:])(?:\\(?:leq|geq|le|ge|lt|gt|neq|ne)(?![a-z])|<=|>=|!=|[<>=≤≥≠])(?!=)"
)
SPELLINGS = {
    "\\leq": "<=", "\\le": "<=", "≤": "<=", "\\geq": ">=", "\\ge": ">=", "≥": ">=",
    "\\lt": "<", "\\gt": ">", "\\ne": "!=", "\\neq": "!=", "≠": "!=",
}  # fmt: skip
FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(?:([ap])\.?\s?m\b\.?)?", re.IGNORECASE)
RATIO = re.compile(r"(\d+(?:\.\d+)?)\s*:\s*(\d+(?:\.\d+)?)")
RANGE = re.compile(r"(\S+?)\s*(?:-|–|—|--|\bto\b)\s*(\S+)")
LATEX = (
    (
        re.compile(
            r"\\(?:left|right|displaystyle|[!,;:> ]|quad|qquad|bigl?|bigr|Bigl?|Bigr)(?![a-zA-Z])"
        ),
        "",
    ),
    (re.compile(r"\\[dt]frac"), r"\\frac"),
    (re.compile(r"\\varnothing"), r"\\emptyset"),
    (re.compile(r"(?<=\d)\{,\}(?=\d)"), ","),
    (re.compile(r"\\(?:text|mathrm|textbf|mathbf)\s*\{\s*(?:,\s*)?(and|or)\s*\}"), r" \1 "),
    (re.compile(r"\$|~"), " "),
    (re.compile(r"\*\*(?!\s*\d)|\*\*(?=\s*$)"), ""),
)
SEPARATOR = re.compile(r";|,|\band\b|\bor\b")
UNIT = re.compile(r"\\(?:text|mathrm|mbox|textrm)\s*\{[^{}]*\}(?:\^\{?\d\}?)?|\^\{?\\circ\}?|°|\\%")
WORDS = re.compile(r"(?<![\\\w])[A-Za-z]{2,}")
OPEN, CLOSE = "([{", ")]}"
DEEPEST = 100
"""Most brackets within each other; what is nested deeper is not taken apart."""


@dataclass(frozen=True)
class Group:
    """Parts between brackets, or a list without any ("")."""

    brackets: str
    parts: tuple["Structure", ...]


@dataclass(frozen=True)
class Statement:
    """A relation of two expressions; with an operator of "=", the left one is often a name."""

    left: str
    operator: str
    right: "Structure"

    @property
    def is_assignment(self) -> bool:
        return self.operator == "=" and NAME.fullmatch(self.left) is not None


@dataclass(frozen=True)
class Clock:
    """A time of day or a duration, in seconds."""

    seconds: int


@dataclass(frozen=True)
class Expression:
    """An expression, with its number if it is one."""

    text: str
    number: Number | None = None


Structure = Group | Statement | Clock | Expression


def read(text: str) -> Structure:
    """Return the structure of a final answer, in LaTeX or plain."""
    text = plain(text)
    depths = accumulate((letter in OPEN) - (letter in CLOSE) for letter in text)
    return _read(text) if max(depths, default=0) <= DEEPEST else Expression(text)


def plain(text: str) -> str:
    """Return a text without marks that change no meaning."""
    for pattern, replacement in LATEX:
        text = pattern.sub(replacement, text)
    return re.sub(r"\s+", " ", text).strip(" ;").rstrip(" .;")


def equal(one: Structure, two: Structure, scalars_equal: ScalarsEqual) -> bool:
    """Return True if two final answers say the same.

    Args:
        one: The first, which may be the reference.
        two: The second; the order does not matter.
        scalars_equal: Compares expressions.
    """
    same = partial(equal, scalars_equal=scalars_equal)
    match one, two:
        case Statement(), Statement():
            return _statements_equal(one, two, scalars_equal)
        case Statement(), _:
            return one.is_assignment and same(one.right, two)
        case _, Statement():
            return same(two, one)
        case Group(), Group():
            return _groups_equal(one, two, same)
        case Clock(), Clock():
            return one == two
        case Expression(), Expression():
            if one.number is not None and two.number is not None:
                return one.number.equals(two.number)
            decimals = _decimals(one.number or two.number)
            return any(
                scalars_equal(first, second, decimals)
                for first in _readings(one)
                for second in _readings(two)
            )
    return False


def expressions(structure: Structure) -> Iterator[str]:
    """Yield the text of each expression in a final answer."""
    match structure:
        case Group(parts=parts):
            for part in parts:
                yield from expressions(part)
        case Statement(left=left, right=right):
            yield left
            yield from expressions(right)
        case Expression():
            yield from _readings(structure)


def _readings(expression: Expression) -> list[str]:
    """Return an expression as algebra reads it; of a percentage both of its values."""
    if expression.number is None:
        return [expression.text]
    value = expression.number.value
    return [str(value), str(value / 100)] if expression.number.is_percent else [str(value)]


def _decimals(number: Number | None) -> int | None:
    """Return the decimals of a number that has digits enough to round another."""
    return number.decimals if number is not None and number.may_round else None


def _read(text: str) -> Structure:
    text = text.strip(" ;").rstrip(" .;")
    if match := re.fullmatch(r"\\?[A-Za-z]\w?\s*\\in\s*(.+)", text):
        return _read(match[1])
    number = read_number(UNIT.sub("", text)) if "\\%" not in text else read_number(text)
    if number is not None:
        return Expression(text, number)
    if match := CLOCK.fullmatch(text):
        return _clock(match)
    if match := RATIO.fullmatch(text):
        return _read(f"{match[1]}/{match[2]}")
    parts = _split(text)
    if len(parts) > 1:
        return _list(parts)
    relations = list(_outside(text, RELATION))
    if relations:
        return _relation(text, relations)
    if match := RANGE.fullmatch(text):
        ends = read_number(match[1]), read_number(match[2])
        if ends[0] is not None and ends[1] is not None and ends[0].value < ends[1].value:
            return Group("[]", (Expression(match[1], ends[0]), Expression(match[2], ends[1])))
    return _bracketed(text) or Expression(_without_units(text))


def _clock(match: "re.Match[str]") -> Clock:
    hours, minutes, seconds = int(match[1]), int(match[2]), int(match[3] or 0)
    if match[4]:
        hours = hours % 12 + (12 if match[4].lower() == "p" else 0)
    return Clock(3600 * hours + 60 * minutes + seconds)


def _list(parts: Sequence[str]) -> Structure:
    """Return a list without brackets; "n = 2, 3" gives n two values."""
    read_parts = [_read(part) for part in parts]
    first, others = read_parts[0], read_parts[1:]
    has_name = isinstance(first, Statement) and first.is_assignment
    if isinstance(first, Statement) and has_name and not any(map(_is_statement, others)):
        return Statement(first.left, "=", Group("", (first.right, *others)))
    return Group("", tuple(read_parts))


def _is_statement(part: Structure) -> bool:
    return isinstance(part, Statement)


def _relation(text: str, relations: "Sequence[re.Match[str]]") -> Structure:
    """Return an equation, or the interval that bounds of one variable describe."""
    signs = [SPELLINGS.get(match.group(), match.group()) for match in relations]
    edges = [0, *(end for match in relations for end in match.span()), len(text)]
    sides = [text[start:end].strip() for start, end in zip(edges[::2], edges[1::2], strict=True)]
    if set(signs) == {"="}:  # a = b = c: the first side is named, the last is its value
        return Statement(sides[0], "=", _read(sides[-1]))
    if len(signs) == 2 and NAME.fullmatch(sides[1]):
        if all(sign in ("<", "<=") for sign in signs):
            return _interval(sides[0], signs[0], signs[1], sides[2])
        if all(sign in (">", ">=") for sign in signs):
            return _interval(sides[2], FLIPPED[signs[1]], FLIPPED[signs[0]], sides[0])
    if len(signs) == 1 and signs[0] in FLIPPED:
        left, sign, right = sides[0], signs[0], sides[1]
        if NAME.fullmatch(right) and not NAME.fullmatch(left):
            left, sign, right = right, FLIPPED[sign], left
        if NAME.fullmatch(left) and not NAME.search(re.sub(r"\\[a-z]+", "", right)):
            if sign in ("<", "<="):
                return _interval("-\\infty", "<", sign, right)
            return _interval(right, FLIPPED[sign], "<", "\\infty")
    if len(signs) == 1:
        return Statement(sides[0], signs[0], Expression(sides[1], read_number(sides[1])))
    return Expression(text)


def _interval(low: str, first: str, second: str, high: str) -> Group:
    brackets = ("[" if first == "<=" else "(") + ("]" if second == "<=" else ")")
    return Group(brackets, (_read(low), _read(high)))


def _bracketed(text: str) -> Structure | None:
    r"""Return the parts of (…), […] or \{…\} if they hold all of the text; braces may hold one."""
    inner = re.sub(r"\\(?:\{|lbrace\b)", "{", re.sub(r"\\(?:\}|rbrace\b)", "}", text))
    if len(inner) < 2 or inner[0] not in OPEN or inner[-1] not in CLOSE:
        return None
    if _end_of_group(inner) != len(inner) - 1:
        return None
    parts = _split(inner[1:-1], in_brackets=True)
    if len(parts) < 2:
        return _read(parts[0]) if parts and inner[0] == "{" else None
    return Group(inner[0] + inner[-1], tuple(_read(part) for part in parts))


def _end_of_group(text: str) -> int:
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter in OPEN) - (letter in CLOSE)
        if depth == 0:
            return place
    return -1


def _split(text: str, in_brackets: bool = False) -> list[str]:
    """Return the parts of a list: separated by commas, semicolons, "and" or "or", outside brackets.

    A comma between digits belongs to a number where `read_number` reads it so; in brackets only if
    other commas have a space behind them, as in (1,000, 2,000).
    """
    separators = list(_outside(text, SEPARATOR))
    if not in_brackets or re.search(r", ", text):
        separators = [match for match in separators if _separates(text, match)]
    edges = [0, *(end for match in separators for end in match.span()), len(text)]
    parts = [text[start:end].strip() for start, end in zip(edges[::2], edges[1::2], strict=True)]
    return [part for part in parts if part]


def _separates(text: str, match: "re.Match[str]") -> bool:
    before, after = text[: match.start()], text[match.end() :]
    if match.group() != "," or not (before[-1:].isdigit() and after[:1].isdigit()):
        return True
    start = re.search(r"[\d,.]*$", before)
    end = re.match(r"[\d,.]*", after)
    around = f"{start[0] if start else ''},{end[0] if end else ''}".rstrip(",.")
    return read_number(around) is None


def _outside(text: str, pattern: "re.Pattern[str]") -> "list[re.Match[str]]":
    """Return the matches that stand in no bracket."""
    depths, depth = [], 0
    for letter in text:
        depth += letter in OPEN
        depths.append(depth)
        depth -= letter in CLOSE and depth > 0
    return [match for match in pattern.finditer(text) if depths[match.start()] == 0]


def _without_units(text: str) -> str:
    """Return an expression without its unit, unless it is nothing but a unit."""
    without = UNIT.sub(" ", text).strip()
    return without if without and "\\%" not in text else text


def _groups_equal(one: Group, two: Group, same: Callable[[Structure, Structure], bool]) -> bool:
    if len(one.parts) != len(two.parts):
        return False
    sets = ("", "{}")
    if one.brackets in sets and two.brackets in sets:
        return _same_in_some_order(list(one.parts), list(two.parts), same)
    if one.brackets != two.brackets and {one.brackets, two.brackets} != {"", "()"}:
        return False
    return all(same(a, b) for a, b in zip(one.parts, two.parts, strict=True))


def _same_in_some_order(
    one: list[Structure], two: list[Structure], same: Callable[[Structure, Structure], bool]
) -> bool:
    for first in one:
        match = next((n for n, second in enumerate(two) if same(first, second)), None)
        if match is None:
            return False
        del two[match]
    return True


def _statements_equal(one: Statement, two: Statement, scalars_equal: ScalarsEqual) -> bool:
    """Return True if two equations have the same solutions: one is a multiple of the other."""
    if one.is_assignment and two.is_assignment and one.left == two.left:
        return equal(one.right, two.right, scalars_equal)
    if not (isinstance(one.right, Expression) and isinstance(two.right, Expression)):
        return False
    if one.operator != two.operator:
        return False
    return scalars_equal(
        f"({one.left})-({one.right.text}) {one.operator} 0",
        f"({two.left})-({two.right.text}) {two.operator} 0",
        None,
    )
