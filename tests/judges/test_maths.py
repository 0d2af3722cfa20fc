"""Equality of final answers: a table derived by hand, and properties of every spelling.

Some pairs are public bug reports of peers: equations that share a side, fractions that a float
cannot tell apart, times, lists in another order.
"""

import random
from collections.abc import Callable, Iterator
from fractions import Fraction

import pytest

from judges.verifiers.final_answer import final_answer
from judges.verifiers.maths import MathsWorker

EQUAL = [
    ("3-5", "3–5"),
    ("3-5", "3 to 5"),
    ("3,14", "3.14"),
    ("3,140", "3140"),
    ("1,234,567", "1234567"),
    ("1 1/2", "3/2"),
    ("1/2", "0.5"),
    ("1/2", "\\frac{1}{2}"),
    ("\\dfrac12", "0.5"),
    ("50%", "0.5"),
    ("50%", "50"),
    ("50\\%", "1/2"),
    ("$18", "18"),
    ("$18.00", "18"),
    ("18 dollars", "18"),
    ("1.5e3", "1500"),
    ("1.5\\times 10^{3}", "1500"),
    ("1.5 x 10^3", "1,500"),
    ("12:00", "12:00"),
    ("12:00 pm", "12:00"),
    ("1:00 PM", "13:00"),
    ("{1,2}", "{2,1}"),
    ("\\{1,2\\}", "2, 1"),
    ("(1,2)", "(1, 2)"),
    ("1, 2", "2 and 1"),
    ("x = 5", "5"),
    ("5", "x=5"),
    ("x=5", "x = 5.0"),
    ("x=1, y=2", "y=2, x=1"),
    ("n=2,3,4", "2, 3, 4"),
    ("x>3", "(3,\\infty)"),
    ("3<x", "x>3"),
    ("0<x\\le 1", "(0,1]"),
    ("3x+4y+14=0", "6x+8y+28=0"),
    ("3x+4y+14=0", "4y=-14-3x"),
    ("y=2x+1", "2x-y+1=0"),
    ("\\sqrt{8}", "2\\sqrt{2}"),
    ("(x+1)^2", "x^2+2x+1"),
    ("1/3", "0.333333"),
    ("\\sqrt{2}", "1.414214"),
    ("\\frac{1}{2004!}", "\\frac{1}{2004!}"),
    ("2^{-99}", "\\frac{1}{2^{99}}"),
    ("\\pi", "3.14159265"),
    ("-3", "−3"),
    ("90^\\circ", "90"),
    ("5\\text{ cm}", "5"),
    ("5 cm", "5"),
    ("\\text{(A)}", "$\\text{(A)}$"),
    ("3:4", "6:8"),
    ("1'000", "1000"),
    ("1.234.567,89", "1234567.89"),
    ("12,34,567", "1234567"),
    ("\\boxed{3}, \\boxed{4}", "3, 4"),
    ("x \\in (0,1)", "(0,1)"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}1\\\\2.0\\end{pmatrix}"),
    ("(1,2)\\cup(3,4)", "(3,4)\\cup(1,2)"),
    ("a+b", "b+a"),
    ("2y > 4x", "y > 2x"),
    ("\\frac{\\sqrt{3}}{3}", "\\frac{1}{\\sqrt{3}}"),
    ("#### 72", "The answer is 72."),
    ("10,000", "10{,}000"),
    ("10\\,000", "10000"),
    ("5\\sqrt{2}\\text{ cm}", "5\\sqrt{2}"),
    ("0.5", "\\frac{1}{2}"),
    ("1e-3", "0.001"),
    ("007", "7"),
    (".5", "0.5"),
    ("+5", "5"),
    ("x^2-1", "(x-1)(x+1)"),
    ("\\sin^2 x", "1-\\cos^2 x"),
    ("(-\\infty, 3)", "x<3"),
    ("2/4", "1/2"),
    ("\\sum_{k=1}^{n} k", "\\frac{n(n+1)}{2}"),
    ("n\\sum_{n=1}^{3} n", "6n"),
    ("\\emptyset", "\\varnothing"),
    ("3\\pi/4", "\\frac{3\\pi}{4}"),
    ("So $x=3$.", "3"),
    ("the total is **1,200**.", "1200"),
    ("It costs $3 to sell and $5 to buy.", "$5"),
    ("-\\frac{1}{2}", "-0.5"),
    ("{1}", "1"),
]
DIFFERENT = [
    ("3-5", "-2"),
    ("3-5", "3-6"),
    ("3,14", "3,140"),
    ("3,14", "314"),
    ("3,140", "3.14"),
    ("1/2", "2"),
    ("1/2", "1/3"),
    ("50%", "0.05"),
    ("50%", "500"),
    ("50%", "0.5%"),
    ("1.5e3", "1.5e4"),
    ("12:00", "1:00"),
    ("12:00", "12"),
    ("12:00", "0"),
    ("(1,2)", "(2,1)"),
    ("(5,3)", "(7,2)"),
    ("{1,2}", "{1,3}"),
    ("{1,2}", "{1,2,3}"),
    ("{1,1}", "{1,2}"),
    ("[1,2]", "(1,2)"),
    ("[1,2)", "(1,2]"),
    ("x=5", "y=5"),
    ("x=5", "6"),
    ("n=2,3,4", "n=1,2,3"),
    ("3x+4y+14=0", "3x-y+13=0"),
    ("x+y=1", "x-y=1"),
    ("x>3", "x<3"),
    ("x>3", "x\\ge 3"),
    ("y > 2x", "y < 2x"),
    ("y > 2x", "-y > -2x"),
    ("\\frac{1}{2004!}", "\\frac{1}{2006!}"),
    ("2^{-99}", "2^{-98}"),
    ("2^{99}", "2^{99}+1"),
    ("10^{100}", "10^{100}+1"),
    ("0.0000001", "0.0000002"),
    ("0.33", "1/3"),
    ("1.41", "\\sqrt{2}"),
    ("a+b", "a-b"),
    ("x", "y"),
    ("x^2", "x^3"),
    ("\\sqrt{x^2}", "x"),
    ("19, 46, 82", "21, 36, 82"),
    ("12:00", "12:30"),
    ("1:00 am", "1:00 pm"),
    ("\\boxed{1}", "\\boxed{}"),
    ("18", "The answer is 19."),
    ("18", "no idea"),
    ("18", ""),
    ("5", "2x+3=5"),
    ("1000000000", "1000000001"),
    ("1.0000001", "1.0000002"),
    ("-3", "3"),
    ("(1,2)\\cup(3,4)", "(1,2)\\cup(3,5)"),
    ("\\pi", "3.14"),
    ("\\text{(A)}", "\\text{(B)}"),
    ("\\infty", "-\\infty"),
    ("0", "1e-12"),
    ("\\frac{1}{0}", "0"),
    ("100", "1,00"),
    ("2.5", "25"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}2\\\\1\\end{pmatrix}"),
    ("3:4", "4:3"),
    ("1,2,3", "1,2"),
    ("\\pm 2", "2"),
    ("2004!", "2004!+1"),
    ("\\sum_{k=1}^{n} k", "\\frac{n(n-1)}{2}"),
    ("n\\sum_{n=1}^{3} n", "7n"),
    ("7 dollars", "8 dollars"),
]
REPORTED = [
    (
        "Left: 437 + 2*234 = 905. Consistent!\n\nThus, the number of residents who own all four "
        "of the things is **73**.",
        "73",
        True,
    ),
    ("3*x-1*y+13=0", "3x + 4y + 14=0", False),
    ("\\boxed{\\frac{1}{2^{98}}}", "$\\frac{1}{2^{99}}$", False),
    ("\\boxed{\\frac{1}{2006!}}", "$\\frac{1}{2004!}$", False),
    ("\\boxed{n=1, 2, 3}", "$n=2, 3, 4$", False),
    ("\\boxed{1:00}", "$12:00$", False),
    ("\\boxed{21, 36, \\text{ and } 82}", "$19, 46, \\text{ and } 82$", False),
    ("\\boxed{(0, 12.5)}", "$0 < x < 12.5$", True),
    ("The answer is \\boxed{}", "$0<x<1$", False),
]
"""An answer, the reference, and if they are equal; each was once scored wrongly by some grader."""
SPELLINGS: list[Callable[[int], str]] = [
    str,
    lambda n: f"{n:,}",
    lambda n: f"{n}.0",
    lambda n: f"The answer is {n}.",
    lambda n: f"#### {n:,}",
    lambda n: f"So we get $x = {n}$, as was to be shown.",
    lambda n: rf"\boxed{{{n}}}",
    lambda n: rf"\frac{{{2 * n}}}{{2}}",
    lambda n: f"{3 * n}/3",
    lambda n: f"in all **{n}** dollars",
    lambda n: f"{n} apples",
    lambda n: f"{n}e0",
    lambda n: rf"{n}\%" if n > 0 else str(n),
]
HOSTILE = [
    r"\boxed{9^{9^{9^{9}}}}",
    "9^9^9^9",
    r"\boxed{(10^{10})!}",
    "(" * 5000,
    "{" * 900 + "1" + "}" * 900,
    "1," * 1000,
    "9" * 5000,
    "1e999999999",
    "<" * 2000,
    "\x00\ud800",
]


