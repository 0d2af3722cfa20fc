"""Functions of a user's, as judges: good ones, and one for each fault."""

import difflib
import math
from collections.abc import Iterator
from typing import Any

from judges import Opinion, abstains, scored

NOT_A_FUNCTION = 0.5


def closeness(answer: str, references: list[str]) -> float | Opinion:
    if not references:
        return abstains("nothing to compare with")
    return max(difflib.SequenceMatcher(None, answer, each).ratio() for each in references)


def shorter(first: str, second: str) -> float:
    return 0.5 if len(first) == len(second) else float(len(first) < len(second))


def always(score: float = 1.0, **facts: Any) -> float:
    return score


def lengths(answer: list[str], limit: int) -> list[float]:
    return [min(len(each) / limit, 1.0) for each in answer]


def lengths_of_clean_ones(answer: list[str]) -> list[float]:
    if any("bad" in each for each in answer):
        raise ValueError("bad answer")
    return [len(each) / 100 for each in answer]


def everything(
    answer: str,
    is_finished: bool,
    prompt: str,
    messages: list[dict[str, str]],
    context: str | None,
    references: list[str],
    mode: str,
) -> float:
    told = (answer, is_finished, prompt, messages, context, references, mode)
    said = [{"role": "user", "content": "Rome fell.\n\nWhen?"}]
    return float(told == ("476", False, "When?", said, "Rome fell.", ["476"], "text_grounded"))


def raises_on_digits(answer: str) -> float | None:
    if answer.isdigit():
        raise KeyError(answer)
    return None if not answer else 1.0


def returns(answer: str, value: str) -> Any:
    return {
        "nan": math.nan,
        "above": 1.01,
        "below": -1e-9,
        "text": "0.5",
        "list": [0.5],
        "opinion": scored(0.5),
        "true": True,
    }[value]


def raises_always(answer: str) -> float:
    raise RuntimeError(answer)


def single_for_many(answer: list[str]) -> float:
    return 0.5


def too_few(answer: list[str]) -> list[float]:
    return [0.5, 0.5, 0.5]


def needs_more(answer: str, threshold: float) -> float:
    return threshold


def takes_nothing() -> float:
    return 1.0


def by_position(answer: str, /) -> float:
    return 1.0


async def later(answer: str) -> float:
    return 1.0


def one_by_one(answer: str) -> Iterator[float]:
    yield 1.0


class Rewards:
    """Holds methods, which can be named as `Rewards.nested`."""

    @staticmethod
    def nested(answer: str) -> float:
        return 0.25
