r"""The conclusion of a text: its last `\boxed{}`, its stated answer, or its last number."""

import re

from rlhf_core.text.numbers import find_numbers

TAIL_CHARACTERS = 2000
"""Length of the end of a text that is read; conclusions stand there."""
CALCULATOR = re.compile(r"<<[^<>\n]*>>")
"""The annotations of GSM8K, as in 2 * 3 = <<2*3=6>>6."""
GSM8K = re.compile(r"####[ \t]*(\S[^\n]*)")
STATED = re.compile(r"\b(?:answer|result)(?:\s+is|\s*[:=])+\**[ \t]*(\S[^\n]*)", re.IGNORECASE)
LETTERED = re.compile(r"^\s*A:[ \t]*(\S[^\n]*)", re.MULTILINE)
BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
BETWEEN_BOXES = re.compile(r"[\s$,;.]*(?:and|or|\\text\{\s*(?:and|or)\s*\}|\\q?quad)?[\s$,;]*")
SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
DELIMITED = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
WORD = re.compile(r"(?<![\\\w])(?!(?:to|and|or|am|pm)\b)[A-Za-z]{2,}", re.IGNORECASE)
TOGETHER = re.compile(r"\s*(?:,|and|or|,\s*and|,\s*or)\s*")
MATHEMATICS = re.compile(r"[\d\\$=+*/^<>]")


def final_answer(text: str) -> str | None:
    r"""Return the conclusion of a text; None if it has none.

    That is the last `\boxed{}` (boxes with no more than "and" between them are one list); else what
    follows the last `####`, "the answer is" or "A:"; else a text without words as a whole; else the
    last formula of the last sentence that has one, or its last number.
    """
    text = CALCULATOR.sub("", text[-TAIL_CHARACTERS:]).strip()
    boxed = _last_boxes(text)
    if boxed is not None:
        return boxed or None
    stated = _last_stated(text)
    if stated is not None and MATHEMATICS.search(stated):
        return _formula(stated) or stated
    if "\n" not in text and not WORD.search(_without_latex_words(text)):
        return text.lstrip(" *").rstrip(" .*") or None
    for sentence in reversed([s for line in text.split("\n") for s in SENTENCE_END.split(line)]):
        conclusion = _formula(sentence)
        if conclusion is not None:
            return conclusion
    return None


def _last_boxes(text: str) -> str | None:
    boxes: list[tuple[int, int, str]] = []
    for opening in BOXED.finditer(text):
        end = _closing(text, opening.end())
        if end is not None:
            boxes.append((opening.start(), end + 1, text[opening.end() : end].strip()))
    if not boxes:
        return None
    together = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        if not BETWEEN_BOXES.fullmatch(text[box[1] : together[0][0]]) or not box[2]:
            break
        together.insert(0, box)
    return ", ".join(dict.fromkeys(content for _, _, content in together))


def _closing(text: str, start: int) -> int | None:
    depth = 1
    for end in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return end
    return None


def _last_stated(text: str) -> str | None:
    for pattern in (GSM8K, STATED, LETTERED):
        matches = pattern.findall(text)
        if matches:
            return SENTENCE_END.split(matches[-1])[0].strip(" \t*.")
    return None


def _formula(sentence: str) -> str | None:
    """Return the last formulas of a sentence that stand in a row; else its last number."""
    formulas = [m for m in DELIMITED.finditer(sentence) if _is_formula(m)]
    if formulas:
        row = [formulas[-1]]
        for each in reversed(formulas[:-1]):
            if not TOGETHER.fullmatch(sentence[each.end() : row[0].start()]):
                break
            row.insert(0, each)
        return ", ".join(_inside(each) for each in row)
    numbers = list(find_numbers(sentence))
    if not numbers:
        return None
    if not WORD.search(_without_latex_words(sentence)):
        return sentence.lstrip(" *:").rstrip(" .*:")
    start, end = numbers[-1][1:]
    token = re.search(r"[^\s,;()*=]*$", sentence[:start])
    rest = re.match(r"[^\s,;()*=]*", sentence[end:])
    whole = f"{token[0] if token else ''}{sentence[start:end]}{rest[0] if rest else ''}"
    return whole if re.fullmatch(r"[\d:.,/–-]+", whole) else sentence[start:end]


def _is_formula(match: "re.Match[str]") -> bool:
    """Return False for prices, as in "$3 to sell and $5 to buy"."""
    return not WORD.search(_without_latex_words(_inside(match)))


def _inside(match: "re.Match[str]") -> str:
    return next(group for group in match.groups() if group is not None).strip()


def _without_latex_words(text: str) -> str:
    return re.sub(r"\\(?:text|mathrm|mbox|textrm|operatorname)\s*\{[^{}]*\}|\\[A-Za-z]+", " ", text)
