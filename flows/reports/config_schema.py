"""JSON schema of the config, with the options of every judge, for editors."""

from typing import Any

from judges import judge_class, kinds
from rlhf_core.config import Config

COMMON = ("kind", "name", "weight", "modes")


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a config file, published as deploy/config.schema.json."""
    schema = Config.model_json_schema()
    definitions = schema["$defs"]
    common = definitions.pop("JudgeSettings")["properties"]
    choices = []
    for kind in kinds():
        judge = judge_class(kind)
        options = judge.Options.model_json_schema()
        definitions.update(options.pop("$defs", {}))
        name = f"judge_{kind}"
        definitions[name] = {
            "type": "object",
            "description": judge.summary(),
            "properties": {
                **{key: common[key] for key in COMMON},
                "kind": {"const": kind},
                **options["properties"],
            },
            "required": ["kind", *options.get("required", [])],
            "additionalProperties": False,
        }
        choices.append({"$ref": f"#/$defs/{name}"})
    definitions["JudgeSettings"] = {"oneOf": choices}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Solon config",
        "required": ["prompts", "judges", "evaluation"],
    }
