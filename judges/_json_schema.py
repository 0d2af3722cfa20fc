"""Whether an answer is a JSON document that keeps to a schema."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from rlhf_core.errors import ConfigError

LONGEST_CHARACTERS = 100_000
"""Longer documents are refused: some rules take time quadratic in a document's length."""
FENCED = re.compile(r"^```json[ \t]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def validator(schema: Mapping[str, Any] | str) -> Validator:
    """A validator of a schema that is given as such, or as the path of a JSON file.

    References out of the schema are not followed: nothing is fetched.

    Raises:
        ConfigError: If there is no such file, or it holds no JSON schema.
    """
    found = json.loads(read_file(schema)) if isinstance(schema, str) else dict(schema)
    kind = validator_for(found, default=Draft202012Validator)
    try:
        kind.check_schema(found)
    except SchemaError as error:
        raise ConfigError(f"json_schema is no JSON schema: {error.message}") from None
    return kind(found, registry=Registry())


def read_file(path: str) -> str:
    """The text of a schema file.

    Raises:
        ConfigError: If it cannot be read, or is no JSON.
    """
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"json_schema: {path!r} is no JSON file ({error})") from None
    return text


def violation(text: str, rules: Validator) -> str | None:
    """What is wrong with an answer: the whole text, or its last ```json block; None if nothing."""
    fenced = FENCED.findall(text)
    document = fenced[-1] if fenced else text
    if len(document) > LONGEST_CHARACTERS:
        return f"the document is longer than {LONGEST_CHARACTERS} characters"
    try:
        error = best_match(rules.iter_errors(json.loads(document, parse_constant=_refuse)))
    except Unresolvable as unresolvable:
        raise ConfigError(f"json_schema refers to what it does not hold: {unresolvable}") from None
    except ValueError as reason:
        return f"no JSON: {reason}"
    except RecursionError:
        return "the document is nested too deeply"
    return f"{error.json_path}: {error.message[:200]}" if error else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
