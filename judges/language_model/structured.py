"""Verdicts as JSON: reasons, then a label, under a schema that the server enforces if it can."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from judges.language_model.fence import FencedPrompt
from judges.language_model.label_mass import bare_token
from judges.language_model.parsing import ParsedVerdict
from rlhf_core.text.thoughts import blank_out_thoughts

RATIONALE, VERDICT = "rationale", "verdict"
REPLY_WITH = "Reply with"
"""First words of the last sentence of every template, which says how to reply."""
JSON_REPLY = (
    'Reply with a JSON object of two keys: "rationale", your reasons in a few sentences, and after '
    'it "verdict", which is one of {labels}.'
)
OBJECT = re.compile(r"\s*(?:```\w*\s*)?(\{.*\})\s*(?:```\s*)?", re.DOTALL)
"""A reply that is a JSON object, perhaps within a Markdown fence."""
BEGUN = re.compile(r"\s*(?:```\w*\s*)?\{")


@dataclass(frozen=True)
class JsonVerdict:
    """A reply that is a JSON object, or the beginning of one."""

    verdict: ParsedVerdict | None
    """The label and its place in the reply; None if the object names none."""
    rationale: str | None


def verdict_schema(labels: Sequence[str]) -> dict[str, Any]:
    """Return the JSON schema of a verdict; the rationale comes first, so that it can matter."""
    return {
        "type": "object",
        "properties": {
            RATIONALE: {"type": "string"},
            VERDICT: {"type": "string", "enum": list(labels)},
        },
        "required": [RATIONALE, VERDICT],
        "additionalProperties": False,
    }


def ask_for_json(prompt: FencedPrompt, labels: Sequence[str]) -> FencedPrompt:
    """Return a prompt that asks for JSON, where its last sentence asked for a label.

    Args:
        prompt: A judge's prompt.
        labels: The possible verdicts.
    """
    *before, last = prompt.parts
    question, _, _ = last.rpartition(REPLY_WITH)
    named = ", ".join(json.dumps(label) for label in labels)
    return replace(prompt, parts=(*before, question + JSON_REPLY.format(labels=named)))


def parse_json_verdict(text: str, labels: Sequence[str]) -> JsonVerdict | None:
    """Return the verdict of a reply that is a JSON object; None if it is another kind of text.

    Args:
        text: The model's reply.
        labels: The possible verdicts.
    """
    answer = blank_out_thoughts(text)
    whole = OBJECT.fullmatch(answer)
    try:
        said = json.loads(whole[1], strict=False) if whole else None
    except json.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        return JsonVerdict(None, None) if BEGUN.match(answer) else None
    rationale = said.get(RATIONALE)
    value = bare_token(str(said.get(VERDICT)))
    label = {label.casefold(): label for label in labels}.get(value)
    places = [match.end() for match in re.finditer(rf'"{VERDICT}"\s*:\s*"?\W*', answer)]
    verdict = ParsedVerdict(label, places[-1]) if label is not None and places else None
    return JsonVerdict(verdict, rationale if isinstance(rationale, str) else None)
