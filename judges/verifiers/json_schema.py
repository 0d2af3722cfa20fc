"""Validation of an answer as a JSON document under a schema."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import regex
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from judges.verifiers.blocks import json_document
from rlhf_core.errors import ConfigError

LONGEST_CHARACTERS = 100_000
"""Limit of a document's length: some rules take time quadratic in it."""
PATTERN_TIMEOUT_SECONDS = 1.0


def validator(schema: Mapping[str, Any] | str) -> Validator:
    """Return the validator of a schema, which is given as such or as the path of a JSON file.

    References to other documents are not followed: nothing is fetched.

    Raises:
        ConfigError: If there is no such file, or it holds no JSON schema.
    """
    rules = json.loads(read_file(schema)) if isinstance(schema, str) else dict(schema)
    kind = validator_for(rules, default=Draft202012Validator)
    try:
        kind.check_schema(rules)
    except SchemaError as error:
        raise ConfigError(f"json_schema is not a JSON schema: {error.message}") from None
    timed = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    }
    return extend(kind, timed)(rules, registry=Registry())


def read_file(path: str) -> str:
    """Return the text of a schema file.

    Raises:
        ConfigError: If it cannot be read, or is not JSON.
    """
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"json_schema: {path!r} is not a JSON file ({error})") from None
    return text


def violation(text: str, rules: Validator) -> str | None:
    """Return the first error of the JSON document of an answer; None if it is valid.

    Raises:
        ConfigError: If the schema has an unresolvable reference or an invalid pattern.
        TimeoutError: If a pattern of the schema takes too long on this answer.
    """
    document = json_document(text)
    if len(document) > LONGEST_CHARACTERS:
        return f"the document is longer than {LONGEST_CHARACTERS} characters"
    try:
        error = best_match(rules.iter_errors(json.loads(document, parse_constant=_refuse)))
    except Unresolvable as unresolvable:
        raise ConfigError(f"json_schema has an unresolvable reference: {unresolvable}") from None
    except ValueError as reason:
        return f"no JSON: {reason}"
    except RecursionError:
        return "the document is nested too deeply"
    return f"{error.json_path}: {error.message[:200]}" if error else None


def _matches(pattern: str, text: str) -> bool:
    """Return True if a pattern matches in a text; an answer may make a bad pattern run too long."""
    try:
        return regex.search(pattern, text, timeout=PATTERN_TIMEOUT_SECONDS) is not None
    except regex.error as error:
        raise ConfigError(f"json_schema: {pattern!r} is not a pattern: {error}") from None


def _pattern(
    validator: Validator, pattern: str, instance: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not _matches(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Validator, patterns: Mapping[str, Any], instance: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        for pattern, rules in patterns.items():
            for name, value in instance.items():
                if _matches(pattern, name):
                    yield from validator.descend(value, rules, path=name, schema_path=pattern)


def _additional_properties(
    validator: Validator, rules: Any, instance: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if not validator.is_type(instance, "object"):
        return
    patterns = schema.get("patternProperties", {})
    extras = [
        name
        for name in instance
        if name not in schema.get("properties", {})
        and not any(_matches(pattern, name) for pattern in patterns)
    ]
    if validator.is_type(rules, "object"):
        for name in extras:
            yield from validator.descend(instance[name], rules, path=name)
    elif rules is False and extras:
        yield ValidationError(f"Additional properties are not allowed: {', '.join(extras)[:100]}")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