@pytest.fixture(scope="module")
def worker() -> Iterator[MathsWorker]:
    with MathsWorker() as started:
        yield started


@pytest.mark.parametrize(("one", "two"), EQUAL)
def test_these_are_equal_in_both_directions(one: str, two: str, worker: MathsWorker):
    assert worker.equal(one, two) is True
    assert worker.equal(two, one) is True


@pytest.mark.parametrize(("one", "two"), DIFFERENT)
def test_these_differ_in_both_directions(one: str, two: str, worker: MathsWorker):
    assert not worker.equal(one, two)
    assert not worker.equal(two, one)


@pytest.mark.parametrize(("answer", "reference", "is_equal"), REPORTED)
def test_answers_that_graders_get_wrong(
    answer: str, reference: str, is_equal: bool, worker: MathsWorker
):
    assert worker.equal(answer, reference) is is_equal


def test_a_number_equals_itself_and_not_the_next_in_every_spelling(worker: MathsWorker):
    drawn = random.Random(0)
    for number in (0, 1, 7, 999, 1000, 123_456_789, *(drawn.randint(-(10**6), 10**9),) * 2):
        for one in SPELLINGS:
            two = drawn.choice(SPELLINGS)
            assert worker.equal(one(number), two(number)) is True, (one(number), two(number))
            pair = one(number), two(number + 1)
            assert worker.equal(*pair) is False, pair
            assert worker.equal(*pair[::-1]) is False, pair


