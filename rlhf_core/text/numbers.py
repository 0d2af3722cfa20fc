"""Numbers as people and models write them: exact values, with the ways a text can be read.

A spelling is read as English does it where two readings compete: "3,140" is three thousand one
hundred and forty, and "3,14", which no English number is, has a decimal comma. A percentage stands
for its value and for the number before the sign, as data sets write either.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import regex

GROUPS = r"\d{1,3}(?:,\d{3})+(?!\d)|\d{1,2}(?:,\d{2})+,\d{3}(?!\d)"
"""1,234,567 and, as in India, 12,34,567."""
DOTTED = r"\d{1,3}(?:\.\d{3}){2,}(?!\d)(?:,\d+)?|\d{1,3}(?:\.\d{3})+,\d+"
"""1.234.567,89: dots between thousands, if a comma or a second dot says so."""
SPACED = r"\d{1,3}(?:[\u00a0\u2009\u202f'’_]\d{3})+(?!\d)(?:[.,]\d+)?"
DIGITS = (
    rf"(?:{DOTTED}|{SPACED}|(?:{GROUPS})(?:\.\d+)?|\d+\.\d+|(?<!\d,)\d+,\d+(?![,\d])|\d+|\.\d+)"
)
POWER = r"[eE][-+]?\d+|[ ]*(?:\\times|\\cdot|×|·|x|\*)[ ]*10[ ]*(?:\^|\*\*)[ ]*\{?[-+]?\d+\}?"
PLAIN = rf"(?P<digits>{DIGITS})(?P<power>{POWER})?"
SIGN = r"(?P<sign>[-+\u2212])?"
CURRENCY = r"(?:\\?[$€£¥₹]|USD[ ]?|EUR[ ]?)?"
FRACTION = r"(?P<whole>\d+[ ])?(?P<over>\d+)[ ]?[/\u2044][ ]?(?P<under>\d+)(?![\d/.,]\d)"
PERCENT = r"(?P<percent>[ ]?(?:\\?%|percent\b|per cent\b))?"
NUMBER = regex.compile(
    rf"(?<![\w.]){SIGN}{CURRENCY}(?:{FRACTION}|{PLAIN}){PERCENT}", regex.IGNORECASE
)
ROUNDED_FROM = 6
"""Significant digits from which a decimal may stand for a number that it rounds."""
LONGEST, LONGEST_POWER = 1000, 5000
"""Most characters of a number, and the greatest exponent of ten that is written out."""


@dataclass(frozen=True)
class Number:
    """A number as written."""

    value: Fraction
    decimals: int = 0
    """Digits after the decimal point."""
    digits: int = 0
    """Significant digits, if it has decimals."""
    is_percent: bool = False

    @property
    def may_round(self) -> bool:
        """True if it is a decimal of digits enough to stand for a number that it rounds."""
        return self.decimals > 0 and self.digits >= ROUNDED_FROM

    def readings(self, other: "Number") -> list[tuple[Fraction, Fraction]]:
        """Return the pairs of values of two numbers of which one must be equal.

        50% is 1/2, and it is 50 too, as a question for a percentage may be answered without the
        sign.
        """
        if self.is_percent == other.is_percent:
            return [(self.value, other.value)]
        if self.is_percent:
            return [(self.value, other.value), (self.value / 100, other.value)]
        return [(self.value, other.value), (self.value, other.value / 100)]

    def equals(self, other: "Number") -> bool:
        """Return True if both are one number, or one is a decimal that rounds the other."""
        may_round = self.decimals != other.decimals
        limits = [Fraction(1, 10**n.decimals) for n in (self, other) if may_round and n.may_round]
        return any(
            a == b or any(abs(a - b) < limit for limit in limits) for a, b in self.readings(other)
        )


def read_number(text: str) -> Number | None:
    """Return the number that a text is, with or without a currency or percent sign, or None."""
    match = NUMBER.fullmatch(text.strip())
    return _number(match) if match else None


def find_numbers(text: str) -> Iterator[tuple[Number, int, int]]:
    """Yield the numbers of a text with their places; of "3-5", a range, 3 and 5."""
    for match in NUMBER.finditer(text):
        number = _number(match)
        if number is not None:
            yield number, match.start(), match.end()


def last_number(text: str) -> Number | None:
    """Return the last number of a text; None if it has none."""
    numbers = [number for number, _, _ in find_numbers(text)]
    return numbers[-1] if numbers else None


def _number(match: "regex.Match[str]") -> Number | None:
    sign = -1 if match["sign"] in ("-", "\u2212") else 1
    is_percent = match["percent"] is not None
    if len(match.group()) > LONGEST:
        return None
    if match["over"] is not None:
        under = int(match["under"])
        if under == 0:
            return None
        value = Fraction(int(match["whole"] or 0)) + Fraction(int(match["over"]), under)
        return Number(sign * value, is_percent=is_percent)
    plain = _plain_digits(match["digits"])
    power = int(regex.findall(r"[-+]?\d+", match["power"])[-1]) if match["power"] else 0
    if abs(power) > LONGEST_POWER:
        return None
    decimals = len(plain.partition(".")[2])
    digits = len(plain.replace(".", "").lstrip("0"))
    value = sign * Fraction(plain) * Fraction(10) ** power
    return Number(value, max(decimals - power, 0) if decimals else 0, digits, is_percent)


def _plain_digits(digits: str) -> str:
    """Return digits with a decimal point, if any, and without thousands separators."""
    digits = regex.sub(r"[\u00a0\u2009\u202f'’_]", "", digits)
    if regex.fullmatch(DOTTED, digits):
        digits = digits.replace(".", "").replace(",", ".")
    elif regex.fullmatch(rf"(?:{GROUPS})(?:\.\d+)?", digits):
        digits = digits.replace(",", "")
    return digits.replace(",", ".")
