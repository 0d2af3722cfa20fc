"""Filling in a judge's template: what others wrote stands between marks that they cannot know.

A mark is 128 bits of an HMAC of the question's texts, under a key that each process draws anew and
never writes down. So no mark stands in a text that was there before it, and one that a model
repeats is of no use in another question. What a question is known by, in the ledger and in batches,
are its texts without the marks: a run that is resumed under another key asks nothing twice.
"""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from itertools import count

from rlhf_core.identity import content_id
from rlhf_core.records import Prompt

KEY_VARIABLE = "SOLON_FENCE_KEY"
"""Environment variable with a secret of one's own, for marks that are the same in every run: a
local model's verdict depends a little on each token that it reads."""
MARK = "{nonce}"
"""Stands for the mark in a template."""
MARK_DIGITS = 32
REMOVED = "[mark]"
"""What a mark becomes in a reply that repeats it."""
REFERENCE = f"\n[{MARK} reference answer]\n{{reference}}\n[{MARK} end]\n"


@dataclass(frozen=True)
class Fenced:
    """A question to a model: texts of which every two have a mark between them."""

    parts: tuple[str, ...]
    former_mark: str = ""
    """The mark that the question bore when marks were hashes of its texts; answers from then are
    found again by it."""

    @cached_property
    def mark(self) -> str:
        """The secret mark of this question; none of its texts holds it."""
        return next(mark for number in count() if not self._holds(mark := self._drawn(number)))

    def __str__(self) -> str:
        """The question as a model reads it."""
        return self.mark.join(self.parts)

    @property
    def former_text(self) -> str:
        return self.former_mark.join(self.parts)

    def without_mark(self, reply: str) -> str:
        """A reply in which nobody can read the mark."""
        return reply.replace(self.mark, REMOVED) if len(self.parts) > 1 else reply

    def _drawn(self, number: int) -> str:
        texts = content_id(number, *self.parts).encode()
        return hmac.new(_key(), texts, hashlib.sha256).hexdigest()[:MARK_DIGITS]

    def _holds(self, mark: str) -> bool:
        return any(mark in part for part in self.parts)


def plain(text: str) -> Fenced:
    """A question without anything to fence off."""
    return Fenced((text,))


def template(name: str) -> str:
    """The text of judges/prompts/NAME.txt."""
    return (files("judges") / "prompts" / f"{name}.txt").read_text(encoding="utf-8")


def fenced(template: str, prompt: Prompt, shows_reference: bool, **written: str) -> Fenced:
    """A judge's template about an answer to a prompt, filled in.

    Args:
        template: Names `nonce`, `request`, `reference` and every key of `written`.
        prompt: What was asked.
        shows_reference: Whether its first reference answer, if any, is shown.
        written: What candidates wrote, and plain settings of the judge.
    """
    references = prompt.reference_answers[:1] if shows_reference else ()
    whole = template.replace("{reference}", REFERENCE if references else "")
    fields = {"request": prompt.instruction, "reference": "".join(references), **written}
    return filled(whole, (prompt.id, *written.values()), **fields)


def filled(template: str, hashed: tuple[str, ...], **fields: str) -> Fenced:
    """A template with fields, filled in.

    Args:
        template: Names `nonce` and every field.
        hashed: What the former mark was a hash of.
        fields: The texts.
    """
    parts = tuple(part.format(**fields) for part in template.split(MARK))
    return Fenced(parts, content_id("nonce", *hashed)[:8])


@cache
def _key() -> bytes:
    chosen = os.environ.get(KEY_VARIABLE)
    return chosen.encode() if chosen else secrets.token_bytes(32)