def test_fractions_equal_themselves_and_nothing_near(worker: MathsWorker):
    drawn = random.Random(1)
    for _ in range(20):
        value = Fraction(drawn.randint(1, 10**6), drawn.randint(2, 10**6))
        latex = rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
        double = rf"\frac{{{2 * value.numerator}}}{{{2 * value.denominator}}}"
        near = rf"\frac{{{value.numerator + 1}}}{{{value.denominator}}}"
        assert worker.equal(latex, f"{value.numerator}/{value.denominator}") is True
        assert worker.equal(latex, double) is True
        assert worker.equal(latex, near) is False


def test_no_text_raises_and_equality_is_symmetric(worker: MathsWorker):
    drawn = random.Random(2)
    parts = [*"0123456789.,-+/^(){}[]$\\ =<>:%xy\n", r"\frac", r"\boxed{", "and", "to", r"\pi"]
    for _ in range(150):
        text = "".join(drawn.choice(parts) for _ in range(drawn.randint(1, 12)))
        there, back = worker.equal(text, "17"), worker.equal("17", text)
        assert there == back or (there is False and back is None), text


def test_hostile_answers_end_within_the_limits(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("judges.verifiers.maths.TIMEOUT_SECONDS", 2.0)
    with MathsWorker() as own:
        for text in HOSTILE:
            try:
                assert own.equal("17", text) is False
            except TimeoutError:
                assert "^" in text or "!" in text
        assert own.equal("17", "17") is True


@pytest.mark.parametrize(
    ("text", "conclusion"),
    [
        (r"\boxed{1} at first, then \boxed{2}", "2"),
        (r"So \boxed{1} and \boxed{2}.", "1, 2"),
        (r"The answer is \boxed{}", None),
        ("The answer is (B), because 3 > 2.", "2"),
        ("I do not know.", None),
        ("5 * 3 = <<5*3=15>>15 eggs", "15"),
        ("It costs $3 to sell and $5 to buy.", "$5"),
        ("We find $a = 1$ and $b = 2$.", "a = 1, b = 2"),
        ("They open at 12:30.", "12:30"),
    ],
)
def test_conclusions(text: str, conclusion: str | None):
    assert final_answer(text) == conclusion
