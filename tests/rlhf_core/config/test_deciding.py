"""Which settings decide results: every field of the config says so, or says that it does not."""

import typing
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, Field

from rlhf_core.config import Config, JudgeSettings, Settings
from rlhf_core.config.base import ASIDE, UNLESS_SET, is_aside
from rlhf_core.config.deciding import deciding

DECIDE_OR_NOT = {
    "Config": (
        "seed prompts policy sampling judges preferences revision sft reward_model "
        "training evaluation promotion guard",
        "name abandoned_champion store artifacts judging compute budget service tracker",
    ),
    "PromptSettings": (
        "path format holdout limit columns privacy hygiene",
        "",
    ),
    "Columns": (
        "prompt context mode reference few_shot tools system rubric user",
        "topic",
    ),
    "PrivacySettings": (
        "policy kinds phone_regions",
        "",
    ),
    "HygieneSettings": (
        "shared_prefix_chars near_duplicate max_per_user",
        "",
    ),
    "PolicySettings": (
        "model system_prompt max_prompt_tokens weights lora_rank lora_alpha lora_targets "
        "lora_dropout quantization thinking template_date template_options",
        "",
    ),
    "SamplingSettings": (
        "candidates max_new_tokens temperature endpoint engine",
        "",
    ),
    "EngineSettings": (
        "kind importance_cap",
        "url python options start_seconds sleep send_seeds api_key_env concurrency "
        "timeout_seconds max_attempts",
    ),
    "EndpointSettings": (
        "model reasoning_effort thinking_tokens extra_body",
        "base_url api_key_env headers api_version concurrency timeout_seconds max_attempts "
        "requests_per_minute tokens_per_minute deadline_seconds delivery batch_discount "
        "batch_poll_seconds price_per_million_input_tokens "
        "price_per_million_output_tokens",
    ),
    "JudgeSettings": (
        "kind weight modes scale",
        "name",
    ),
    "JudgingSettings": (
        "",
        "max_silent_share silent_after probes",
    ),
    "PreferenceSettings": (
        "tie_margin missing imported",
        "",
    ),
    "ImportedSettings": (
        "sources max_answer_tokens",
        "",
    ),
    "RevisionSettings": (
        "model endpoint constitution rounds max_critique_tokens max_new_tokens",
        "",
    ),
    "SFTSettings": (
        "epochs learning_rate prompts_per_step selection abstention",
        "",
    ),
    "SelectionSettings": (
        "reward_model every_epochs missing_eos_score prompts",
        "",
    ),
    "AbstentionSettings": (
        "judge threshold answers max_share wordings",
        "",
    ),
    "RewardModelSettings": (
        "labels ties epochs learning_rate prompts_per_step margin heads holdout must_beat",
        "measure_every",
    ),
    "PPOSettings": (
        "reward missing_eos_score steps prompts_per_step samples_per_prompt epochs "
        "minibatches learning_rate warmup_updates kl clip_range entropy_bonus "
        "max_grad_norm clip_score ptx ema algorithm critic critic_learning_rate "
        "value_coefficient gamma gae_lambda value_clip_range whiten_rewards",
        "",
    ),
    "RewardSettings": (
        "reward_model judges caution",
        "",
    ),
    "KLSettings": (
        "coefficient place target horizon stop_at",
        "",
    ),
    "PTXSettings": (
        "coefficient examples max_tokens path",
        "",
    ),
    "RLOOSettings": (
        "reward missing_eos_score steps prompts_per_step samples_per_prompt epochs "
        "minibatches learning_rate warmup_updates kl clip_range entropy_bonus "
        "max_grad_norm clip_score ptx ema algorithm baseline",
        "",
    ),
    "LossKLSettings": (
        "coefficient place target horizon stop_at",
        "",
    ),
    "GRPOSettings": (
        "reward missing_eos_score steps prompts_per_step samples_per_prompt epochs "
        "minibatches learning_rate warmup_updates kl clip_range entropy_bonus "
        "max_grad_norm clip_score ptx ema algorithm divide_by_deviation clip_range_high ratio "
        "aggregation dynamic_sampling overlong_buffer",
        "",
    ),
    "DPOSettings": (
        "labels ties algorithm loss beta label_smoothing epochs prompts_per_step "
        "learning_rate max_grad_norm",
        "",
    ),
    "BestOfNSettings": (
        "reward missing_eos_score algorithm n epochs prompts_per_step learning_rate max_grad_norm",
        "",
    ),
    "EvaluationSettings": (
        "judges baseline samples_per_prompt temperature",
        "benchmarks",
    ),
    "FileBaseline": ("file columns", ""),
    "EndpointBaseline": ("endpoint", ""),
    "BiasSettings": (
        "",
        "kind name path limit",
    ),
    "TaskSettings": (
        "",
        "kind name tasks num_fewshot limit apply_chat_template",
    ),
    "PromotionSettings": (
        "win_rate_above confidence max_kl min_eos_rate min_prompts",
        "approval",
    ),
    "ComputeSettings": (
        "",
        "device precision tokens_per_microbatch share_prompts attention gradient_checkpointing "
        "shard checkpoint_every",
    ),
    "BudgetSettings": (
        "",
        "max_usd max_tokens max_calls period",
    ),
    "ServiceSettings": (
        "",
        "retention triggers notify champion publish stage_timeout_hours gpu_limit quarantine_after",
    ),
    "GuardSettings": (
        "action false_alarms judge window repair_judges repair_answers repair_rounds "
        "reworded_prompts reworded_judges",
        "",
    ),
    "RetentionSettings": (
        "",
        "keep_cycles keep_lineage",
    ),
    "TriggerSettings": (
        "",
        "new_pairs agreement_below new_prompts at_latest_hours",
    ),
    "NotifySettings": (
        "",
        "events block",
    ),
    "ChampionSettings": (
        "",
        "form merged_up_to_gb keep",
    ),
    "PublishSettings": (
        "",
        "hub mlflow vllm webhook",
    ),
    "HubSettings": (
        "",
        "repository revision",
    ),
    "MLflowSettings": (
        "",
        "model tracking_uri",
    ),
    "VLLMSettings": (
        "",
        "url name key_variable timeout_seconds",
    ),
    "WebhookSettings": (
        "",
        "url header secret_variable timeout_seconds",
    ),
}
"""By class: fields that decide results, and fields that do not. A new field goes into one of them:
does another value change any number that is learnt or decided?"""


