"""A model that thinks before it answers, and always says the same."""

from itertools import pairwise
from pathlib import Path

import torch
from transformers import PhiConfig, PhiForCausalLM

from tests.rlhf_core.models.chat_templates import IM, Kind

SWITCH = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    "{% endif %}"
)
OPENS = SWITCH.replace("{% if enable_thinking is", "<think>{% if enable_thinking is")
THOUGHT = "abcdefghij"


def write_thinker(folder: Path, template: str = SWITCH) -> str:
    """Save a model that writes `<think>abcdefghij</think>B` after a line break, and then ends."""
    tokenizer = Kind("chatml", IM, "<|im_end|>", ("<think>", "</think>")).tokenizer()
    tokenizer.chat_template = template
    size = len(tokenizer) + -len(tokenizer) % 16
    config = PhiConfig(
        vocab_size=size,
        hidden_size=size,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=512,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = PhiForCausalLM(config)
    said = ["\n", "<think>", *THOUGHT, "</think>", "B", "<|im_end|>"]
    ids = [tokenizer.encode(token, add_special_tokens=False)[0] for token in said]
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            parameter.zero_()  # the next token depends on the one before it alone
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        model.lm_head.weight.zero_()
        model.lm_head.bias.zero_()
        for now, after in pairwise(ids):
            model.lm_head.weight[after, now] = 2.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
