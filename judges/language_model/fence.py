"""Judge templates, filled in: untrusted texts stand between marks that their authors cannot know.

A mark is 128 bits of an HMAC of the prompt's texts, under a key that each process draws anew and
never writes down. So no earlier text contains the mark, and a mark that a model repeats is useless
in any other prompt. The ledger and batch files identify a prompt by its texts without the marks: a
run that is resumed under another key sends no request twice.
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
from rlhf_core.records.conversation import Conversation
from rlhf_core.records.turns import turns_of

KEY_VARIABLE = "SOLON_FENCE_KEY"
"""Environment variable with a secret of the user's, which makes the marks the same in every run: a
local model's verdict depends a little on each token that it reads."""
MARK = "{nonce}"
"""Placeholder of the mark in a template."""
MARK_DIGITS = 32
REMOVED = "[mark]"
"""Replaces the mark in a reply that repeats it."""
REFERENCE = f"\n[{MARK} reference answer]\n{{reference}}\n[{MARK} end]\n"
DIALOGUE = f"[{MARK} this request is a dialogue, which the answer continues after the last turn]"
"""First line of a conversation, in place of its text. Each turn follows under a mark of its own, so
no text can pretend to be another turn."""


@dataclass(frozen=True)
class FencedPrompt:
    """A prompt for a model: its texts, joined by the secret mark."""

    parts: tuple[str, ...]
    former_mark: str = ""
    """The mark of this prompt when marks were hashes of its texts; it identifies replies from that
    time."""
    occasion: str = ""
    """Name of the occasion on which it is asked again, under another mark."""

    @cached_property
    def mark(self) -> str:
        """The secret mark of this prompt; none of its texts contains it."""
        return next(mark for number in count() if not self._holds(mark := self._drawn(number)))

    def __str__(self) -> str:
        """Return the prompt as a model reads it."""
        return self.mark.join(self.parts)

    @property
    def former_text(self) -> str:
        return self.former_mark.join(self.parts)

    def without_mark(self, reply: str) -> str:
        """Return the reply with the mark removed, so that it stays secret."""
        return reply.replace(self.mark, REMOVED) if len(self.parts) > 1 else reply

    def _drawn(self, number: int) -> str:
        again = (self.occasion,) if self.occasion else ()
        texts = content_id(number, *self.parts, *again).encode()
        return hmac.new(_key(), texts, hashlib.sha256).hexdigest()[:MARK_DIGITS]

    def _holds(self, mark: str) -> bool:
        return any(mark in part for part in self.parts)


def plain_prompt(text: str) -> FencedPrompt:
    """Return a prompt that contains no untrusted text."""
    return FencedPrompt((text,))


def load_template(name: str) -> str:
    """Return the text of judges/prompts/NAME.txt."""
    return (files("judges") / "prompts" / f"{name}.txt").read_text(encoding="utf-8")


def fill_for_prompt(
    template: str, prompt: Prompt, shows_reference: bool, **written: str
) -> FencedPrompt:
    """Return a judge's template, filled in with a prompt and answers to it.

    Args:
        template: Names `nonce`, `request`, `reference` and every key of `written`.
        prompt: The prompt that was answered; each turn of a conversation stands under a mark.
        shows_reference: True to show its first reference answer, if there is one.
        written: The candidates' texts, and plain settings of the judge.
    """
    references = prompt.reference_answers[:1] if shows_reference else ()
    whole = template.replace("{reference}", REFERENCE if references else "")
    request, turns = _request(prompt.asked)
    whole = whole.replace("{request}", request)
    fields = {**turns, "reference": "".join(references), **written}
    return fill_template(whole, (prompt.id, *written.values()), **fields)


def _request(conversation: Conversation) -> tuple[str, dict[str, str]]:
    """Return what stands in a template for `request`, and the texts that it names."""
    text = conversation.single_text
    if text is not None:
        return "{request}", {"request": text}
    turns = turns_of(conversation)
    lines = [f"[{MARK} {turn.speaker}]\n{{turn_{n}}}" for n, turn in enumerate(turns)]
    return "\n".join([DIALOGUE, *lines]), {f"turn_{n}": turn.text for n, turn in enumerate(turns)}


def fill_template(template: str, hashed: tuple[str, ...], **fields: str) -> FencedPrompt:
    """Return a template, filled in.

    Args:
        template: Names `nonce` and every field.
        hashed: The texts whose hash was the former mark.
        fields: The text of each field.
    """
    parts = tuple(part.format(**fields) for part in template.split(MARK))
    return FencedPrompt(parts, content_id("nonce", *hashed)[:8])


@cache
def _key() -> bytes:
    chosen = os.environ.get(KEY_VARIABLE)
    return chosen.encode() if chosen else secrets.token_bytes(32)
