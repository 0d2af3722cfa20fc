"""The thoughts that a model writes before its answer, told apart by the marks around them."""

import re

MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
)
"""Marks around thoughts, as today's models write them."""


def _pattern(opening: str, closing: str) -> str:
    """Return a pattern of thoughts between two marks; the chat template may hold the first one."""
    begun, ended = re.escape(opening), re.escape(closing)
    return rf"\A(?:(?!{begun}).)*?{ended}|{begun}.*?(?:{ended}|\Z)"


_THOUGHTS = re.compile("|".join(_pattern(*marks) for marks in MARKS), re.DOTALL)
_MARK = re.compile("|".join(re.escape(mark) for marks in MARKS for mark in marks))


def blank_out_thoughts(text: str) -> str:
    """Return the text with thoughts replaced by spaces, so that places in it stay the same."""
    return _THOUGHTS.sub(lambda match: " " * len(match[0]), text)


def split_thoughts(text: str) -> tuple[str, str]:
    """Return the thoughts of a reply without their marks, and the answer after them.

    Thoughts that are not closed were cut off, so there is no answer.
    """
    thoughts = [_MARK.sub("", match[0]).strip() for match in _THOUGHTS.finditer(text)]
    if not thoughts:
        return "", text
    return "\n".join(filter(None, thoughts)), _THOUGHTS.sub("", text).strip()


def with_thoughts(thoughts: str, answer: str) -> str:
    """Return a reply as one text, with its thoughts between marks; without thoughts, the answer."""
    opening, closing = MARKS[0]
    return f"{opening}\n{thoughts}\n{closing}\n{answer}" if thoughts else answer
