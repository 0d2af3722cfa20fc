"""Which model a stage would make: its version follows from recipe, parent and data alone.

So a stage knows before it trains whether its model is there already. The SFT model is made once a
recipe: prompts that are added later are used by the rankings and the policy, and do not pull the
trunk away from under policies that were trained on it. What is retracted does: it is made again.
"""

import json
from collections.abc import Sequence
from typing import Any

from flows.cycle.identity import config_hash, deciding_part
from rlhf_core.config import Config
from rlhf_core.identity import content_id
from rlhf_core.records import ModelKind, ModelVersion

PROMPTS = "prompts"
"""Of a recipe of fine-tuning: which prompts a line began with."""


def base(config: Config) -> ModelVersion:
    return _version(config, ModelKind.BASE, None, {})


def endpoint(config: Config) -> ModelVersion:
    settings = config.sampling.endpoint
    name = settings.model if settings else ""
    return ModelVersion(
        kind=ModelKind.ENDPOINT, base=name, recipe="{}", config_hash=config_hash(config)
    )


def sft(
    config: Config,
    reviser: str | None = None,
    seeder: str | None = None,
    left_out: Sequence[tuple[str, str]] = (),
) -> ModelVersion:
    """The SFT model of a recipe, without what is left out: table and id of each retracted thing."""
    recipe: dict[str, Any] = {
        "sft": deciding_part(config.sft),
        "policy": deciding_part(config.policy.model_copy(update={"max_prompt_tokens": 0})),
        PROMPTS: deciding_part(config.prompts),
    }
    if config.sft.selection is not None or config.sft.abstention is not None:
        recipe["sampling"] = {
            "max_new_tokens": config.sampling.max_new_tokens,
            "temperature": config.sampling.temperature,
        }
    if reviser is not None and config.revision is not None:
        recipe["revision"] = {"reviser": reviser, "rounds": config.revision.rounds}
    if seeder is not None:
        recipe["abstention"] = seeder
    data = content_id(sorted(left_out)) if left_out else ""
    return _version(config, ModelKind.SFT, base(config).id, recipe, data, config.seed)


def again(version: ModelVersion, left_out: Sequence[tuple[str, str]]) -> ModelVersion:
    """The model of another's recipe, seed and base, without what is left out."""
    fields = version.model_dump(exclude={"id", "data_hash"})
    return ModelVersion(**fields, data_hash=content_id(sorted(left_out)) if left_out else "")


def reward(
    config: Config, sft_id: str, ranking_ids: Sequence[str], left_out: Sequence[str] = ()
) -> ModelVersion:
    """The reward model of these rankings, without the pairs and prompts that are left out."""
    recipe = {
        "reward_model": deciding_part(config.reward_model),
        **_weights(config),
    }
    if config.reward_model.heads > 1:  # others were normalised together; they are not these
        recipe["normalised"] = "each head"
    data = content_id(sorted(ranking_ids), *([sorted(left_out)] if left_out else []))
    return _version(config, ModelKind.REWARD, sft_id, recipe, data, config.seed)


def policy(
    config: Config,
    initial_id: str,
    reward_id: str,
    prompt_ids: Sequence[str],
    judge_versions: Sequence[str] = (),
) -> ModelVersion:
    recipe = {
        "training": deciding_part(config.training),
        **_weights(config),
        "max_new_tokens": config.sampling.max_new_tokens,
        "temperature": config.sampling.temperature,
        "system_prompt": config.policy.system_prompt,
        "reward_model": reward_id,
        "reward_judges": list(judge_versions),
    }
    data = content_id(sorted(prompt_ids))
    return _version(config, ModelKind.POLICY, initial_id, recipe, data, config.seed)


def _weights(config: Config) -> dict[str, Any]:
    return {"weights": config.policy.weights, "lora_rank": config.policy.lora_rank}


def _version(
    config: Config,
    kind: ModelKind,
    parent_id: str | None,
    recipe: dict[str, Any],
    data_hash: str = "",
    seed: int = 0,
) -> ModelVersion:
    return ModelVersion(
        kind=kind,
        base=config.policy.model,
        parent_id=parent_id,
        recipe=json.dumps(recipe, sort_keys=True, ensure_ascii=False),
        data_hash=data_hash,
        seed=seed,
        config_hash=config_hash(config),
    )