def models_within(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from models_within(argument)


def every_field(
    model: type[BaseModel], is_decided: bool = True
) -> Iterator[tuple[type[BaseModel], str, bool]]:
    """Each class and field of the tree, and whether it decides; nothing does below one aside."""
    for name, field in model.model_fields.items():
        decides = is_decided and not is_aside(model, name)
        yield model, name, decides
        for inner in models_within(field.annotation):
            yield from every_field(inner, decides)


def test_every_field_of_the_config_decides_results_or_does_not():
    found: dict[str, tuple[set[str], set[str]]] = {}
    for model, name, decides in every_field(Config):
        found.setdefault(model.__name__, (set(), set()))[not decides].add(name)
    wanted = {
        model: (set(first.split()), set(second.split()))
        for model, (first, second) in DECIDE_OR_NOT.items()
    }
    assert found == wanted


class Inner(Settings):
    model: str = "m"
    timeout: Annotated[float | None, ASIDE] = None


class Outer(Settings):
    inner: Inner | None = None
    names: tuple[str, ...] = ("a", "b")
    judges: tuple[JudgeSettings, ...] = ()
    place: Annotated[Inner, ASIDE] = Inner()


class Later(Settings):
    model: str = "m"
    effort: Annotated[str | None, UNLESS_SET] = None
    keys: Annotated[dict[str, int], UNLESS_SET] = Field(default_factory=dict)


def test_a_setting_that_came_later_changes_no_hash_while_it_has_its_default():
    def of(**options: Any) -> Any:
        return deciding(Later(**options), lambda settings: settings.kind)

    assert of() == of(effort=None, keys={}) == {"model": "m"}
    assert of(effort="low") == {"model": "m", "effort": "low"}
    assert of(keys={"k": 1}) == {"model": "m", "keys": {"k": 1}}


def test_what_is_aside_is_left_out_at_every_depth():
    judge = JudgeSettings.model_validate({"kind": "k", "option": 1})
    outer = Outer(inner=Inner(timeout=5), judges=(judge,), place=Inner(model="other"))
    assert deciding(outer, lambda settings: settings.kind) == {
        "inner": {"model": "m"},
        "names": ["a", "b"],
        "judges": ["k"],
    }
