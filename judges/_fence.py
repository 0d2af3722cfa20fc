"""Filling in a judge's template: what candidates wrote stands behind marks they cannot guess."""

from importlib.resources import files

from rlhf_core.identity import content_id
from rlhf_core.records import Prompt


def template(name: str) -> str:
    """The text of judges/prompts/NAME.txt."""
    return (files("judges") / "prompts" / f"{name}.txt").read_text(encoding="utf-8")


def fenced(template: str, prompt: Prompt, shows_reference: bool, **written: str) -> str:
    """A judge's template, filled in; the mark that fences candidates off cannot be guessed by one.

    Args:
        template: Names `nonce`, `request`, `reference` and every key of `written`.
        prompt: What was asked.
        shows_reference: Whether its first reference answer, if any, is shown.
        written: What candidates wrote, and plain settings of the judge.
    """
    nonce = content_id("nonce", prompt.id, *written.values())[:8]
    references = prompt.reference_answers[:1] if shows_reference else ()
    shown = [f"\n[{nonce} reference answer]\n{text}\n[{nonce} end]\n" for text in references]
    return template.format(
        nonce=nonce, request=prompt.instruction, reference="".join(shown), **written
    )
