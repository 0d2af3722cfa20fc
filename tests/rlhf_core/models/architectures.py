"""Tiny random models of many architectures, built from their transformers configs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from transformers import PreTrainedConfig

from rlhf_core.models.tiny import byte_tokenizer

WINDOW = 8
MIXED = ["sliding_attention", "full_attention"]
TOKENIZER = byte_tokenizer()
TOKENS: dict[str, Any] = {
    "vocab_size": len(TOKENIZER),
    "eos_token_id": TOKENIZER.eos_token_id,
    "pad_token_id": TOKENIZER.pad_token_id,
    "bos_token_id": None,
}
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    **TOKENS,
}
OLD: dict[str, Any] = {"n_layer": 2, "n_head": 4, "initializer_range": 0.3, **TOKENS}
ALL_HEADS = {**SMALL, "num_key_value_heads": 4}
DEEPSEEK = {
    **ALL_HEADS,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 12,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
FALCON = {
    key: value
    for key, value in SMALL.items()
    if key not in ("intermediate_size", "num_key_value_heads")
}
OPT = {
    **TOKENS,
    "hidden_size": 32,
    "ffn_dim": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "init_std": 0.3,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}

CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama3": lambda: tf.LlamaConfig(**SMALL, attention_bias=True, mlp_bias=True),
    "qwen2.5": lambda: tf.Qwen2Config(**SMALL),
    "qwen2.5 with windows above": lambda: tf.Qwen2Config(
        **SMALL, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1
    ),
    "qwen3": lambda: tf.Qwen3Config(**SMALL, head_dim=8),
    "mistral": lambda: tf.MistralConfig(**SMALL, sliding_window=WINDOW),
    "gemma2": lambda: tf.Gemma2Config(
        **SMALL,
        head_dim=8,
        sliding_window=WINDOW,
        layer_types=MIXED,
        attn_logit_softcapping=1.0,
        final_logit_softcapping=2.0,
    ),
    "gemma2 without caps": lambda: tf.Gemma2Config(
        **SMALL,
        head_dim=8,
        sliding_window=WINDOW,
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
    ),
    "gemma3": lambda: tf.Gemma3TextConfig(
        **SMALL, head_dim=8, sliding_window=WINDOW, layer_types=MIXED
    ),
    "gemma3 with vision": lambda: tf.Gemma3Config(
        text_config={**SMALL, "head_dim": 8, "sliding_window": WINDOW, "layer_types": MIXED},
        vision_config=VISION,
    ),
    "phi3": lambda: tf.Phi3Config(**ALL_HEADS, sliding_window=WINDOW),
    "phi4": lambda: tf.Phi3Config(
        **SMALL,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
        },
    ),
    "gpt-oss": lambda: tf.GptOssConfig(
        **SMALL,
        head_dim=8,
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=WINDOW,
        layer_types=MIXED,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    "gpt2": lambda: tf.GPT2Config(**OLD, n_embd=32, n_positions=512),
    "gpt-neox": lambda: tf.GPTNeoXConfig(
        **{key: value for key, value in SMALL.items() if key != "num_key_value_heads"}
    ),
    "opt": lambda: tf.OPTConfig(**OPT, word_embed_proj_dim=32),
    "opt with a projection": lambda: tf.OPTConfig(
        **OPT, word_embed_proj_dim=16, do_layer_norm_before=False
    ),
    "olmo2": lambda: tf.Olmo2Config(**SMALL),
    "granite": lambda: tf.GraniteConfig(**SMALL, logits_scaling=4.0, attention_multiplier=0.3),
    "cohere": lambda: tf.CohereConfig(**SMALL, logit_scale=0.25),
    "mixtral": lambda: tf.MixtralConfig(**SMALL, num_local_experts=4, sliding_window=WINDOW),
    "qwen3-moe": lambda: tf.Qwen3MoeConfig(
        **SMALL, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16
    ),
    "smollm3": lambda: tf.SmolLM3Config(**SMALL, no_rope_layers=[1, 0]),
    "deepseek-v3": lambda: tf.DeepseekV3Config(**DEEPSEEK),
    "bloom": lambda: tf.BloomConfig(**OLD, hidden_size=32),
    "falcon": lambda: tf.FalconConfig(**FALCON),
    "falcon with alibi": lambda: tf.FalconConfig(**FALCON, alibi=True),
    "gpt-j": lambda: tf.GPTJConfig(**OLD, n_embd=32, n_positions=512, rotary_dim=4),
    "mamba": lambda: tf.MambaConfig(**TOKENS, hidden_size=32, num_hidden_layers=2, state_size=4),
}


def write_architecture(name: str, folder: Path) -> str:
    """Save a random model of an architecture, with nonzero biases and sinks."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = tf.AutoModelForCausalLM.from_config(CONFIGS[name]())
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if "sinks" in parameter_name:
                    parameter.fill_(2.0)
                elif parameter.dim() == 1 and "norm" not in parameter_name.lower():
                    parameter.normal_(0, 0.2)
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return str(folder)
