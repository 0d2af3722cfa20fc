"""Settings of the trained model, and the other defaults that training all its weights changes."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from rlhf_core.config.base import UNLESS_SET, PositiveFloat, PositiveInt
from rlhf_core.config.template import TemplateSettings

FULL_LEARNING_RATES = {
    "sft": {"learning_rate": 1e-5},
    "reward_model": {"learning_rate": 1e-5},
}
"""Default learning rates of the stages before the policy's when every weight is trained, a
hundredth of those for adapters (arXiv:2203.02155, appendix C)."""
FULL_POLICY_RATES = {
    "ppo": {"learning_rate": 5e-6, "critic_learning_rate": 9e-6},
    "rloo": {"learning_rate": 5e-6},
    "grpo": {"learning_rate": 5e-6},
    "dpo": {"learning_rate": 1e-6},
    "best_of_n": {"learning_rate": 1e-5},
}
"""The same for the policy's stage, by algorithm. PPO without PTX diverges above 8e-6
(arXiv:2203.02155, appendix C.4, which trains its critic at 9e-6). DPO: arXiv:2305.18290, appendix
B. Best of n is fine-tuning."""
ADAPTERS_ALONE = ("lora_alpha", "lora_targets", "lora_dropout", "quantization")
"""Settings that only adapters have, beside their rank."""


class PolicySettings(TemplateSettings):
    """The language model that is trained."""

    model: str = "smollm2-135m-instruct"
    """A bundled model, a local folder in Hugging Face format, or a hub id. The folder may hold a
    LoRA adapter as PEFT writes it: the policy then starts from its base with the adapter merged."""
    system_prompt: str | None = None
    """System message before every prompt. null sends none; some chat templates, such as SmolLM2's
    and Qwen2's, then insert their own, which the log of `ingest` shows."""
    max_prompt_tokens: PositiveInt = 512
    """Longest prompt, in tokens with the chat template. A longer one is refused at ingest."""
    weights: Literal["adapters", "full"] = "adapters"
    """Weights to train. adapters: LoRA adapters on one frozen model, one for each role (SFT,
    policy, critic, reward). full: a separate model for each role with all its parameters in fp32;
    this takes 16 bytes of memory a parameter for each model in training, and the default learning
    rates are smaller."""
    lora_rank: PositiveInt | None = 16
    """Rank of the adapters. Leave it out if weights is full."""
    lora_alpha: Annotated[PositiveFloat | None, UNLESS_SET] = None
    """Scale of the adapters times their rank: a layer is W + (alpha / rank) B A. null is twice the
    rank."""
    lora_targets: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...] | None, UNLESS_SET, Field(min_length=1)
    ] = None
    """Layers with an adapter, by the last part of their names, such as [q_proj, v_proj]. null is
    every linear layer but the output embedding."""
    lora_dropout: Annotated[float, UNLESS_SET, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the inputs of each adapter that are set to 0 in training, as PEFT's lora_dropout. It
    acts in fine-tuning (train_sft and best_of_n) and in the training of reward models. PPO, RLOO,
    GRPO and DPO train without it: they compare a policy with itself or with its reference, and
    would take the noise of two masks for a difference. The masks follow from seed and step, and
    from the micro-batches (compute.tokens_per_microbatch)."""
    quantization: Annotated[Literal["nf4"] | None, UNLESS_SET] = None
    """Precision of the frozen model under the adapters. nf4: 4 bits a weight of every linear layer
    but the output embedding (QLoRA, arXiv:2305.14314), a quarter of bf16's memory, and slower;
    needs `pip install 'solon[qlora]'`. An adapter is merged into the whole weights, never into the
    rounded ones. null: compute.precision."""

    @model_validator(mode="before")
    @classmethod
    def _full_weights_have_no_rank(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        is_full = raw.get("weights") == "full"
        own = [key for key in ADAPTERS_ALONE if raw.get(key)]
        if is_full and own:
            raise ValueError(
                f"{' and '.join(own)}: for adapters, and weights: full has none; remove it, or "
                "set weights to adapters"
            )
        if is_full and raw.get("lora_rank") is not None:
            raise ValueError(
                f"lora_rank = {raw['lora_rank']} is for adapters, and weights: full trains none; "
                "remove lora_rank, or set weights to adapters"
            )
        if not is_full and raw.get("lora_rank", 16) is None:
            raise ValueError(
                "weights: adapters need a lora_rank, such as 16; or set weights to full"
            )
        return {**raw, "lora_rank": None} if is_full else raw


def refuse_shards(policy: PolicySettings, is_sharded: bool) -> None:
    """Refuse to shard weights of 4 bits.

    Raises:
        ValueError: If `compute.shard` is set beside `policy.quantization`.
    """
    if policy.quantization is not None and is_sharded:
        raise ValueError(
            f"policy.quantization: {policy.quantization} has no shards; set compute.shard to false "
            "(each rank then holds the model in 4 bits), or remove policy.quantization"
        )


def with_small_steps(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a config with the learning rates for full weights, unless it sets its own."""
    if _value(raw.get("policy"), "weights", "adapters") != "full":
        return raw
    algorithm = str(_value(raw.get("training"), "algorithm", "ppo"))
    rates = {**FULL_LEARNING_RATES, "training": FULL_POLICY_RATES.get(algorithm, {})}
    changed = {
        section: {**defaults, **raw.get(section, {})}
        for section, defaults in rates.items()
        if isinstance(raw.get(section, {}), dict)
    }
    return {**raw, **changed}


def _value(raw: Any, key: str, default: str) -> Any:
    """Return a value of settings that may not be validated yet."""
    return raw.get(key, default) if isinstance(raw, dict) else getattr(raw, key, default)
