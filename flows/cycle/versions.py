"""Versions of models: each follows from recipe, parent and data alone.

So a stage knows before it trains whether its model exists already. A recipe has one SFT model.
Prompts that are added later reach the rankings and the policy but not the SFT model, so that
policies trained on it can be continued. After a retraction of its data, the SFT model is trained
again.
"""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from flows.cycle.identity import config_hash, deciding_part
from rlhf_core.config import Config
from rlhf_core.config.base import is_left_out
from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.guard import GuardSettings
from rlhf_core.identity import content_id
from rlhf_core.records import ModelKind, ModelVersion

NOT_WORSE = "not_worse"
"""Default of `reward_model.must_beat`, which recipes leave out."""
PROMPTS = "prompts"
"""Key of an SFT recipe: the prompts that a line began with."""


def base(config: Config) -> ModelVersion:
    return _version(config, ModelKind.BASE, None, {})


def endpoint(config: Config, settings: EndpointSettings) -> ModelVersion:
    return ModelVersion(
        kind=ModelKind.ENDPOINT, base=settings.model, recipe="{}", config_hash=config_hash(config)
    )


def sft(
    config: Config,
    reviser: str | None = None,
    seeder: str | None = None,
    left_out: Sequence[tuple[str, str]] = (),
) -> ModelVersion:
    """Return the SFT model of a config.

    Args:
        config: Config of the line.
        reviser: Version of the reviser; None without revision.
        seeder: Name of the seeder of abstentions; None without abstentions.
        left_out: Table and id of each retracted row that the model does not learn from.
    """
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
        if (engine := config.sampling.engine.of_base.kind) != "local":
            recipe["sampling"]["engine"] = engine
    if reviser is not None and config.revision is not None:
        recipe["revision"] = {"reviser": reviser, "rounds": config.revision.rounds}
    if seeder is not None:
        recipe["abstention"] = seeder
    data = content_id(sorted(left_out)) if left_out else ""
    return _version(config, ModelKind.SFT, base(config).id, recipe, data, config.seed)


def leave_out(version: ModelVersion, left_out: Sequence[tuple[str, str]]) -> ModelVersion:
    """Return the model of the same recipe, seed and base that leaves out retracted rows."""
    fields = version.model_dump(exclude={"id", "data_hash"})
    return ModelVersion(**fields, data_hash=content_id(sorted(left_out)) if left_out else "")


def reward(
    config: Config,
    sft_id: str,
    ranking_ids: Sequence[str],
    left_out: Sequence[str] = (),
    copies: Mapping[str, int] = MappingProxyType({}),
) -> ModelVersion:
    """Return the reward model of some rankings.

    Args:
        config: Config of the line.
        sft_id: SFT model that it starts from.
        ranking_ids: Rankings that it learns from.
        left_out: Ids of the retracted pairs and prompts that it does not learn from.
        copies: How often it learns from the comparisons of a hack, by its policy, if not once.
    """
    # Whether it may train a policy is decided after its training.
    trained_as = config.reward_model.model_copy(update={"must_beat": NOT_WORSE})
    recipe = {
        "reward_model": deciding_part(trained_as),
        **_weights(config),
    }
    if (
        config.reward_model.heads > 1
    ):  # older models of several heads were normalised over all heads together
        recipe["normalised"] = "each head"
    if copies:
        recipe["copies"] = dict(copies)
    data = content_id(sorted(ranking_ids), *([sorted(left_out)] if left_out else []))
    return _version(config, ModelKind.REWARD, sft_id, recipe, data, config.seed)


def policy(
    config: Config,
    initial_id: str,
    reward_id: str,
    prompt_ids: Sequence[str],
    judge_versions: Sequence[str] = (),
) -> ModelVersion:
    """Return the policy of a config.

    Args:
        config: Config of the line.
        initial_id: Champion or SFT model that it starts from.
        reward_id: Reward model.
        prompt_ids: Training prompts.
        judge_versions: Judges that are part of the reward.
    """
    recipe: dict[str, Any] = {
        "training": deciding_part(config.training),
        **_weights(config),
        "max_new_tokens": config.sampling.max_new_tokens,
        "temperature": config.sampling.temperature,
        "system_prompt": config.policy.system_prompt,
        "reward_model": reward_id,
        "reward_judges": list(judge_versions),
    }
    if config.sampling.engine.kind != "local":
        recipe["engine"] = deciding_part(config.sampling.engine)
    defaults = GuardSettings()  # reworded answers are judged after the training
    watching = config.guard.model_copy(
        update={name: getattr(defaults, name) for name in ("reworded_prompts", "reworded_judges")}
    )
    if guard := deciding_part(watching):  # an alarm may end the training early
        recipe["guard"] = guard
    data = content_id(sorted(prompt_ids))
    return _version(config, ModelKind.POLICY, initial_id, recipe, data, config.seed)


def _weights(config: Config) -> dict[str, Any]:
    policy = config.policy
    chosen = {
        name: getattr(policy, name)
        for name in ("lora_alpha", "lora_targets", "lora_dropout", "quantization")
        if not is_left_out(policy, name)
    }
    return {"weights": policy.weights, "lora_rank": policy.lora_rank, **chosen}


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
